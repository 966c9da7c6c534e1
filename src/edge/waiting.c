/* Sessions that wait for another role, by what they wait for. */
#include "edge/inside.h"

static struct conn **bucket(struct edge *e, uint64_t key)
{
	return &e->waiting[(key ^ key >> 20 ^ key >> 40) % WAITING_BUCKETS];
}

struct conn *waiting_find(struct edge *e, uint64_t key, enum conn_waits what)
{
	struct conn *c = *bucket(e, key);

	while (c && (c->waits_for != key || c->waits != what))
		c = c->next_waiting;
	return c;
}

void waiting_set_unsent(struct conn *c, bool unsent)
{
	if (c->is_unsent == unsent)
		return;
	c->is_unsent = unsent;
	if (unsent)
		c->edge->unsent++;
	else
		c->edge->unsent--;
}

void waiting_for(struct conn *c, enum conn_waits what, uint64_t key)
{
	struct conn **b = bucket(c->edge, key);

	c->waits = what;
	c->waits_for = key;
	c->next_waiting = *b;
	*b = c;
}

void waiting_forget(struct conn *c)
{
	struct conn **at = bucket(c->edge, c->waits_for);

	if (c->waits == WAITS_NOT)
		return;
	while (*at && *at != c)
		at = &(*at)->next_waiting;
	if (*at)
		*at = c->next_waiting;
	waiting_set_unsent(c, false);
	c->waits = WAITS_NOT;
}
