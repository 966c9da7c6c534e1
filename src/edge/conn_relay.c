/*
 * A connection whose session is over but for its bytes: client and mailbox server talk with
 * each other, through edge/mailbox.c.
 */
#include "edge/conn_inner.h"

void conn_begin_relay(struct conn *c)
{
	c->orders &= ~DO_RELAY;
	c->offer = false;
	c->state = CONN_RELAYS;
	c->edge->relay_count++;
	timer_stop(&c->timer);
	visit_show(c);
	mailbox_relay(c);
}

struct span conn_left_over(const struct conn *c)
{
	return span_of(c->in, c->in_n);
}

void conn_left_over_taken(struct conn *c)
{
	hand_give_in(c);
}

void conn_relayed(struct conn *c, enum end why)
{
	if (c->state != CONN_RELAYS || c->orders & (DO_CLOSE | DO_ABORT))
		return;
	c->session.end = why;
	c->peer_ended = why == END_HUNG_UP || why == END_RESET;
	c->orders |= DO_CLOSE;
	conn_go_on(c);
}

bool conn_stays(const struct conn *c)
{
	return c->edge->keeps && conn_talks(c) && (c->state == CONN_RELAYS || c->box);
}

/* Who is relayed is better closed in order than reset, and told if that can be. */
void conn_stop_relay(struct conn *c)
{
	uint8_t mem[REPLY_MAX];
	struct buf bye;

	buf_init(&bye, mem, sizeof(mem));
	session_print_refusal(c->session.listener->service, RE_STOPPING, SPAN_NONE, &bye);
	if (mailbox_can_hear(c))
		conn_say(c, buf_span(&bye));
	conn_relayed(c, END_SHUTDOWN);
}
