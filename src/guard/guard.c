#include "guard/guard.h"

#include "base/attr.h"
#include "guard/access.h"
#include "guard/judge.h"

#define GOOD_TIMES 10	/* the limits of a known-good client */
#define US	   1000 /* of a millisecond */
#define LEFT_TRIES 8	/* to lock a row, for what must not be lost: who is here */

/* ---- who came or left while the row was locked -------------------------------------------- */

static struct guard_late *late_of(struct guard *g, struct guard_key k)
{
	for (size_t i = 0; i < g->late_count; i++)
		if (guard_key_eq(g->late[i].key, k))
			return &g->late[i];
	return NULL;
}

/* False: more rows are locked than anybody has seen yet. */
APART static bool be_late(struct guard *g, struct guard_key k, int32_t by)
{
	struct guard_late *late = late_of(g, k);

	if (!late && g->late_count == GUARD_LATE)
		return false;
	if (!late) {
		late = &g->late[g->late_count++];
		*late = (struct guard_late){ .key = k };
	}
	late->sessions += by;
	if (late->sessions == 0)
		*late = g->late[--g->late_count];
	return true;
}

/* Half of the places: who is forgotten here counts less, who is forgotten there for ever. */
static bool be_early(struct guard *g, struct guard_key k)
{
	return g->late_count < GUARD_LATE / 2 && be_late(g, k, 1);
}

/* Whoever its row does not count yet need not be counted out there. */
static bool is_uncounted(struct guard *g, struct guard_key k)
{
	struct guard_late *late = late_of(g, k);

	return late && late->sessions > 0;
}

static bool count_in(struct guard *g, const struct guard_late *late, ms_t now)
{
	struct guard_hot *row = memory_open_row(&g->memory, late->key, now);

	if (!row)
		return false;
	row->sessions += (uint32_t)late->sessions;
	memory_close_row(&g->memory, row);
	return true;
}

static bool count_out(struct guard *g, const struct guard_late *late)
{
	return memory_left(&g->memory, late->key, (uint32_t)-late->sessions, 0, 0);
}

void guard_catch_up(struct guard *g, ms_t now)
{
	size_t kept = 0;

	for (size_t i = 0; i < g->late_count; i++) {
		const struct guard_late was = g->late[i];

		if (was.sessions > 0 ? !count_in(g, &was, now) : !count_out(g, &was))
			g->late[kept++] = was;
	}
	g->late_count = kept;
}

/* ---- one decision ----------------------------------------------------------------------- */

/* What was forgiven, as guard seconds: the wall clock may be set, so it is never later. */
static gsec_t pardon_of(const struct guard *g, const struct net *n, ms_t now, int64_t wall)
{
	int64_t since = orders_pardoned(g->orders, n);

	if (since == 0)
		return 0;
	return memory_second(since < wall ? now - (wall - since) : now);
}

void judge_begin(struct judge *j, struct guard *g, const struct addr *a, ms_t now,
		 int64_t wall)
{
	j->g = g;
	j->now = now;
	j->at = memory_second(now);
	guard_keys_of(a, j->key);
	for (enum guard_level l = LEVEL_CLIENT; l < LEVEL_COUNT; l++) {
		j->place[l] = memory_place(&g->memory, j->key[l]);
		j->pardoned[l] = 0;
	}
	if (!g->orders || !orders_any_pardon(g->orders))
		return;
	for (enum guard_level l = LEVEL_CLIENT; l < LEVEL_COUNT; l++) {
		/* an address that was forgiven is, with all that shares its key */
		struct net one = { .addr = *a, .bits = 128 };
		struct net n = l == LEVEL_CLIENT ? one : guard_key_net(j->key[l]);

		j->pardoned[l] = pardon_of(g, &n, now, wall);
	}
}

struct guard_hot *judge_open(struct judge *j, enum guard_level level, bool known)
{
	const struct memory *m = &j->g->memory;
	struct guard_hot *row = memory_open_at(m, &j->place[level], j->key[level], j->now,
					       known);

	if (!row)
		return NULL;
	if (j->pardoned[level])
		ladder_pardon(j, row, j->pardoned[level]);
	if (row->ban.step >= STEP_REFUSE) {
		__builtin_prefetch(&m->detail[row - m->hot].seen[EV_CAME_AGAIN], 1);
		ladder_over(j, row);
	}
	return row;
}

struct guard_detail *judge_detail(struct judge *j, struct guard_hot *row)
{
	struct guard_detail *detail = memory_detail(&j->g->memory, row);

	row->flags |= HOT_DETAIL;
	return detail;
}

void judge_close(struct judge *j, struct guard_hot *row)
{
	memory_close_row(&j->g->memory, row);
}

uint64_t judge_chance(struct guard *g)
{
	uint64_t z = g->chance += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* ---- who may come in ---------------------------------------------------------------------- */

/* Of several reasons the first one here is told. */
static const uint8_t rank_of[RULE_COUNT] = {
	[RULE_ORDER] = 1,    [RULE_DENIED] = 2, [RULE_POINTS] = 3,
	[RULE_HISTORY] = 3,  [RULE_PREFIX] = 4, [RULE_LOCKDOWN] = 5,
	[RULE_SESSIONS] = 6, [RULE_RATE] = 7,	[RULE_ROOM] = 8,
};

/* A reason to refuse, and whose row it stands in. */
struct reason {
	enum rule rule;
	uint8_t level, step;
	ms_t until;
};

/* Of a rate, in microseconds: the interval, how far ahead of it one may be, or anybody is. */
struct pace {
	int64_t each, ahead, most;
};

/* Small enough that clearing it is a handful of stores, and not a loop that takes 10 ns. */
struct arrival {
	struct judge *j;
	struct guard_visit *v;
	struct guard_verdict *out;
	struct reason meant, observed; /* the first of each; RULE_NONE: there is none */
	int64_t each; /* microseconds between connections of a client; 0: any */
	int64_t now_us;
	unsigned took; /* a bit for each level whose row counts it as here */
	bool spared;   /* from bans of its prefix */
	bool told;     /* the reason has been noted in its row */
};

APART static void object(struct arrival *a, enum rule rule, enum guard_level level,
			 uint8_t step, ms_t until)
{
	struct reason *r = ladder_observed(a->j->g, rule) ? &a->observed : &a->meant;

	if (r->rule == RULE_NONE || rank_of[rule] < rank_of[r->rule])
		*r = (struct reason){ rule, (uint8_t)level, step, until };
}

static ms_t wall_to_now(const struct arrival *a, int64_t until, int64_t wall)
{
	return until == INT64_MAX || until < wall || until - wall > INT64_MAX / 2
		       ? MS_NEVER
		       : a->j->now + (until - wall);
}

static void ask_lists(struct arrival *a, const struct addr *from, int64_t wall)
{
	const struct guard *g = a->j->g;
	struct access_hit hit;

	if (!g->access)
		return;
	hit = access_client(g->access, g->access_n, from, wall);
	if (hit.answer == ACCESS_PERMIT)
		a->v->allowed = true;
	if (hit.answer == ACCESS_DENY)
		object(a, RULE_DENIED, LEVEL_CLIENT, STEP_REFUSE,
		       wall_to_now(a, hit.until, wall));
}

static void ask_orders(struct arrival *a, const struct addr *from, int64_t wall)
{
	struct order order;
	bool ordered = orders_find(a->j->g->orders, from, wall, &order);

	if (ordered && order.kind == ORDER_ALLOW) {
		a->v->allowed = true;
		return;
	}
	ask_lists(a, from, wall);
	if (ordered && order.kind == ORDER_BAN && !a->v->allowed)
		object(a, RULE_ORDER, LEVEL_CLIENT, STEP_REFUSE,
		       wall_to_now(a, order.until, wall));
}

/* What the administrator said. Mostly there is no order, and an order is large. */
static void ask_administrator(struct arrival *a, const struct addr *from, int64_t wall)
{
	const struct orders *orders = a->j->g->orders;

	if (orders && orders_any(orders))
		ask_orders(a, from, wall);
	else
		ask_lists(a, from, wall);
}

/*
 * A known-good client alone may be ten times as fast. In a prefix strangers can use up
 * what is theirs, and the tenfold room of known-good clients is beyond that.
 */
static inline struct pace pace_of(const struct arrival *a, enum guard_level level)
{
	const struct guard_limits *l = &a->j->g->limits;
	int64_t burst = (l->connect_burst > 0 ? l->connect_burst : 1) *
			guard_key_share(level);
	/* by numbers that are known beforehand: a division costs as much as the rest of it */
	int64_t each = level == LEVEL_CLIENT ? a->each
		       : level == LEVEL_NEAR ? a->each / 3
					     : a->each / 9;
	int64_t all = burst * each;
	int64_t wide = level == LEVEL_CLIENT ? all : all * GOOD_TIMES, good;

	if (!a->v->known_good)
		return (struct pace){ each, all - each, wide };
	good = (each + GOOD_TIMES - 1) / GOOD_TIMES;
	return (struct pace){ good, wide - good, wide };
}

static int64_t interval_of(const struct guard_limits *l)
{
	if (l->connect_rate <= 0 || l->connect_rate > UINT32_MAX)
		return 0;
	return (uint32_t)(MS_MINUTE * US) / (uint32_t)l->connect_rate;
}

/* GCRA: next_connect is when the next would come if all were evenly spaced. */
static inline bool too_fast(struct guard_hot *row, const struct pace *p, int64_t now_us)
{
	int64_t ahead = row->next_connect - now_us;

	/* further than can be: a clock has stepped back, or the limit was changed */
	if (ahead > p->most + p->each) {
		row->next_connect = now_us;
		ahead = 0;
	}
	return ahead > p->ahead;
}

static inline void judge_limits(struct arrival *a, struct guard_hot *row,
				enum guard_level level, const struct pace *pace)
{
	const struct guard_limits *l = &a->j->g->limits;
	int64_t most = l->per_address * guard_key_share(level) *
		       (a->v->known_good ? GOOD_TIMES : 1);

	if (most > 0 && (int64_t)row->sessions >= most)
		object(a, RULE_SESSIONS, level, STEP_REFUSE, 0);
	if (a->each == 0)
		return;
	if (too_fast(row, pace, a->now_us))
		object(a, RULE_RATE, level, STEP_REFUSE, 0);
}

APART static void judge_ban(struct arrival *a, struct guard_hot *row,
			    enum guard_level level)
{
	ms_t left;

	if (!ladder_holds(row, a->j->at) || (level != LEVEL_CLIENT && a->spared))
		return;
	left = (ms_t)(row->ban.until - a->j->at) * MS_SECOND;
	ladder_tried(a->j, row);
	object(a, (enum rule)row->ban.rule, level,
	       row->ban.step >= STEP_DROP ? STEP_DROP : STEP_REFUSE, a->j->now + left);
}

/* Let it count as here, from now on: until guard_left(), or until it is refused after all. */
static inline void take(struct arrival *a, struct guard_hot *row, enum guard_level level,
			const struct pace *pace)
{
	int64_t next = row->next_connect;

	row->sessions++;
	a->took |= 1u << level;
	if (a->v->allowed)
		return;
	row->next_connect = (next < a->now_us ? a->now_us : next) + pace->each;
}

static void give_back(struct arrival *a, struct guard_hot *row, enum guard_level level)
{
	row->sessions -= row->sessions > 0;
	a->took &= ~(1u << level);
	if (!a->v->allowed)
		row->next_connect -= pace_of(a, level).each;
}

/* What the client's own row says of it; whether its standing as known-good has changed. */
static inline int know(struct arrival *a, struct guard_hot *row)
{
	const struct guard_limits *l = &a->j->g->limits;
	bool was = row->flags & HOT_GOOD, good = false;

	if (row->good >= l->good_after) {
		score_fade(row, l, a->j->now);
		good = score_is_good(row, l);
	}

	row->flags = (uint8_t)(good ? row->flags | HOT_GOOD : row->flags & ~HOT_GOOD);
	a->v->known_good = good;
	a->spared = good || score_is_shared(row, l);
	a->out->passed = row->flags & HOT_PASSED;
	return good - was;
}

static void change_good_inside(struct guard_hot *row, int by)
{
	if (by > 0)
		row->good_inside++;
	else if (by < 0 && row->good_inside > 0)
		row->good_inside--;
}

/* Of a prefix that was forgotten before its clients one is enough to spare it. */
static void find_good_inside(const struct arrival *a, struct guard_hot *row, int by)
{
	change_good_inside(row, by);
	if (a->v->known_good && row->good_inside == 0)
		row->good_inside = 1;
}

static enum event event_of(enum rule rule)
{
	if (rule == RULE_RATE)
		return EV_TOO_FAST;
	if (rule == RULE_SESSIONS)
		return EV_TOO_MANY;
	if (rule == RULE_ORDER || rule == RULE_DENIED)
		return EV_DENIED;
	return rule == RULE_POINTS || rule == RULE_HISTORY || rule == RULE_PREFIX
		       ? EV_CAME_AGAIN
		       : EV_NONE;
}

APART static void note_reason(struct arrival *a, struct guard_hot *row, enum event e)
{
	uint32_t *seen;

	a->told = true;
	a->out->worth_a_line = ladder_tells(row, &a->out->tries);
	if (e != EV_CAME_AGAIN && e != EV_DENIED)
		return;
	seen = &judge_detail(a->j, row)->seen[e];
	*seen += *seen < UINT32_MAX;
	row->did |= (uint16_t)(1u << event_table[e].says);
}

/* No other row can have a reason that comes before this one. */
static bool is_final(const struct reason *r)
{
	return r->rule != RULE_NONE && rank_of[r->rule] <= rank_of[RULE_POINTS];
}

/* Locked, or no place for it: then it is let in, as it may be known-good, and counted later. */
APART static void arrive_unseen(struct arrival *a, enum guard_level level)
{
	a->spared |= level == LEVEL_CLIENT;
	if (a->meant.rule == RULE_NONE && be_early(a->j->g, a->j->key[level]))
		a->took |= 1u << level;
}

/* Its level is a constant wherever it is called: much of it can be reckoned beforehand. */
INLINE void arrive(struct arrival *a, enum guard_level level, int *good)
{
	struct guard_hot *row = judge_open(a->j, level, false);
	struct pace pace;

	if (!row) {
		arrive_unseen(a, level);
		return;
	}
	score_connection(row, a->j->at);
	if (a->v->behind)
		row->flags |= HOT_BEHIND;
	if (level == LEVEL_CLIENT)
		*good = know(a, row);
	else
		find_good_inside(a, row, *good);
	pace = pace_of(a, level);
	if (!a->v->allowed) {
		if (row->ban.step >= STEP_REFUSE)
			judge_ban(a, row, level);
		judge_limits(a, row, level, &pace);
	}
	if (a->meant.rule == RULE_NONE)
		take(a, row, level, &pace);
	else
		row->refused += row->refused < UINT32_MAX;
	if (level == LEVEL_CLIENT && is_final(&a->meant))
		note_reason(a, row, event_of(a->meant.rule));
	judge_close(a->j, row);
}

static void judge_room(struct arrival *a)
{
	struct guard *g = a->j->g;

	if (a->v->allowed)
		return;
	if (!a->v->known_good && g->orders && orders_in_lockdown(g->orders))
		object(a, RULE_LOCKDOWN, LEVEL_CLIENT, STEP_REFUSE, 0);
	if (!room_for(g, a->v->known_good))
		object(a, RULE_ROOM, LEVEL_CLIENT, STEP_REFUSE, 0);
}

/*
 * What follows from the reason in its own row, and, if it is refused, in those that had
 * let it in before the reason was found.
 */
static void settle(struct arrival *a, const struct reason *r, bool refused)
{
	enum event e = event_of(r->rule);
	struct guard *g = a->j->g;

	for (enum guard_level l = LEVEL_CLIENT; l < LEVEL_COUNT; l++) {
		bool took = refused && a->took & 1u << l,
		     its = l == (enum guard_level)r->level && !a->told;
		struct guard_hot *row;

		if (took && is_uncounted(g, a->j->key[l])) {
			(void)be_late(g, a->j->key[l], -1);
			a->took &= ~(1u << l);
			took = false;
		}
		if (!took && !its)
			continue;
		row = judge_open(a->j, l, true);
		if (!row) {
			if (took)
				(void)be_late(g, a->j->key[l], -1);
			a->took &= ~(took ? 1u << l : 0);
			continue;
		}
		if (took) {
			give_back(a, row, l);
			row->refused += row->refused < UINT32_MAX;
		}
		if (its)
			note_reason(a, row, e);
		judge_close(a->j, row);
	}
	if (e == EV_TOO_FAST || e == EV_TOO_MANY)
		deeds_charge(a->j, a->v, e, (enum guard_level)r->level);
}

static void decide(struct arrival *a)
{
	bool refused = a->meant.rule != RULE_NONE;
	const struct reason *r = refused ? &a->meant : &a->observed;

	a->out->allowed = a->v->allowed;
	a->out->known_good = a->v->known_good;
	a->out->rule = r->rule;
	a->out->until = r->until;
	a->out->observed = !refused && r->rule != RULE_NONE;
	a->out->step = refused ? (enum guard_step)r->step : STEP_NONE;
	if (r->rule != RULE_NONE)
		settle(a, r, refused);
	a->v->counted = (uint8_t)a->took;
}

struct guard_verdict guard_came(struct guard *g, struct guard_visit *v,
				const struct addr *from, bool behind, ms_t now,
				int64_t wall)
{
	struct guard_verdict out = { 0 };
	UNCLEARED struct judge j; /* judge_begin() writes it; to clear it takes 12 ns */
	struct arrival a = {
		.j = &j,
		.v = v,
		.out = &out,
		.each = interval_of(&g->limits),
		.now_us = now * US,
	};
	int good = 0;

	*v = (struct guard_visit){ .addr = *from, .behind = behind };
	if (g->access)
		access_expect(g->access, g->access_n, from);
	judge_begin(&j, g, from, now, wall);
	/* what each says about where to look next comes while the others are on their way */
	memory_expect(&g->memory, j.place, LEVEL_COUNT);
	if (g->access)
		access_expect_keys(g->access, g->access_n, from);
	memory_expect_rows(&g->memory, j.place, LEVEL_COUNT);
	ask_administrator(&a, from, wall);
	arrive(&a, LEVEL_CLIENT, &good);
	judge_room(&a);
	arrive(&a, LEVEL_NEAR, &good);
	arrive(&a, LEVEL_WIDE, &good);
	decide(&a);
	return out;
}

void guard_left(struct guard *g, struct guard_visit *v, uint64_t bytes, uint64_t busy_us)
{
	for (enum guard_level l = LEVEL_CLIENT; l < LEVEL_COUNT; l++) {
		struct guard_key k = guard_key_of(&v->addr, l);
		bool told = !(v->counted & 1u << l);

		if (!told && is_uncounted(g, k))
			told = be_late(g, k, -1);
		for (unsigned i = 0; i < LEFT_TRIES && !told; i++)
			told = memory_left(&g->memory, k, 1, bytes, busy_us);
		if (!told)
			(void)be_late(g, k, -1);
	}
	v->counted = 0;
}
