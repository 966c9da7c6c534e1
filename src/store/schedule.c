#include "store/schedule.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/siphash.h"
#include "store/lineup.h"

#define LOCAL_MOST 4096 /* parcels for mailboxes in memory */
#define TURN_MOST  64
#define HASHED_IDS (INT64_C(1) << 62) /* below: ids that were counted */

/* ---- room ----------------------------------------------------------------------------------- */

static enum standing_of standing(const struct destination *d)
{
	if (!hop_is_network(d->hop))
		return OF_LOCAL;
	if (d->fails > 0)
		return OF_DEAD;
	return d->known ? OF_KNOWN : OF_NEW;
}

static unsigned less(unsigned most, unsigned used)
{
	return used < most ? most - used : 0;
}

/* One at most while it is not known to be back. */
static unsigned own_room(const struct schedule *s, const struct destination *d)
{
	if (!hop_is_network(d->hop))
		return less(LOCAL_MOST, d->under_way);
	if (d->fails > 0)
		return s->now < d->not_before ? 0 : less(1, d->under_way);
	return less(window_size(&d->window, s->per_destination), d->under_way);
}

static unsigned host_room(const struct schedule *s, const struct host *h)
{
	return less(window_size(&h->window, s->per_destination), h->under_way);
}

static unsigned at_least_one(unsigned n)
{
	return n ? n : 1;
}

/* What all of its kind together may still begin. */
static unsigned common_room(const struct schedule *s, const struct destination *d)
{
	unsigned left = less(s->total, s->under_way), kind = left;

	if (d->under_way > 0)
		left = less(left, s->total / 8);
	switch (standing(d)) {
	case OF_LOCAL:
		return LOCAL_MOST;
	case OF_KNOWN:
	case OF_COUNT:
		break;
	case OF_NEW:
		kind = less(at_least_one(s->total / 2), s->trials[OF_NEW]);
		break;
	case OF_DEAD:
		kind = less(at_least_one(s->total / 4), s->trials[OF_DEAD]);
		break;
	}
	return kind < left ? kind : left;
}

static unsigned room(const struct schedule *s, const struct destination *d)
{
	unsigned own = own_room(s, d), common = common_room(s, d);

	if (d->host && host_room(s, d->host) < own)
		own = host_room(s, d->host);
	return own < common ? own : common;
}

/* ---- where one stands --------------------------------------------------------------------- */

static enum destination_at where(const struct schedule *s, const struct destination *d)
{
	if (d->taking)
		return AT_WORK;
	if (d->next_due == MS_NEVER)
		return d->under_way || d->users ? AT_WORK : AT_REST;
	if (d->next_due > s->wall)
		return AT_DUE;
	if (d->fails > 0 && s->now < d->not_before)
		return AT_PAUSE;
	if (own_room(s, d) == 0)
		return AT_WORK;
	return d->host && host_room(s, d->host) == 0 ? AT_HOST : AT_READY;
}

static void leave(struct schedule *s, struct destination *d)
{
	switch (d->at) {
	case AT_REST:
		line_drop(&s->resting, d);
		break;
	case AT_WORK:
		break;
	case AT_DUE:
		heap_drop(&s->due, d);
		break;
	case AT_PAUSE:
		heap_drop(&s->paused, d);
		break;
	case AT_HOST:
		line_drop(&d->host->waiting, d);
		break;
	case AT_READY:
		line_drop(&s->ready[d->line], d);
		break;
	}
}

static void stand(struct schedule *s, struct destination *d, enum destination_at at)
{
	d->at = at;
	d->line = standing(d);
	switch (at) {
	case AT_REST:
		line_put(&s->resting, d);
		break;
	case AT_WORK:
		break;
	case AT_DUE:
		heap_put(&s->due, d, d->next_due);
		break;
	case AT_PAUSE:
		heap_put(&s->paused, d, d->not_before);
		break;
	case AT_HOST:
		line_put(&d->host->waiting, d);
		break;
	case AT_READY:
		/* the end of that line is for those that never had a turn */
		if (d->line == OF_NEW && d->under_way > 0)
			line_put_first(&s->ready[d->line], d);
		else
			line_put(&s->ready[d->line], d);
		break;
	}
}

/* Something changed. Who stands right already keeps the place in the line. */
static void settle(struct schedule *s, struct destination *d)
{
	enum destination_at at = where(s, d);

	if (at == d->at && (at == AT_WORK || at == AT_REST || at == AT_HOST ||
			    (at == AT_READY && d->line == standing(d)) ||
			    (at == AT_DUE && d->key == d->next_due) ||
			    (at == AT_PAUSE && d->key == d->not_before)))
		return;
	leave(s, d);
	stand(s, d, at);
}

/* Those whose time has come. */
static void wake(struct schedule *s)
{
	while (s->due.count && s->due.list[1]->key <= s->wall)
		settle(s, s->due.list[1]);
	while (s->paused.count && s->paused.list[1]->key <= s->now)
		settle(s, s->paused.list[1]);
}

/* ---- hosts ------------------------------------------------------------------------------------ */

static void host_wake(struct schedule *s, struct host *h)
{
	struct destination *d = h->waiting.first;

	if (d && host_room(s, h) > 0)
		settle(s, d);
}

static void host_leave(struct schedule *s, struct destination *d)
{
	struct host *h = d->host;

	if (!h)
		return;
	leave(s, d);
	h->under_way -= d->at_host;
	d->at_host = 0;
	d->host = NULL;
	stand(s, d, where(s, d));
	if (--h->users > 0) {
		host_wake(s, h);
		return;
	}
	names_drop(&s->hosts, &h->name);
	free(h);
}

static struct host *host_get(struct schedule *s, struct span name)
{
	struct host *h = (struct host *)names_find(&s->hosts, name);

	if (h)
		return h;
	h = calloc(1, sizeof(*h) + name.n);
	if (!h)
		return NULL;
	memcpy(h + 1, name.p, name.n);
	h->name.text = span_of(h + 1, name.n);
	if (names_put(&s->hosts, &h->name))
		return h;
	free(h);
	return NULL;
}

/* It goes to that server now. Without memory for it, the server is not known. */
static void host_join(struct schedule *s, struct destination *d, struct span name)
{
	struct host *h;

	if (d->hop != HOP_MX || name.n == 0 ||
	    (d->host && span_eq(d->host->name.text, name)))
		return;
	host_leave(s, d);
	h = host_get(s, name);
	if (!h)
		return;
	leave(s, d);
	d->host = h;
	d->at_host = d->under_way;
	h->under_way += d->under_way;
	h->users++;
	stand(s, d, where(s, d));
}

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
	leave(s, d);
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
	stand(s, d, AT_REST);
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

/* ---- words --------------------------------------------------------------------------------------- */

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

void hop_print(enum hop hop, struct span target, struct buf *out)
{
	static const char *const words[HOP_COUNT] = {
		[HOP_MAILDIR] = "maildir",	[HOP_DISCARD] = "discard",
		[HOP_LMTP_UNIX] = "lmtp:unix:", [HOP_LMTP] = "lmtp:",
		[HOP_SMTP] = "smtp:",		[HOP_MX] = "mx:",
	};

	BUG_IF(hop >= HOP_COUNT);
	buf_put(out, span_str(words[hop]));
	buf_put(out, target);
}

void destination_print(const struct destination *d, struct buf *out)
{
	hop_print(d->hop, span_str(d->target), out);
}

/* ---- what happens to one ----------------------------------------------------------------------- */

void destination_due(struct schedule *s, struct destination *d, int64_t due)
{
	if (due >= d->next_due)
		return;
	d->next_due = due;
	settle(s, d);
}

void destination_hold(struct schedule *s, struct destination *d)
{
	d->users++;
	settle(s, d);
}

void destination_let_go(struct schedule *s, struct destination *d)
{
	BUG_IF(d->users == 0);
	d->users--;
	settle(s, d);
}

void destination_taking(struct schedule *s, struct destination *d)
{
	d->taking = true;
	d->next_due = MS_NEVER;
	settle(s, d);
}

void destination_taken(struct schedule *s, struct destination *d, int64_t next_due)
{
	d->taking = false;
	if (next_due < d->next_due)
		d->next_due = next_due;
	settle(s, d);
}

bool destination_begin(struct schedule *s, struct destination *d)
{
	enum standing_of as = standing(d);

	if (room(s, d) == 0)
		return false;
	d->under_way++;
	if (as != OF_LOCAL)
		s->under_way++;
	if (as == OF_NEW || as == OF_DEAD) {
		/* what began when it was new still counts as that */
		if (d->trials == 0)
			d->tried_as = as;
		d->trials++;
		s->trials[d->tried_as]++;
	}
	if (d->host) {
		d->host->under_way++;
		d->at_host++;
	}
	settle(s, d);
	return true;
}

static void end_trials(struct schedule *s, struct destination *d, unsigned count)
{
	if (count > d->trials)
		count = d->trials;
	d->trials -= count;
	s->trials[d->tried_as] -= count;
}

void destination_over(struct schedule *s, struct destination *d)
{
	BUG_IF(d->under_way == 0);
	d->under_way--;
	end_trials(s, d, 1);
	if (hop_is_network(d->hop)) {
		BUG_IF(s->under_way == 0);
		s->under_way--;
	}
	settle(s, d);
	if (d->at_host > 0) {
		d->at_host--;
		d->host->under_way--;
		settle(s, d);
		host_wake(s, d->host);
	}
}

void destination_answered(struct schedule *s, struct destination *d, struct span host)
{
	d->fails = 0;
	d->not_before = 0;
	d->known = true;
	end_trials(s, d, d->trials);
	window_won(&d->window, s->per_destination);
	host_join(s, d, host);
	if (d->host) {
		window_won(&d->host->window, s->per_destination);
		host_wake(s, d->host);
	}
	settle(s, d);
}

static void back_off(struct schedule *s, struct destination *d)
{
	uint64_t seed = (uint64_t)d->id ^ (uint64_t)s->now;

	/* several that were under way together are one failure */
	if (d->fails > 0 && s->now < d->not_before)
		return;
	d->fails++;
	d->not_before = s->now +
			pace_back_off(d->fails, s->retry_first, s->retry_max, seed);
}

void destination_pressed(struct schedule *s, struct destination *d, struct span host)
{
	bool least = window_size(&d->window, s->per_destination) == 1;

	destination_answered(s, d, host);
	window_lost(&d->window);
	if (d->host)
		window_lost(&d->host->window);
	if (least)
		back_off(s, d);
	settle(s, d);
}

void destination_failed(struct schedule *s, struct destination *d)
{
	window_lost(&d->window);
	back_off(s, d);
	/* the next try may find another server */
	host_leave(s, d);
	settle(s, d);
}

void destination_retry(struct schedule *s, struct destination *d)
{
	d->fails = 0;
	d->not_before = 0;
	settle(s, d);
}

/* ---- turns ---------------------------------------------------------------------------------------- */

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

/* It has room for one; so many are its part if all in its line get the same. */
static unsigned share(const struct schedule *s, const struct destination *d, unsigned line)
{
	unsigned most = room(s, d), left = less(s->total, s->under_way), part;

	/* with the first one it has something under way, and leaves the reserve to others */
	if (hop_is_network(d->hop) && most > at_least_one(less(left, s->total / 8)))
		most = at_least_one(less(left, s->total / 8));
	part = at_least_one(common_room(s, d) / line);
	part = part < most ? part : most;
	return part < TURN_MOST ? part : TURN_MOST;
}

/* The first of that line who has room. Who shares a server that has none waits there. */
static struct destination *turn_in(struct schedule *s, enum standing_of line,
				   unsigned *count)
{
	struct destination *d;

	while ((d = first_of(s, line)) && d->host && host_room(s, d->host) == 0)
		settle(s, d);
	/* who has something under way leaves the reserve to others */
	for (size_t i = s->ready[line].count; d && room(s, d) == 0; i--) {
		if (i == 0 || common_room(s, d) > 0 || d->under_way == 0 ||
		    less(s->total, s->under_way) == 0)
			return NULL;
		line_drop(&s->ready[line], d);
		line_put(&s->ready[line], d);
		d = s->ready[line].first;
	}
	if (!d)
		return NULL;
	*count = share(s, d, (unsigned)s->ready[line].count);
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
