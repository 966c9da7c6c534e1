/*
 * An edge that is to go: whom it lets finish, whom it tells, and when it has.
 */
#include "edge/inside.h"

/* For our last words. The supervisor is patient a little longer (app/drain.c). */
#define BYE_TIME MS_SECOND

static void stop_all(struct edge *e, bool now)
{
	struct conn *next;

	for (struct conn *c = e->conns; c; c = next) {
		next = c->next;
		conn_stop(c, now);
	}
}

/* Said again when somebody is in a hurry: who reads mail has to leave as well. */
void drain_begin(struct edge *e, ms_t within, ms_t readers)
{
	bool kept = e->keeps;

	e->keeps = readers > within;
	e->readers_by = loop_now(e->loop) + readers;
	e->saying_bye = false;
	timer_set(&e->drain_end, loop_now(e->loop) + within);
	if (e->draining && kept == e->keeps)
		return;
	if (!e->draining) {
		e->draining = true;
		pulse_gauge_set(e->pulse, GAUGE_DRAINING, 1);
		ports_close(e);
		ports_accept(e, false);
		deliveries_stop(e->deliveries);
		store_tell_leaves(e);
	}
	stop_all(e, false);
	edge_less_busy(e);
}

/*
 * The link to the store ended, and the store did not: one of us did not like what the other
 * said. Only an edge that is started anew gets another link.
 */
void drain_on_stranded(void *arg)
{
	struct edge *e = arg;

	if (e->draining) {
		/* the new store is of another version: nobody introduces us */
		e->storeless = true;
		box_link_set(e);
		return;
	}
	report_trouble(e, "store-link", "cut off from the store: this edge ends");
	drain_begin(e, e->rules->conf->set.silence, 0);
}

void edge_less_busy(void *edge)
{
	struct edge *e = edge;

	if (e->draining && e->conn_count == 0 && deliveries_count(e->deliveries) == 0)
		loop_stop(e->loop);
}

static void cut_off(struct edge *e)
{
	struct conn *next;

	for (struct conn *c = e->conns; c; c = next) {
		next = c->next;
		if (!conn_stays(c))
			conn_abort(c);
	}
}

/* Who can be told is told, then cut off; who stays has a time of its own. */
void drain_on_end(void *arg)
{
	struct edge *e = arg;
	ms_t now = loop_now(e->loop);

	e->keeps = e->keeps && now < e->readers_by;
	if (!e->saying_bye) {
		e->saying_bye = true;
		timer_set(&e->drain_end, now + BYE_TIME);
		stop_all(e, true);
		return;
	}
	cut_off(e);
	e->saying_bye = false;
	timer_set(&e->drain_end, e->readers_by);
	if (!e->keeps || e->conn_count == 0)
		loop_stop(e->loop);
}
