/*
 * What a connection has in hand: what it was sent and no step has taken yet, and what it
 * has not been able to say yet. Both are in blocks that are lent while there is something in
 * them, so that an idle session has none.
 */
#include "edge/inside.h"

/* Nothing sensible can be said any more. */
static void fail(struct conn *c)
{
	c->orders |= DO_ABORT;
}

/* Keep what was said in this step behind what is still pending. */
void hand_keep_output(struct conn *c, struct span said)
{
	if (!said.n || c->orders & DO_ABORT)
		return;
	if (!c->out)
		c->out = pool_take(&c->edge->out_pool);
	if (!c->out || c->out_n + said.n > c->edge->out_pool.size) {
		fail(c);
		return;
	}
	memcpy(c->out + c->out_n, said.p, said.n);
	c->out_n = (uint16_t)(c->out_n + said.n);
}

static struct pool *pool_of_in(struct edge *e, bool small)
{
	return small ? &e->rest_pool : &e->in_pool;
}

/* What was copied from a small block is wiped where it was used; half a password is here, too. */
static void wipe_rest(struct conn *c, size_t but)
{
	if (c->in && c->in_small && c->in_n > but)
		sasl_wipe(c->in + but, c->in_n - but);
}

void hand_give_in(struct conn *c)
{
	if (!c->in)
		return;
	wipe_rest(c, 0);
	pool_give(pool_of_in(c->edge, c->in_small), c->in);
	c->in = NULL;
	c->in_n = 0;
}

void hand_give_out(struct conn *c)
{
	pool_give(&c->edge->out_pool, c->out);
	c->out = NULL;
	c->out_n = 0;
}

/*
 * Keep what the session did not take; it is in c->in or in edge->in. So many may be in the
 * middle of a line at once that half of one gets a small block.
 */
void hand_keep_input(struct conn *c, struct span left)
{
	bool small = left.n <= REST_MAX;
	uint8_t *to = c->in;

	if (!left.n || c->orders & (DO_TLS | DO_ABORT)) {
		hand_give_in(c);
		return;
	}
	if (!to || small != c->in_small)
		to = pool_take(pool_of_in(c->edge, small));
	if (!to) {
		fail(c);
		return;
	}
	memmove(to, left.p, left.n);
	if (to == c->in)
		wipe_rest(c, left.n);
	else
		hand_give_in(c);
	c->in = to;
	c->in_n = (uint16_t)left.n;
	c->in_small = small;
}
