#include "store/gather.h"

void gather_put(struct gather *g, bool urgent, ms_t now)
{
	if (urgent) {
		g->urgent++;
		return;
	}
	if (g->lazy++ == 0)
		g->lazy_since = now;
}

void gather_ended(struct gather *g, unsigned urgent, ms_t took, ms_t now)
{
	ms_t wait = took / 2 < GATHER_MOST ? took / 2 : GATHER_MOST;

	g->before = g->urgent;
	g->expected = g->urgent + urgent;
	g->waiting = g->rest == 0 && wait > 0;
	g->until = g->waiting ? now + wait : now;
	if (g->rest > 0)
		g->rest--;
}

ms_t gather_when(const struct gather *g)
{
	if (g->urgent == 0) {
		if (g->lazy == 0)
			return MS_NEVER;
		return g->lazy >= GATHER_MANY ? g->lazy_since
					      : g->lazy_since + GATHER_LAZY;
	}
	return g->urgent >= g->expected ? 0 : g->until;
}

unsigned gather_begin(struct gather *g)
{
	unsigned urgent = g->urgent, missed = g->expected - g->before;

	/* fewer than a third of those came: they take longer than we can wait */
	if (g->waiting && urgent > 0 && missed >= 4 && urgent < g->expected &&
	    urgent - g->before < missed / 3)
		g->rest = GATHER_REST;
	g->waiting = false;
	g->urgent = g->lazy = 0;
	g->expected = g->before = 0;
	return urgent;
}
