/*
 * One session and its connection: the shell around session_step().
 *
 *   - one write in flight: nothing is read or stepped while output is pending;
 *   - read only while there is room, and while the session is not waiting for somebody;
 *   - step one thing at a time: answers, then bytes in hand, then new bytes;
 *   - close in two steps: CONN_DEAD, and freed at the end of the round.
 */
#include "base/rcptmap.h"
#include "edge/conn_inner.h"
#include "io/idn.h"

/* ---- one step --------------------------------------------------------------------------- */

bool conn_talks(const struct conn *c)
{
	return c->state == CONN_TALKS || c->state == CONN_HANDSHAKE ||
	       c->state == CONN_RELAYS;
}

/* Does the session wait for an answer from us? */
static bool waits(const struct conn *c)
{
	enum session_phase p = c->session.phase;

	return p == PHASE_VERIFY || p == PHASE_ROOM || p == PHASE_SUBMIT ||
	       p == PHASE_FACTS || p == PHASE_AUTH || p == PHASE_SENDER ||
	       p == PHASE_BACKEND || p == PHASE_BOX;
}

/* Our failure: nothing sensible can be said any more. */
void conn_fail(struct conn *c)
{
	c->orders |= DO_ABORT;
}

/* The session has taken the id that it was offered: there is a new message under way. */
static void note_id(struct conn *c)
{
	if (c->session.queue_id != c->next_id)
		return;
	c->id = c->next_id;
	store_next_id(c);
}

/* It reads no mail, or no more. */
void conn_leave_mailbox(struct conn *c)
{
	mailbox_end(c);
	box_end(c);
	auth_left(c);
}

/* From left to right, as session.h has it. */
static void carry_out(struct conn *c, const struct session_out *out)
{
	if (out->orders & DO_DROP || (c->waits != WAITS_NOT && !waits(c)))
		store_drop(c);
	note_id(c);
	if (c->auth_ask && !session_in_exchange(&c->session))
		auth_over(c);
	if (c->auth_login && !session_is_let_in(&c->session))
		conn_leave_mailbox(c);
	if (out->orders & DO_VERIFY)
		store_verify(c, out->address);
	if (out->orders & DO_MAY_SEND)
		store_may_send(c, out->address);
	if (out->orders & DO_AUTH)
		auth_ask(c, &out->credentials);
	if (out->orders & DO_AUTH_MORE)
		auth_more(c, out->more);
	if (out->orders & DO_ROOM)
		letter_make_room(c);
	if (out->orders & DO_SUBMIT)
		store_submit(c);
	if (out->orders & DO_FACTS)
		facts_wait(c);
	if (out->orders & DO_BACKEND)
		mailbox_open(c);
	if (out->orders & DO_TEXT)
		box_text(c, out->number);
	if (out->orders & DO_REMOVE)
		box_remove(c);
	c->orders |= out->orders & (DO_CLOSE | DO_TLS | DO_RELAY | DO_ABORT);
	letter_settle(c);
}

/*
 * If a front has told in this step for whom it comes, the guard is asked about that one.
 * Whatever the session has said or wants since then is for nobody if it may not come in; if
 * it may, one more step with what is thought of it is due at once.
 */
static void note_told(struct conn *c, struct session_out *out)
{
	if (addr_eq(&c->session.peer.addr, &c->visit.addr))
		return;
	if (visit_told(c)) {
		c->again = true;
		return;
	}
	buf_reset(out->peer);
	out->orders &= DO_DROP | DO_ABORT;
}

/* A secret was in the room, and so it was in the bytes that were used. */
static void wipe(struct edge *e, struct span used)
{
	if (!e->room.used)
		return;
	sasl_wipe(&e->room, sizeof(e->room.used) + e->room.used);
	if (used.n)
		sasl_wipe((void *)(uintptr_t)used.p, used.n);
}

/* Something happened; in->bytes are all that are in hand. How many did the session take? */
size_t conn_step(struct conn *c, struct session_in *in)
{
	struct edge *e = c->edge;
	struct buf said;
	struct session_out out = { .wake = MS_NEVER, .peer = &said, .room = &e->room };

	if (c->orders & (DO_CLOSE | DO_ABORT))
		return 0;
	buf_init(&said, e->out, sizeof(e->out));
	visit_prepare(c, in);
	in->standing = &e->standing;
	in->access = span_of(e->guard.access, e->guard.access_n);
	if (session_reads_mail(&c->session))
		in->offers = mailbox_offers(e);
	else
		out.letter = letter_lend(c) ? &c->letter : NULL;
	in->recipients = e->recipients;
	in->recipients_stale = e->recipients_stale ||
			       (e->recipients.n && rcptmap_is_stale(e->recipients.p));
	in->storage_full = e->storage_full;
	in->wall = loop_wall(e->loop);
	in->next_id = c->next_id;
	in->in_ascii = idn_address;
	box_fill(c, in);
	session_step(&c->session, in, loop_now(e->loop), &out);
	if (said.full)
		conn_fail(c);
	visit_saw(c, &out, report_step(c, &out));
	note_told(c, &out);
	timer_set(&c->timer, out.wake);
	conn_say(c, buf_span(&said));
	box_settle(c, &out);
	carry_out(c, &out);
	wipe(e, span_head(in->bytes, out.used));
	hand_keep_input(c, span_skip(in->bytes, out.used));
	c->offer = out.unsaid || (c->in_n && buf_room(&said) < REPLY_MAX);
	visit_show(c);
	return out.used;
}

void conn_step_event(struct conn *c, enum session_in_kind kind)
{
	struct session_in in = { .kind = kind, .bytes = span_of(c->in, c->in_n) };

	conn_step(c, &in);
}

/* ---- answers ---------------------------------------------------------------------------- */

static void step_answer(struct conn *c)
{
	struct session_in in = { .kind = c->answer, .bytes = span_of(c->in, c->in_n) };

	c->answer = IN_OPENED;
	in.verdict = (enum verdict)c->answer_value;
	in.submitted = (enum submitted)c->answer_value;
	auth_fill(c, &in);
	if (in.kind == IN_BACKEND)
		mailbox_fill(c, &in);
	if (in.kind == IN_SUBMITTED && in.submitted == SUBMITTED_OK && waits(c))
		report_accepted(c);
	if (waits(c)) /* else it came too late */
		conn_step(c, &in);
	auth_heard(c);
}

/*
 * Nothing may follow AUTH before its answer, so whose end has come has left: nobody need
 * check that password, or find its mailbox server. In IMAP and POP3 commands may follow; of
 * who has sent some it is not known.
 */
static bool has_left_auth(struct conn *c)
{
	if ((c->waits != WAITS_AUTH && c->waits != WAITS_BACKEND) || !c->stream.hung_up ||
	    c->peer_ended)
		return false;
	if (session_reads_mail(&c->session) && c->in_n)
		return false;
	c->peer_ended = true;
	conn_step_event(c, IN_EOF);
	return true;
}

void conn_answer_soon(struct conn *c, enum session_in_kind kind, uint8_t value)
{
	c->waits = WAITS_NOT;
	c->answer = kind;
	c->answer_value = value;
}

void conn_answer(struct conn *c, enum session_in_kind kind, uint8_t value)
{
	conn_answer_soon(c, kind, value);
	conn_go_on(c);
}

/* ---- going on --------------------------------------------------------------------------- */

/* One thing at a time. False: nothing more can be done now. */
static bool go_on(struct conn *c)
{
	if (c->state == CONN_LINGERS)
		return conn_linger(c);
	if (c->orders & DO_ABORT) {
		conn_abort(c);
		return false;
	}
	if (conn_must_go(c))
		conn_send_away(c);
	if (c->orders & DO_CLOSE && conn_talks(c))
		conn_end(c);
	if (c->state == CONN_RELAYS) {
		mailbox_ready(c);
		return false;
	}
	if (!conn_flush(c))
		return false;
	if (c->state == CONN_ENDING) {
		conn_part(c);
		return c->state == CONN_LINGERS;
	}
	if (c->state == CONN_HANDSHAKE)
		return conn_handshake(c);
	if (c->orders & DO_TLS) {
		conn_start_tls(c);
		return true;
	}
	if (c->orders & DO_RELAY) {
		conn_begin_relay(c);
		return true;
	}
	if (c->answer != IN_OPENED) {
		step_answer(c);
		return true;
	}
	if (c->again && !waits(c)) {
		c->again = false;
		conn_step_event(c, IN_BYTES);
		return true;
	}
	if (has_left_auth(c))
		return true;
	return c->waits == WAITS_NOT && c->session.phase != PHASE_DELAY && conn_take_in(c);
}

static void be_hasty(struct conn *c)
{
	struct edge *e = c->edge;

	if (c->hasty)
		return;
	c->hasty = true;
	c->next_hasty = e->hasty;
	e->hasty = c;
	timer_set(&e->steps_again, loop_now(e->loop));
}

void conn_go_on(struct conn *c)
{
	bool more = true;

	visit_busy(c);
	for (int i = 0; i < STEPS_MAX && more; i++)
		more = c->state != CONN_DEAD && go_on(c);
	visit_idle(c);
	if (more)
		be_hasty(c);
}

void conn_on_ready(void *arg)
{
	conn_go_on(arg);
}

/*
 * The session may give up its question here. It sees what the peer has sent behind that
 * only in the next step: by then the question and the body that belongs to it are put
 * away, and cannot be taken for those of the next transaction.
 */
static void step_time(struct conn *c)
{
	bool waited = c->waits != WAITS_NOT;
	uint8_t *in = c->in;
	uint16_t in_n = c->in_n;

	if (waited) {
		c->in = NULL;
		c->in_n = 0;
	}
	conn_step_event(c, IN_TIME);
	if (!waited)
		return;
	c->in = in;
	c->in_n = in_n;
	c->offer = in_n > 0;
}

void conn_on_time(void *arg)
{
	struct conn *c = arg;

	if (!conn_talks(c)) {
		conn_abort(c);
		return;
	}
	if (c->state == CONN_RELAYS) {
		mailbox_time(c);
		return;
	}
	/* an answer that is here, and waits for output only, is no answer that is missing */
	if (c->answer != IN_OPENED && waits(c))
		step_answer(c);
	else
		step_time(c);
	conn_go_on(c);
}
