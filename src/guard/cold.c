#include "base/attr.h"
#include "guard/fade.h"
#include "guard/inside.h"

#define FLAGS	   0x1f
#define STEP_AT	   5
#define OBSERVED   0x80
#define INSIDE	   31 /* the most good_inside that is kept */
#define SIXTEENTHS 16

/* Above what it says stands its rank: to compare eight rows needs no more of them. */
#define RANK_AT 13
#define SAYS	COLD_SAYS
_Static_assert(SAYS == (1u << RANK_AT) - 1 && SAYS_COUNT <= RANK_AT && RANK_OPEN < 8,
	       "both fit into sixteen bits");

#define CONNECTS 0x3ff
#define GAP_AT	 10
#define GAP_MOST (UINT32_C(3) << 30)

/* ---- one row --------------------------------------------------------------------------- */

struct guard_key cold_key(const struct guard_cold *c)
{
	return (struct guard_key){ .prefix = c->prefix,
				   .kind = (uint8_t)((c->kind & 7) - 1) };
}

/*
 * Sixteen bits over the other thirty bytes: a row that was torn has others. None of the four
 * products waits for another, and all is read as it was written: who reads bytes that were
 * just written as words waits until they are in the cache.
 */
static inline uint16_t check_of(const struct guard_cold *c)
{
	uint64_t what = (uint64_t)c->kind | (uint64_t)c->flags << 8 |
			(uint64_t)c->rule << 16 | (uint64_t)c->level << 24 |
			(uint64_t)c->last << 32;
	uint64_t until = (uint64_t)c->until | (uint64_t)c->slow << 32 |
			 (uint64_t)c->good << 48;
	uint64_t says = (uint64_t)c->visits | (uint64_t)c->came << 16 |
			(uint64_t)c->says << 32;
	uint64_t h = (c->prefix ^ UINT64_C(0x9e3779b97f4a7c15)) *
			     UINT64_C(0xd6e8feb86659fd93) +
		     (what ^ UINT64_C(0xc2b2ae3d27d4eb4f)) * UINT64_C(0x9fb21c651e98df25) +
		     (until ^ UINT64_C(0x165667b19e3779f9)) * UINT64_C(0xa0761d6478bd642f) +
		     (says ^ UINT64_C(0x27d4eb2f165667c5)) * UINT64_C(0xe7037ed1a0b428db);

	h ^= h >> 32;
	return (uint16_t)(h ^ h >> 16);
}

bool cold_ok(const struct guard_cold *c)
{
	return (c->kind & 7) != 0 && guard_key_ok(cold_key(c)) && c->rule < RULE_COUNT &&
	       c->check == check_of(c);
}

static enum rank rank_of(unsigned flags, bool good, bool offended)
{
	return flags & HOT_GOOD	    ? RANK_KNOWN_GOOD
	       : good		    ? RANK_GOOD
	       : offended	    ? RANK_OFFENDED
	       : flags & HOT_PASSED ? RANK_PASSED
				    : RANK_PASSER_BY;
}

/* What it is worth once no ban holds, and that it is whole. */
void cold_seal(struct guard_cold *c)
{
	enum rank after = rank_of(c->flags, c->good || c->kind >> 3,
				  c->slow >= SIXTEENTHS || c->level || c->visits);

	c->says = (uint16_t)((c->says & SAYS) | (unsigned)after << RANK_AT);
	c->check = check_of(c);
}

static uint16_t at_most(uint32_t n, uint32_t max)
{
	return (uint16_t)(n < max ? n : max);
}

/* Seconds in six bits: 0, 1, 2, 3, 4, 6, 8, 12 and so on; rounded up. */
static unsigned gap_bits(uint32_t s)
{
	unsigned shift;

	if (s < 2)
		return s;
	if (s > GAP_MOST)
		s = GAP_MOST;
	shift = 30 - (unsigned)__builtin_clz(s);
	return 2 * shift + (unsigned)((s + (UINT64_C(1) << shift) - 1) >> shift);
}

static uint32_t gap_of(unsigned bits)
{
	return bits < 2 ? bits : (2 + (bits & 1)) << (bits / 2 - 1);
}

uint16_t cold_came(uint32_t connects, uint32_t gap)
{
	return (uint16_t)(at_most(connects, CONNECTS) | gap_bits(gap) << GAP_AT);
}

/* A ban that follows is to last some of its own pauses, which nobody else remembers. */
static uint32_t mean_gap(const struct guard_hot *row)
{
	uint32_t pauses = row->connects - 1;

	if (row->connects < 2 || row->last <= row->first)
		return 0;
	return (uint32_t)(((uint64_t)(row->last - row->first) + pauses - 1) / pauses);
}

/* So long before `last` that the mean pause is what it was. */
static gsec_t first_of(const struct guard_cold *c)
{
	uint32_t connects = c->came & CONNECTS;
	uint64_t known = connects < 2
				 ? 0
				 : (uint64_t)gap_of(c->came >> GAP_AT) * (connects - 1);

	return known < c->last ? (gsec_t)(c->last - known) : 1;
}

static uint16_t sixteenths(double points)
{
	double s = points * SIXTEENTHS + 0.5;

	return s > 0 ? s < UINT16_MAX ? (uint16_t)s : UINT16_MAX : 0;
}

static gsec_t later(gsec_t a, gsec_t b)
{
	return a > b ? a : b;
}

static uint8_t flags_of(const struct guard_hot *row)
{
	unsigned step = row->ban.step >= STEP_REFUSE ? row->ban.step - STEP_REFUSE + 1 : 0;

	return (uint8_t)((row->flags & FLAGS) | (step & 3) << STEP_AT |
			 (row->ban.observed ? OBSERVED : 0));
}

/*
 * `last` is when it was last heard of, not only when it connected: a ban that was put on
 * it in its session must not look older than it is (a pardon in between would lift it).
 */
void cold_of_hot(const struct guard_hot *row, ms_t half_slow, struct guard_cold *out)
{
	gsec_t last = later(later(row->last, row->points_at), row->ban.since);
	int64_t age = (int64_t)(last - row->points_at) * MS_SECOND;
	struct guard_cold c = {
		.prefix = row->key.prefix,
		.kind = (uint8_t)((row->key.kind + 1) | at_most(row->good_inside, INSIDE)
								<< 3),
		.flags = flags_of(row),
		.rule = row->ban.rule,
		.level = row->ban.level,
		.last = last,
		.until = row->ban.until,
		.slow = sixteenths(fade(row->slow, age, half_slow)),
		.good = at_most(row->good, UINT16_MAX),
		.visits = at_most(row->visits, UINT16_MAX),
		.came = cold_came(row->connects, mean_gap(row)),
		.says = row->says | row->did,
	};

	cold_seal(&c);
	*out = c;
}

void hot_of_cold(const struct guard_cold *c, struct guard_hot *out)
{
	unsigned step = c->flags >> STEP_AT & 3;

	out->key = cold_key(c);
	out->flags = c->flags & FLAGS;
	out->says = c->says & SAYS;
	out->first = first_of(c);
	out->last = out->points_at = c->last;
	out->slow = (float)c->slow / SIXTEENTHS;
	out->good = c->good;
	out->good_inside = c->kind >> 3;
	out->visits = c->visits;
	out->connects = c->came & CONNECTS;
	out->ban.level = c->level;
	out->ban.rule = c->rule;
	if (c->until) {
		out->ban.until = c->until;
		out->ban.since = c->last < c->until ? c->last : c->until;
		out->ban.step = (uint8_t)(step ? STEP_REFUSE + step - 1 : STEP_NONE);
		out->ban.observed = (c->flags & OBSERVED) != 0;
	}
}

static uint32_t more(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

void hot_join(struct guard_hot *row, const struct guard_cold *c)
{
	struct guard_hot was = { 0 };
	uint8_t level = row->ban.level;

	hot_of_cold(c, &was);
	if (was.ban.until > row->ban.until)
		row->ban = was.ban;
	row->ban.level = (uint8_t)more(level, was.ban.level);
	/* of who has none yet they are as old as they are: they fade, and may be pardoned */
	if (row->fast == 0 && row->slow == 0)
		row->points_at = was.points_at;
	row->slow = was.slow > row->slow ? was.slow : row->slow;
	row->good = more(row->good, was.good);
	row->good_inside = more(row->good_inside, was.good_inside);
	row->visits = more(row->visits, was.visits);
	row->connects = more(row->connects, was.connects);
	row->says |= was.says;
	row->flags |= was.flags;
	if (was.first && was.first < row->first)
		row->first = was.first;
}

/* From 0 to a thousand million, told by the bits: what is negative or no number has more. */
static unsigned untidy(const float *f)
{
	uint32_t bits;

	_Static_assert(sizeof(bits) == sizeof(*f), "IEEE 754");
	memcpy(&bits, f, sizeof(bits));
	return bits >= UINT32_C(0x4e6e6b28);
}

static void tidy(float *f)
{
	if (untidy(f))
		*f = 0;
}

APART static void put_right(struct guard_hot *row)
{
	if (row->ban.step >= STEP_COUNT)
		row->ban.step = STEP_NONE;
	if (row->ban.rule >= RULE_COUNT)
		row->ban.rule = RULE_NONE;
	tidy(&row->ban.before);
	tidy(&row->ban.points);
	tidy(&row->fast);
	tidy(&row->slow);
	tidy(&row->per_hour);
}

/* Most are as they should be, and are not written again. */
void hot_tidy(struct guard_hot *row)
{
	unsigned off = (unsigned)(row->ban.step >= STEP_COUNT) |
		       (unsigned)(row->ban.rule >= RULE_COUNT) |
		       untidy(&row->ban.before) | untidy(&row->ban.points) |
		       untidy(&row->fast) | untidy(&row->slow) | untidy(&row->per_hour);

	if (__builtin_expect(off, 0))
		put_right(row);
}

/* ---- worth ------------------------------------------------------------------------------- */

struct brief brief_of(const struct guard_hot *row)
{
	gsec_t last = later(row->last, row->points_at);
	enum rank after = rank_of(row->flags, row->good || row->good_inside,
				  row->offended || row->visits || row->slow >= 1 ||
					  row->ban.level);
	bool banned = row->ban.until > last;

	return (struct brief){
		.rank = (uint8_t)(row->sessions ? RANK_OPEN
				  : banned	? RANK_BANNED
						: after),
		.after = (uint8_t)after,
		.time = banned ? row->ban.until : last,
	};
}

/* Within a rank: who was here last; of bans, which lasts longest. */
uint32_t memory_worth(const struct guard_hot *row, gsec_t now)
{
	struct brief b = brief_of(row);
	uint32_t rank = brief_rank(b.rank, b.after, b.time, now);
	uint32_t most = (UINT32_C(1) << 28) - 1, in;
	gsec_t age = now > b.time ? now - b.time : 0;

	if (rank == RANK_OPEN)
		return UINT32_MAX;
	if (rank == RANK_BANNED)
		in = b.time - now < most ? b.time - now : most;
	else
		in = age < most ? most - age : 0;
	return rank << 28 | in;
}

/* Of a place that is free 0. */
static inline uint64_t cold_worth(const struct guard_cold *c, gsec_t now)
{
	bool banned = c->until > now;

	return (uint64_t)(banned ? RANK_BANNED : c->says >> RANK_AT) << 32 |
	       (banned ? c->until : c->last);
}

/* ---- the table ------------------------------------------------------------------------------ */

static struct guard_cold *bucket(const struct memory *m, const struct memory_place *at)
{
	return m->cold + (size_t)memory_cold_bucket(m, at->bucket, at->tag) * BUCKET;
}

struct guard_cold *cold_find(const struct memory *m, const struct memory_place *at,
			     struct guard_key k)
{
	struct guard_cold *c = bucket(m, at);

	for (unsigned i = 0; i < BUCKET; i++)
		if (c[i].prefix == k.prefix && (c[i].kind & 7) == k.kind + 1 &&
		    cold_ok(&c[i]))
			return &c[i];
	return NULL;
}

void cold_drop(const struct memory *m, const struct memory_place *at, struct guard_cold *c)
{
	struct memory_shard *s = &m->shard[at->shard];

	*c = (struct guard_cold){ 0 };
	if (s->cold_used)
		s->cold_used--;
}

/* The row of the same key, or a free one, or the one that matters least. */
static struct guard_cold *room(const struct memory *m, const struct memory_place *at,
			       const struct guard_cold *new, gsec_t now)
{
	struct guard_cold *c = bucket(m, at), *least = NULL;
	uint64_t low = cold_worth(new, now);

	for (unsigned i = 0; i < BUCKET; i++) {
		uint64_t w = cold_worth(&c[i], now);

		if (c[i].prefix == new->prefix && ((c[i].kind ^ new->kind) & 7) == 0)
			return &c[i];
		least = w <= low ? &c[i] : least;
		low = w <= low ? w : low;
	}
	return least;
}

void cold_put(const struct memory *m, const struct memory_place *at,
	      const struct guard_cold *c, gsec_t now)
{
	struct memory_shard *s = &m->shard[at->shard];
	struct guard_cold *to = room(m, at, c, now);

	if (!to) {
		s->forgotten++;
		return;
	}
	if (!to->kind)
		s->cold_used++;
	else if (to->prefix != c->prefix || (to->kind ^ c->kind) & 7)
		s->forgotten++;
	*to = *c;
}
