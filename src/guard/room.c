#include "guard/judge.h"

#define DRAWN	  32  /* seats that are compared; all of them if there are no more */
#define LOOKED_AT 512 /* at most, if most of those that are drawn are free */
#define EASY	  50  /* of a hundred: until then nothing is shrunk */
#define TIGHT	  90  /* from then on nothing can be shrunk any more */

int64_t guard_fill(const struct guard *g)
{
	int64_t max = g->limits.sessions_max;

	return max > 0 ? (int64_t)memory_sessions(&g->memory) * 100 / max : 0;
}

bool room_for(const struct guard *g, bool known_good)
{
	int64_t max = g->limits.sessions_max;

	if (max <= 0)
		return true;
	if (!known_good)
		max -= max * g->limits.reserved / 100;
	/* that some are to leave is only of interest to who finds all full */
	return (int64_t)memory_sessions(&g->memory) < max ||
	       (int64_t)seats_staying(&g->memory) < max;
}

int64_t guard_shrunk(const struct guard *g, int64_t whole, int64_t least, bool known_good)
{
	int64_t fill;

	if (known_good || least >= whole)
		return whole;
	fill = guard_fill(g);
	if (fill <= EASY)
		return whole;
	if (fill >= TIGHT)
		return least;
	return least + (whole - least) / (TIGHT - EASY) * (TIGHT - fill) +
	       (whole - least) % (TIGHT - EASY) * (TIGHT - fill) / (TIGHT - EASY);
}

/* Worse standing, or the same and longer still. */
static bool worse(const struct seat *a, const struct seat *b)
{
	if (a->points != b->points)
		return a->points > b->points;
	return a->moved < b->moved;
}

static bool may_go(const struct seat *s)
{
	return s->state > SEAT_FREE && s->state < SEAT_LEAVES && !s->known_good;
}

/* Of these seats, one after another from some place on, the worst; stops at `enough`. */
static uint32_t worst_of(struct guard *g, uint32_t high, uint32_t looks, uint32_t enough,
			 bool drawn)
{
	uint32_t worst = SEAT_NONE, met = 0, at = (uint32_t)(judge_chance(g) % high);
	struct seat is = { 0 };

	for (uint32_t i = 0; i < looks && met < enough; i++) {
		const struct seat *s = seat_own(&g->memory, at);
		uint32_t here = at;

		at = drawn ? (uint32_t)(judge_chance(g) % high) : (at + 1) % high;
		if (!may_go(s))
			continue;
		met++;
		if (worst == SEAT_NONE || worse(s, &is)) {
			worst = here;
			is = *s;
		}
	}
	return worst;
}

uint32_t guard_worst(struct guard *g)
{
	uint32_t high = seats_high(&g->memory, g->memory.worker);
	uint32_t worst;

	if (high == 0)
		return SEAT_NONE;
	if (high <= DRAWN)
		return worst_of(g, high, high, high, false);
	worst = worst_of(g, high, 4 * DRAWN, DRAWN, true);
	return worst != SEAT_NONE
		       ? worst
		       : worst_of(g, high, high < LOOKED_AT ? high : LOOKED_AT, 1, false);
}

static bool has_a_stranger(struct guard *g, unsigned worker)
{
	uint32_t high = seats_high(&g->memory, worker);
	uint32_t looks = high < LOOKED_AT ? high : LOOKED_AT;
	uint32_t at = high ? (uint32_t)(judge_chance(g) % high) : 0;
	struct seat s;

	for (uint32_t i = 0; i < looks; i++, at = (at + 1) % high)
		if (seat_read(&g->memory, worker, at, &s) && may_go(&s))
			return true;
	return false;
}

bool guard_claim(struct guard *g)
{
	unsigned workers = seats_workers(&g->memory);

	for (unsigned i = 1; i < workers; i++) {
		unsigned w = (g->memory.worker + i) % workers;

		if (has_a_stranger(g, w) && seats_claim(&g->memory, w))
			return true;
	}
	return false;
}
