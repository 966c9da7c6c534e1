/*
 * Whom we send away: for a rule of the guard, for somebody better, or because we stop.
 */
#include "edge/conn_inner.h"

/* Can the peer read what we would say now? */
static bool can_hear(const struct conn *c)
{
	return c->state == CONN_TALKS && !(c->orders & DO_TLS) &&
	       !session_in_answer(&c->session) &&
	       (c->session.in_tls || c->session.listener->tls != TLS_IMPLICIT);
}

void conn_send_away(struct conn *c)
{
	struct edge *e = c->edge;
	enum rule why = c->dismissed;
	enum service service = c->session.listener->service;
	struct refusal *r = c->kicked ? &e->kicked[service] : &e->refusals[service][why];

	if (can_hear(c))
		conn_say(c, edge_guard_refusal(e, r, why, &c->visit.addr));
	c->orders = (c->orders & DO_ABORT) | DO_CLOSE;
}

/* A message that the store has been given is waited for: its sender would bring it again. */
bool conn_must_go(const struct conn *c)
{
	return c->dismissed != RULE_NONE && conn_talks(c) && !(c->orders & DO_CLOSE) &&
	       c->session.phase != PHASE_SUBMIT;
}

void conn_dismiss(struct conn *c, enum rule why)
{
	if (!conn_talks(c) || c->dismissed != RULE_NONE ||
	    c->orders & (DO_CLOSE | DO_ABORT))
		return;
	c->dismissed = why;
	if (why == RULE_ROOM) {
		c->evicted = true;
		report_evicted(c);
	}
	conn_go_on(c);
}

void conn_stop(struct conn *c, bool now)
{
	if (!conn_talks(c) || conn_stays(c))
		return;
	if (c->state == CONN_RELAYS) {
		if (now)
			conn_stop_relay(c);
		return;
	}
	conn_step_event(c, now ? IN_BYE : IN_STOP);
	conn_go_on(c);
}
