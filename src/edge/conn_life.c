/*
 * How a connection begins and ends. What it holds goes back at once when it ends, its memory
 * when the round is over: nothing frees itself.
 */
#include <unistd.h>

#include "edge/conn_inner.h"

static void unlink_conn(struct conn *c)
{
	*c->back = c->next;
	if (c->next)
		c->next->back = c->back;
}

static void link_conn(struct conn *c, struct conn **list)
{
	c->next = *list;
	c->back = list;
	if (c->next)
		c->next->back = &c->next;
	*list = c;
}

/* ---- the beginning ---------------------------------------------------------------------- */

/* A wildcard listener does not know under which of our addresses the peer came. */
static struct endpoint local_end(const struct conn *c, const struct listener *l)
{
	static const struct addr any;

	if (*l->path || !addr_eq(&l->at.addr, &any))
		return l->at;
	return stream_local(&c->stream);
}

static void begin(struct conn *c, const struct arrival *a)
{
	struct edge *e = c->edge;
	const struct conf *conf = e->rules->conf;
	const struct listener *l = &conf->listeners[a->listener];
	struct session_setup setup = {
		.conf = conf,
		.listener = l,
		.peer = a->peer,
		.local = local_end(c, l),
		.tls_ready = e->tls != NULL,
		.now = loop_now(e->loop),
		.login = a->login,
		.any_sender = a->local && a->uid == 0,
	};

	c->rules = rules_hold(e->rules);
	timer_init(&c->timer, e->loop, conn_on_time, c);
	session_init(&c->session, &setup);
	c->number = id_next(&e->ids, loop_wall(e->loop));
	store_next_id(c);
	link_conn(c, &e->conns);
	e->conn_count++;
	pulse_gauge(e->pulse, GAUGE_SESSIONS, 1);
	pulse_gauge(e->pulse, GAUGE_CONNECTIONS, 1);
	visit_begin(c, a);
}

/* It came, and cannot stay. */
static void leave_at_once(struct edge *e, const struct arrival *a)
{
	struct guard_visit v = a->visit;

	if (a->judged)
		guard_left(&e->guard, &v, 0, 0);
}

void conn_open(struct edge *e, int fd, const struct arrival *a)
{
	struct conn *c = pool_take(&e->conn_pool);

	if (!c) {
		close(fd);
		leave_at_once(e, a);
		return;
	}
	memset(c, 0, sizeof(*c));
	c->edge = e;
	c->seat = SEAT_NONE;
	if (!stream_open(&c->stream, e->loop, fd, conn_on_ready, c)) {
		pool_give(&e->conn_pool, c);
		leave_at_once(e, a);
		return;
	}
	visit_busy(c);
	begin(c, a);
	conn_step_event(c, IN_OPENED);
	conn_go_on(c);
}

/* ---- the end ---------------------------------------------------------------------------- */

/* The second step of closing: nothing is left but the memory, until the round is over. */
static void die(struct conn *c)
{
	struct edge *e = c->edge;

	c->state = CONN_DEAD;
	stream_close(&c->stream);
	timer_stop(&c->timer);
	hand_give_in(c);
	hand_give_out(c);
	unlink_conn(c);
	link_conn(c, &e->dead);
	visit_end(c);
	rules_let_go(&c->rules);
	pulse_gauge(e->pulse, GAUGE_SESSIONS, -1);
	e->conn_count--;
	edge_less_busy(e);
}

/* The first step: no more steps; what it held for its session goes back. */
void conn_end(struct conn *c)
{
	if (c->state == CONN_HANDSHAKE) { /* neither side could understand a word now */
		hand_give_out(c);
		c->peer_ended = true;
	}
	c->edge->relay_count -= c->state == CONN_RELAYS;
	c->state = CONN_ENDING;
	c->ended_well = c->session.end == END_QUIT && !c->in_n && !c->stream.can_read;
	if (c->session.in_tls)
		pulse_gauge(c->edge->pulse, GAUGE_TLS, -1);
	report_end(c);
	auth_over(c);
	store_drop(c);
	facts_forget(c);
	conn_leave_mailbox(c);
	auth_drop_ticket(c);
	letter_give_back(c);
	hand_give_in(c);
	if (c->evicted)
		visit_end(c); /* its place is given to another already */
	else
		visit_show(c);
	timer_set(&c->timer, loop_now(c->edge->loop) + FLUSH_TIME);
}

/* All is said. Who said QUIT, or nothing more, needs no time to listen. */
void conn_part(struct conn *c)
{
	if (c->stream.ssl)
		stream_finish(&c->stream);
	if (c->stream.error || c->peer_ended || c->ended_well || c->evicted) {
		die(c);
		return;
	}
	if (!c->stream.ssl)
		stream_finish(&c->stream);
	c->state = CONN_LINGERS;
	timer_set(&c->timer, loop_now(c->edge->loop) + LINGER_TIME);
}

/* Throw away what comes, so that no reset overtakes our last words. */
bool conn_linger(struct conn *c)
{
	struct edge *e = c->edge;
	enum stream_got got;
	size_t n;

	got = stream_read(&c->stream, e->in, sizeof(e->in), &n);
	if (got == STREAM_EOF || got == STREAM_BROKEN)
		die(c);
	return got == STREAM_GOT;
}

void conn_abort(struct conn *c)
{
	if (c->state == CONN_DEAD)
		return;
	if (conn_talks(c))
		conn_end(c);
	stream_reset(&c->stream);
	die(c);
}
