#include "rehearse/crowd.h"

#include <math.h>
#include <stdlib.h>

#define NEVER	    ((double)MS_NEVER)
#define ANY	    UINT32_MAX
#define GONE	    UINT32_MAX
#define FAILED_WAIT 10.0       /* ms before a client that could not connect tries again */
#define RAMP_BURST  0.1	       /* s of the ramp that may come at once after a stall */
#define RETRIES_MAX (1u << 20) /* waiting for their time, in one crowd */

/* What the random numbers are for. */
enum { DRAW_CROWD = 0x6377, DRAW_GAP, DRAW_MOMENT, DRAW_LEAVE, DRAW_OTHER };

struct crowd_address {
	double due;    /* `visits`: when it comes next */
	uint32_t made; /* `visits`: how many have been planned, this one included */
	uint32_t at;   /* in present[], or GONE */
};

/* Closed loop: also a session that comes again, from any address. */
struct crowd_retry {
	double at;
	double due; /* of the first try: who is put off has waited since then */
	uint64_t number;
	uint32_t address; /* index among ours, or ANY */
	uint8_t retry;
};

static bool is_closed(const struct crowd *c)
{
	return c->actor->rate <= 0 && c->actor->visits == 0;
}

/* Addresses that come so often each, at moments of their own. */
static bool is_random_visits(const struct crowd *c)
{
	return c->actor->visits > 0 && !c->actor->even;
}

static bool has_own_addresses(const struct crowd *c)
{
	return c->actor->addresses >= c->workers;
}

static unsigned global_of(const struct crowd *c, uint32_t mine)
{
	return has_own_addresses(c) ? mine * c->workers + c->worker : mine;
}

static uint32_t mine_of(const struct crowd *c, unsigned address)
{
	return has_own_addresses(c) ? address / c->workers : address;
}

static bool is_ours(const struct crowd *c, uint64_t number, unsigned address)
{
	return (has_own_addresses(c) ? address : number) % c->workers == c->worker;
}

static bool is_present(const struct crowd *c, uint32_t mine)
{
	return c->addresses[mine].at != GONE;
}

static double fraction(const struct crowd *c, uint64_t what, uint64_t n)
{
	struct rng r = rng_of(c->seed, what, n);

	return rng_fraction(&r);
}

static void leave(struct crowd *c, uint32_t mine)
{
	struct crowd_address *a = &c->addresses[mine];

	if (a->at == GONE)
		return;
	c->present[a->at] = c->present[--c->present_n];
	c->addresses[c->present[a->at]].at = a->at;
	a->at = GONE;
	c->left += global_of(c, mine) % c->workers == c->worker;
}

/* Addresses by when they come next. */

static void queue_sink(struct crowd *c, unsigned i)
{
	uint32_t moving = c->queue[i];
	double due = c->addresses[moving].due;

	for (;;) {
		unsigned child = 2 * i + 1;

		if (child >= c->queue_n)
			break;
		if (child + 1 < c->queue_n && c->addresses[c->queue[child + 1]].due <
						      c->addresses[c->queue[child]].due)
			child++;
		if (c->addresses[c->queue[child]].due >= due)
			break;
		c->queue[i] = c->queue[child];
		i = child;
	}
	c->queue[i] = moving;
}

/*
 * Moments at random, one after the other: of m that lie evenly spread over what is left of the
 * time, the first one comes after 1 - U^(1/m) of it.
 */
static void plan_moment(struct crowd *c, uint32_t mine)
{
	struct crowd_address *a = &c->addresses[mine];
	uint64_t visits = c->actor->visits;
	uint64_t number = global_of(c, mine) * visits + a->made;
	double u = 1 - fraction(c, DRAW_MOMENT, number); /* never 0 */

	a->due += (c->ends - a->due) * (1 - pow(u, 1.0 / (double)(visits - a->made)));
	a->made++;
}

static void queue_all(struct crowd *c)
{
	for (uint32_t i = 0; i < c->addresses_n; i++) {
		c->addresses[i].due = c->began;
		plan_moment(c, i);
		c->queue[i] = i;
	}
	c->queue_n = c->addresses_n;
	for (unsigned i = c->queue_n / 2; i-- > 0;)
		queue_sink(c, i);
}

/* Open loop: the next visit that is ours. */

static void find_moment(struct crowd *c)
{
	while (c->queue_n) {
		uint32_t mine = c->queue[0];
		struct crowd_address *a = &c->addresses[mine];
		unsigned address = global_of(c, mine);
		struct crowd_visit v = {
			.number = (uint64_t)address * c->actor->visits + a->made - 1,
			.address = address,
			.due = a->due,
		};
		bool there = is_present(c, mine);

		if (there && a->made < c->actor->visits)
			plan_moment(c, mine);
		else
			c->queue[0] = c->queue[--c->queue_n];
		if (c->queue_n)
			queue_sink(c, 0);
		if (there && is_ours(c, v.number, address)) {
			c->next = v;
			return;
		}
	}
	c->next.due = NEVER;
}

/* All workers count through the visits of all, and each takes its own. */
static void find_turn(struct crowd *c)
{
	const struct actor *a = c->actor;

	while (c->present_n && c->counter < c->limit) {
		uint64_t n = c->counter++;
		unsigned address = (unsigned)(n % a->addresses);

		if (a->even) {
			c->counter_due = c->began + (double)n * c->gap;
		} else {
			struct rng r = rng_of(c->seed, DRAW_GAP, n);

			c->counter_due += rng_gap(&r, c->gap);
		}
		if (c->counter_due >= c->ends)
			break;
		if (!is_ours(c, n, address) || !is_present(c, mine_of(c, address)))
			continue;
		c->next = (struct crowd_visit){
			.number = n,
			.address = address,
			.due = c->counter_due,
		};
		return;
	}
	c->limit = 0;
	c->next.due = NEVER;
}

static void find_next(struct crowd *c)
{
	if (is_closed(c) || c->present_n == 0)
		c->next.due = NEVER;
	else if (is_random_visits(c))
		find_moment(c);
	else
		find_turn(c);
}

/* Those that come again. */

static bool retries_grow(struct crowd *c)
{
	unsigned cap = c->retries_cap ? c->retries_cap * 2 : 64;
	struct crowd_retry *more;

	if (c->retries_n < c->retries_cap)
		return true;
	if (cap > RETRIES_MAX)
		return false;
	more = realloc(c->retries, cap * sizeof(*more));
	if (!more)
		return false;
	c->retries = more;
	c->retries_cap = cap;
	return true;
}

static bool retries_put(struct crowd *c, struct crowd_retry r)
{
	unsigned i;

	if (!retries_grow(c))
		return false;
	i = c->retries_n++;
	while (i && c->retries[(i - 1) / 2].at > r.at) {
		c->retries[i] = c->retries[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	c->retries[i] = r;
	return true;
}

static struct crowd_retry retries_take(struct crowd *c)
{
	struct crowd_retry first = c->retries[0], last = c->retries[--c->retries_n];
	unsigned i = 0;

	for (;;) {
		unsigned child = 2 * i + 1;

		if (child >= c->retries_n)
			break;
		if (child + 1 < c->retries_n &&
		    c->retries[child + 1].at < c->retries[child].at)
			child++;
		if (c->retries[child].at >= last.at)
			break;
		c->retries[i] = c->retries[child];
		i = child;
	}
	if (c->retries_n)
		c->retries[i] = last;
	return first;
}

/* What comes next of all, and when. */

/* Forget what is due from addresses that have left since it was planned. */
static void drop_stale(struct crowd *c)
{
	while (c->next.due < NEVER && !is_present(c, mine_of(c, c->next.address)))
		find_next(c);
	while (c->retries_n && c->retries[0].address != ANY &&
	       !is_present(c, c->retries[0].address)) {
		struct crowd_retry r = retries_take(c);

		if (is_closed(c)) { /* the session goes on, from another address */
			r.address = ANY;
			retries_put(c, r);
		}
	}
}

static double earliest(const struct crowd *c)
{
	double at = c->next.due;

	if (c->slots)
		at = c->began;
	if (c->retries_n && c->retries[0].at < at)
		at = c->retries[0].at;
	return is_closed(c) && c->present_n == 0 ? NEVER : at;
}

static struct crowd_visit from_any(struct crowd *c, double due)
{
	uint32_t mine;

	if (c->turn >= c->present_n)
		c->turn = 0;
	mine = c->present[c->turn++];
	return (struct crowd_visit){
		.number = c->counter++ * c->workers + c->worker,
		.address = global_of(c, mine),
		.due = due,
	};
}

static struct crowd_visit take(struct crowd *c, double now)
{
	struct crowd_visit v = c->next;

	if (c->retries_n && c->retries[0].at <= v.due &&
	    (!c->slots || c->retries[0].at < c->began)) {
		struct crowd_retry r = retries_take(c);

		if (r.address == ANY)
			return from_any(c, c->ramp > 0 ? now : r.at);
		return (struct crowd_visit){
			.number = r.number,
			.address = global_of(c, r.address),
			.due = r.due,
			.retry = r.retry,
		};
	}
	if (c->slots) {
		c->slots--;
		return from_any(c, c->ramp > 0 ? now : c->began);
	}
	find_next(c);
	return v;
}

/* May one more connection be opened now? Else *until says when. */
static bool ramp_allows(struct crowd *c, double now, double *until)
{
	double most = fmax(1, c->ramp * RAMP_BURST);

	if (c->ramp <= 0)
		return true;
	c->ramp_credit = fmin(most, c->ramp_credit + (now - c->ramp_at) * c->ramp / 1000);
	c->ramp_at = now;
	if (c->ramp_credit < 1) {
		*until = now + (1 - c->ramp_credit) * 1000 / c->ramp;
		return false;
	}
	c->ramp_credit -= 1;
	return true;
}

enum crowd_next crowd_next(struct crowd *c, double now, struct crowd_visit *out,
			   double *until)
{
	double at;

	*until = NEVER;
	drop_stale(c);
	at = earliest(c);
	if (at >= c->ends)
		return CROWD_WAIT;
	if (at > now) {
		*until = at;
		return CROWD_WAIT;
	}
	if (c->over || (now >= c->ends && !c->actor->honest)) {
		if (is_closed(c))
			return CROWD_WAIT;
		*out = take(c, now);
		return CROWD_SKIPPED;
	}
	if (c->open >= c->parallel) {
		if (c->actor->honest)
			return CROWD_WAIT;
		*out = take(c, now);
		return CROWD_SKIPPED;
	}
	if (!ramp_allows(c, now, until))
		return CROWD_WAIT;
	*out = take(c, now);
	c->open++;
	return CROWD_VISIT;
}

static const struct reaction *reaction_to(const struct actor *a, enum end end,
					  enum stage stage)
{
	bool refusal = end == END_LATER || end == END_NO || end == END_DROPPED;

	if (refusal && a->on_stage[stage].set)
		return &a->on_stage[stage];
	if (end != END_OVER && a->on_end[end].set)
		return &a->on_end[end];
	return NULL;
}

/* The same visit once more. */
static bool plan_retry(struct crowd *c, const struct reaction *r,
		       const struct crowd_visit *v, double now)
{
	struct crowd_retry again = {
		.at = now + fmax((double)r->after, FAILED_WAIT),
		.due = v->due,
		.number = v->number,
		.address = mine_of(c, v->address),
		.retry = v->retry < UINT8_MAX ? (uint8_t)(v->retry + 1) : v->retry,
	};

	if (r->elsewhere && c->present_n) {
		struct rng draw = rng_of(c->seed, DRAW_OTHER, v->number << 8 | v->retry);

		again.address = c->present[rng_below(&draw, c->present_n)];
	}
	return again.at < c->ends && is_present(c, again.address) && retries_put(c, again);
}

bool crowd_ended(struct crowd *c, const struct crowd_visit *v, enum end end,
		 enum stage stage, double now)
{
	const struct reaction *r = reaction_to(c->actor, end, stage);
	bool failed = end == END_OVER || (end == END_DROPPED && stage == STAGE_CONNECT);
	double pause = fmax((double)c->actor->pause, failed ? FAILED_WAIT : 0);

	c->open--;
	if (r && r->kind == REACT_LEAVE &&
	    fraction(c, DRAW_LEAVE, v->number << 8 | v->retry) < r->chance)
		leave(c, mine_of(c, v->address));
	if (r && r->kind == REACT_RETRY && plan_retry(c, r, v, now))
		return true;
	if (is_closed(c))
		retries_put(c, (struct crowd_retry){ .at = now + pause, .address = ANY });
	return false;
}

static unsigned share(unsigned all, unsigned worker, unsigned workers)
{
	return all / workers + (worker < all % workers);
}

static bool take_memory(struct crowd *c)
{
	size_t n = c->addresses_n;

	c->addresses = calloc(n, sizeof(*c->addresses));
	c->present = calloc(n, sizeof(*c->present));
	if (is_random_visits(c))
		c->queue = calloc(n, sizeof(*c->queue));
	return c->addresses && c->present && (c->queue || !is_random_visits(c));
}

bool crowd_open(struct crowd *c, const struct actor *a, unsigned index, unsigned worker,
		unsigned workers, uint64_t seed, ms_t began, ms_t ends, struct err *e)
{
	struct rng own = rng_of(seed, DRAW_CROWD, index);
	uint64_t all = (uint64_t)a->addresses * a->visits;

	*c = (struct crowd){
		.actor = a,
		.index = index,
		.worker = worker,
		.workers = workers < a->parallel ? workers : a->parallel,
		.seed = rng_next(&own),
		.began = (double)began,
		.ends = (double)ends,
		.next.due = NEVER,
		.ramp_credit = 1,
		.ramp_at = (double)began,
	};
	if (worker >= c->workers || ends <= began)
		return true;
	c->addresses_n = has_own_addresses(c) ? share(a->addresses, worker, c->workers)
					      : a->addresses;
	c->parallel = share(a->parallel, worker, c->workers);
	c->ramp = a->ramp * c->parallel / a->parallel;
	c->gap = a->visits ? (c->ends - c->began) / (double)all : 1000 / a->rate;
	c->rate = is_closed(c) ? 0 : 1000 / c->gap / c->workers;
	c->counter_due = c->began;
	c->limit = a->visits ? all : UINT64_MAX;
	if (!take_memory(c)) {
		crowd_close(c);
		return err_set(e, "%s: no memory for %u addresses", a->name, a->addresses);
	}
	for (uint32_t i = 0; i < c->addresses_n; i++)
		c->addresses[i].at = c->present[i] = i;
	c->present_n = c->addresses_n;
	if (is_random_visits(c))
		queue_all(c);
	if (is_closed(c))
		c->slots = c->parallel;
	else
		find_next(c);
	return true;
}

void crowd_close(struct crowd *c)
{
	free(c->addresses);
	free(c->present);
	free(c->queue);
	free(c->retries);
	*c = (struct crowd){ .next.due = NEVER };
}
