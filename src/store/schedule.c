/* All destinations there are, and whose turn it is. */
#include "store/schedule.h"

#include <stdlib.h>

#include "base/siphash.h"
#include "store/host.h"
#include "store/lineup.h"
#include "store/place.h"

#define HASHED_IDS (INT64_C(1) << 62) /* below: ids that were counted */

/* ---- the table --------------------------------------------------------------------------------- */

void schedule_open(struct schedule *s, const uint64_t key[2], size_t most)
{
	*s = (struct schedule){ .most = most, .per_destination = 1, .total = 1 };
	names_init(&s->table, key);
	names_init(&s->hosts, key);
}

void schedule_close(struct schedule *s)
{
	struct name *n;
	size_t i = 0;

	while ((n = names_each(&s->table, &i)))
		free(n);
	for (i = 0; (n = names_each(&s->hosts, &i));)
		free(n);
	names_close(&s->table);
	names_close(&s->hosts);
	free(s->due.list);
	free(s->paused.list);
	s->due = s->paused = (struct heap){ 0 };
}

void schedule_clock(struct schedule *s, ms_t now, int64_t wall)
{
	s->now = now;
	s->wall = wall;
}

void schedule_limit(struct schedule *s, const struct settings *set)
{
	s->per_destination = (unsigned)set->destination_max;
	s->total = (unsigned)set->deliveries;
	s->retry_first = set->retry_first;
	s->retry_max = set->retry_max;
}

static struct span key_of(enum hop hop, struct span target, uint8_t mem[TEXT_MAX + 1])
{
	mem[0] = (uint8_t)hop;
	if (target.n)
		memcpy(mem + 1, target.p, target.n);
	return span_of(mem, target.n + 1);
}

int64_t schedule_id(const struct schedule *s, enum hop hop, struct span target)
{
	uint8_t mem[TEXT_MAX + 1];
	uint64_t hash;

	if (target.n >= TEXT_MAX)
		return 0;
	hash = siphash(s->table.key, key_of(hop, target, mem));
	return HASHED_IDS | (int64_t)(hash & (uint64_t)(HASHED_IDS - 1));
}

struct destination *schedule_find(const struct schedule *s, enum hop hop,
				  struct span target)
{
	uint8_t mem[TEXT_MAX + 1];

	if (target.n >= TEXT_MAX)
		return NULL;
	return (struct destination *)names_find(&s->table, key_of(hop, target, mem));
}

static void forget(struct schedule *s, struct destination *d)
{
	host_leave(s, d);
	place_leave(s, d);
	names_drop(&s->table, &d->name);
	free(d);
}

struct destination *schedule_add(struct schedule *s, int64_t id, enum hop hop,
				 struct span target)
{
	struct destination *d;
	uint8_t *text;

	if (s->table.count >= s->most && s->resting.first)
		forget(s, s->resting.first);
	if (s->table.count >= s->most || target.n >= TEXT_MAX || hop >= HOP_COUNT ||
	    !heap_reserve(&s->due, s->table.count + 1) ||
	    !heap_reserve(&s->paused, s->table.count + 1))
		return NULL;
	d = calloc(1, sizeof(*d) + target.n + 2);
	if (!d)
		return NULL;
	text = (uint8_t *)(d + 1);
	d->name.text = key_of(hop, target, text);
	d->id = id;
	d->hop = hop;
	d->target = (const char *)text + 1;
	d->next_due = MS_NEVER;
	if (!names_put(&s->table, &d->name)) {
		free(d);
		return NULL;
	}
	place_take(s, d);
	return d;
}

#define LOOKED_AT 8

static bool is_idle(const struct destination *d)
{
	return d->under_way == 0 && d->users == 0 && !d->taking;
}

static struct destination *idle_in_heap(const struct heap *h)
{
	for (uint32_t i = 0; i < LOOKED_AT && i < h->count; i++)
		if (is_idle(h->list[h->count - i]))
			return h->list[h->count - i];
	return NULL;
}

static struct destination *idle_in_line(const struct line *l)
{
	struct destination *d = l->first;

	for (int i = 0; d && i < LOOKED_AT; i++, d = d->next)
		if (is_idle(d))
			return d;
	return NULL;
}

bool schedule_make_room(struct schedule *s)
{
	struct destination *d = idle_in_heap(&s->paused);

	if (!d)
		d = idle_in_heap(&s->due);
	if (!d)
		d = idle_in_line(&s->ready[OF_DEAD]);
	if (!d)
		d = idle_in_line(&s->ready[OF_NEW]);
	if (!d)
		return false;
	forget(s, d);
	s->overflow = true;
	return true;
}

struct destination *schedule_each(const struct schedule *s, size_t *at)
{
	return (struct destination *)names_each(&s->table, at);
}

/* ---- turns ---------------------------------------------------------------------------------------- */

/* Those whose time has come. */
static void wake(struct schedule *s)
{
	while (s->due.count && s->due.list[1]->key <= s->wall)
		place_settle(s, s->due.list[1]);
	while (s->paused.count && s->paused.list[1]->key <= s->now)
		place_settle(s, s->paused.list[1]);
}

/* Of those that wait for the network, one line after the other. */
static enum standing_of line_at(unsigned turn)
{
	static const enum standing_of order[] = { OF_KNOWN, OF_NEW, OF_DEAD };

	return order[turn % COUNT_OF(order)];
}

/* Every other turn of the new ones goes to the newest: junk that came before must not decide. */
static struct destination *first_of(const struct schedule *s, enum standing_of line)
{
	const struct line *l = &s->ready[line];

	return line == OF_NEW && s->turns % 2 ? l->last : l->first;
}

/* The first of that line who has room. Who shares a server that has none waits there. */
static struct destination *turn_in(struct schedule *s, enum standing_of line,
				   unsigned *count)
{
	struct destination *d;

	while ((d = first_of(s, line)) && d->host && place_host_room(s, d->host) == 0)
		place_settle(s, d);
	/* who has something under way leaves the reserve to others */
	for (size_t i = s->ready[line].count; d && place_room(s, d) == 0; i--) {
		if (i == 0 || place_common_room(s, d) > 0 || d->under_way == 0 ||
		    s->under_way >= s->total)
			return NULL;
		line_drop(&s->ready[line], d);
		line_put(&s->ready[line], d);
		d = s->ready[line].first;
	}
	if (!d)
		return NULL;
	*count = place_share(s, d, (unsigned)s->ready[line].count);
	return d;
}

struct destination *schedule_turn(struct schedule *s, unsigned local, bool network,
				  unsigned *count)
{
	struct destination *d = NULL;

	wake(s);
	if (local > 0) {
		d = turn_in(s, OF_LOCAL, count);
		if (d && *count > local)
			*count = local;
	}
	for (unsigned i = 0; network && !d && i < 3; i++)
		d = turn_in(s, line_at(s->turns++), count);
	return d;
}
