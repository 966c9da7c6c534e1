#include "store/schedule.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/bug.h"

void schedule_close(struct schedule *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->list[i]);
	s->count = 0;
}

struct destination *schedule_find(const struct schedule *s, enum hop hop,
				  const char *target)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->list[i]->hop == hop && strcmp(s->list[i]->target, target) == 0)
			return s->list[i];
	return NULL;
}

struct destination *schedule_by_id(const struct schedule *s, int64_t id)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->list[i]->id == id)
			return s->list[i];
	return NULL;
}

struct destination *schedule_add(struct schedule *s, int64_t id, enum hop hop,
				 struct span target)
{
	struct destination *d;

	if (s->count == DESTINATIONS_MAX || target.n >= sizeof(d->target) ||
	    hop >= HOP_COUNT)
		return NULL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->id = id;
	d->hop = hop;
	if (target.n)
		memcpy(d->target, target.p, target.n);
	d->next_due = MS_NEVER;
	if (id > s->last_id)
		s->last_id = id;
	s->list[s->count++] = d;
	return d;
}

bool hop_is_network(enum hop hop)
{
	switch (hop) {
	case HOP_MAILDIR:
	case HOP_DISCARD:
		return false;
	case HOP_LMTP_UNIX:
	case HOP_LMTP:
	case HOP_SMTP:
	case HOP_MX:
		return true;
	case HOP_COUNT:
		break;
	}
	return false;
}

void destination_print(const struct destination *d, struct buf *out)
{
	static const char *const words[HOP_COUNT] = {
		[HOP_MAILDIR] = "maildir",	[HOP_DISCARD] = "discard",
		[HOP_LMTP_UNIX] = "lmtp:unix:", [HOP_LMTP] = "lmtp:",
		[HOP_SMTP] = "smtp:",	[HOP_MX] = "mx:",
	};

	BUG_IF(d->hop >= HOP_COUNT);
	buf_put(out, span_str(words[d->hop]));
	buf_put(out, span_str(d->target));
}

void destination_due(struct destination *d, int64_t due)
{
	if (due < d->next_due)
		d->next_due = due;
}

unsigned destination_room(const struct destination *d, unsigned most, ms_t now)
{
	if (d->fails > 0) {
		if (now < d->not_before)
			return 0;
		most = 1;
	}
	return d->under_way < most ? most - d->under_way : 0;
}

void destination_answered(struct destination *d)
{
	d->fails = 0;
	d->not_before = 0;
}

static ms_t doubled(ms_t first, uint32_t times, ms_t longest)
{
	ms_t pause = first;

	while (times-- > 0 && pause < longest)
		pause *= 2;
	return pause < longest ? pause : longest;
}

void destination_failed(struct destination *d, ms_t now, ms_t first, ms_t longest)
{
	ms_t shortest = first / 10 > MS_SECOND ? first / 10 : MS_SECOND;

	/* several that were under way together are one failure */
	if (d->fails > 0 && now < d->not_before)
		return;
	d->fails++;
	d->not_before = now + doubled(shortest, d->fails - 1, longest);
}

ms_t schedule_pause(uint32_t tries, ms_t first, ms_t longest, uint64_t seed)
{
	ms_t pause = doubled(first, tries ? tries - 1 : 0, longest);
	uint64_t mixed = (seed + tries) * 0x9e3779b97f4a7c15u;

	return pause - (ms_t)((mixed >> 40) % ((uint64_t)pause / 8 + 1));
}
