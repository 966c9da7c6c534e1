/*
 * One session and its connection: the shell around session_step().
 *
 *   - one write in flight: nothing is read or stepped while output is pending;
 *   - read only while there is room, and while the session is not waiting for somebody;
 *   - step one thing at a time: answers, then bytes in hand, then new bytes;
 *   - close in two steps: CONN_DEAD, and freed at the end of the round.
 */
#include <unistd.h>

#include "edge/inside.h"

/* ---- one step ------------------------------------------------------------------------- */

static bool talks(const struct conn *c)
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
static void fail(struct conn *c)
{
	c->orders |= DO_ABORT;
}

/*
 * A second word before the peer had one would be held back until the first is acknowledged,
 * which may take 40 ms (Nagle). Most sessions never need the system call.
 */
static void note_spoke(struct conn *c)
{
	if (c->spoke)
		stream_no_delay(&c->stream);
	c->spoke = true;
}

/* Say it at once if nothing is pending; what cannot be written now is kept. */
static void say(struct conn *c, struct span said)
{
	if (!said.n)
		return;
	note_spoke(c);
	if (!c->out && c->state != CONN_HANDSHAKE &&
	    stream_write(&c->stream, &said) == STREAM_BROKEN)
		return; /* reading finds out, too */
	hand_keep_output(c, said);
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
static void leave_mailbox(struct conn *c)
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
		leave_mailbox(c);
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
static size_t step(struct conn *c, struct session_in *in)
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
	in->storage_full = e->storage_full;
	in->wall = loop_wall(e->loop);
	in->next_id = c->next_id;
	box_fill(c, in);
	session_step(&c->session, in, loop_now(e->loop), &out);
	if (said.full)
		fail(c);
	visit_saw(c, &out, report_step(c, &out));
	note_told(c, &out);
	timer_set(&c->timer, out.wake);
	say(c, buf_span(&said));
	box_settle(c, &out);
	carry_out(c, &out);
	wipe(e, span_head(in->bytes, out.used));
	hand_keep_input(c, span_skip(in->bytes, out.used));
	c->offer = out.unsaid || (c->in_n && buf_room(&said) < REPLY_MAX);
	visit_show(c);
	return out.used;
}

static void step_event(struct conn *c, enum session_in_kind kind)
{
	struct session_in in = { .kind = kind, .bytes = span_of(c->in, c->in_n) };

	step(c, &in);
}

/* ---- reading ------------------------------------------------------------------------------ */

/*
 * A PROXY header in front of the TLS handshake: what is behind it belongs to OpenSSL, so
 * nothing may be read that the session does not take.
 */
static bool peeks(const struct conn *c)
{
	return c->session.phase == PHASE_PROXY && c->session.listener->tls == TLS_IMPLICIT;
}

static enum stream_got peek(struct conn *c)
{
	struct session_in in = { .kind = IN_BYTES };
	enum stream_got got;
	size_t n;

	got = stream_peek(&c->stream, c->edge->in, sizeof(c->edge->in), &n);
	if (got != STREAM_GOT)
		return got;
	in.bytes = span_of(c->edge->in, n);
	stream_skip(&c->stream, step(c, &in));
	hand_give_in(c); /* it stays in the socket */
	return STREAM_GOT;
}

static enum stream_got read_and_step(struct conn *c)
{
	uint8_t *mem = c->in && !c->in_small ? c->in : c->edge->in;
	struct session_in in = { .kind = IN_BYTES };
	enum stream_got got;
	size_t n;

	if (c->in_n == IN_MAX) {
		fail(c); /* the session must take a line that long, or refuse it */
		return STREAM_GOT;
	}
	if (c->in && mem != c->in)
		memcpy(mem, c->in, c->in_n);
	got = stream_read(&c->stream, mem + c->in_n, IN_MAX - c->in_n, &n);
	if (got != STREAM_GOT)
		return got;
	c->spoke = false;
	in.bytes = span_of(mem, c->in_n + n);
	step(c, &in);
	return STREAM_GOT;
}

/* Read and step once. False: nothing more can be done now. */
static bool take_in(struct conn *c)
{
	if (c->offer) {
		step_event(c, IN_BYTES);
		return true;
	}
	if (c->peer_ended)
		return false;
	switch (peeks(c) ? peek(c) : read_and_step(c)) {
	case STREAM_GOT:
		return true;
	case STREAM_AGAIN:
		return false;
	case STREAM_EOF:
		c->peer_ended = true;
		step_event(c, IN_EOF);
		return true;
	case STREAM_BROKEN:
		break;
	}
	c->peer_ended = true;
	step_event(c, IN_BROKEN);
	c->orders |= DO_CLOSE;
	return true;
}

/* True: all is written, or it never will be. */
static bool flush(struct conn *c)
{
	struct span left = span_of(c->out, c->out_n);

	if (!c->out)
		return true;
	if (stream_write(&c->stream, &left) == STREAM_AGAIN) {
		memmove(c->out, left.p, left.n);
		c->out_n = (uint16_t)left.n;
		return false;
	}
	hand_give_out(c);
	return true;
}

/* ---- TLS ---------------------------------------------------------------------------------- */

static void print_word(char *to, size_t room, const char *word)
{
	size_t n = strlen(word);

	n = n < room ? n : room - 1;
	memcpy(to, word, n);
	to[n] = '\0';
}

static void handshake_done(struct conn *c)
{
	struct tls_facts facts = stream_tls_facts(&c->stream);
	struct session_tls tls = { .bits = (uint16_t)facts.bits };
	struct session_in in = { .kind = IN_TLS, .tls = &tls };

	char name[USER_MAX];

	c->hello = facts.hello;
	tls.certified = stream_tls_client_name(&c->stream, name, sizeof(name)) > 0;
	print_word(tls.version, sizeof(tls.version), facts.version);
	print_word(tls.cipher, sizeof(tls.cipher), facts.cipher);
	c->state = CONN_TALKS;
	c->spoke = true; /* a session ticket, at least */
	pulse_gauge(c->edge->pulse, GAUGE_TLS, 1);
	step(c, &in);
}

static void handshake_failed(struct conn *c)
{
	c->state = CONN_TALKS;
	c->peer_ended = true;
	step_event(c, IN_TLS_FAILED);
	c->orders |= DO_CLOSE;
}

static bool handshake(struct conn *c)
{
	switch (stream_handshake(&c->stream)) {
	case STREAM_GOT:
		handshake_done(c);
		return true;
	case STREAM_AGAIN:
		return false;
	case STREAM_EOF:
	case STREAM_BROKEN:
		break;
	}
	handshake_failed(c);
	return true;
}

static void start_tls(struct conn *c)
{
	c->orders &= ~DO_TLS;
	hand_give_in(c);
	c->offer = false;
	if (c->edge->tls && stream_tls_server(&c->stream, c->edge->tls))
		c->state = CONN_HANDSHAKE; /* the seat shows it since DO_TLS */
	else
		handshake_failed(c);
}

/* ---- the end ------------------------------------------------------------------------------ */

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
static void end(struct conn *c)
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
	leave_mailbox(c);
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
static void part(struct conn *c)
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
static bool linger(struct conn *c)
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
	if (talks(c))
		end(c);
	stream_reset(&c->stream);
	die(c);
}

/* ---- whom we send away ------------------------------------------------------------------- */

/* Can the peer read what we would say now? */
static bool can_hear(const struct conn *c)
{
	return c->state == CONN_TALKS && !(c->orders & DO_TLS) &&
	       (c->session.in_tls || c->session.listener->tls != TLS_IMPLICIT);
}

static void send_away(struct conn *c)
{
	struct edge *e = c->edge;
	enum rule why = c->dismissed;
	enum service service = c->session.listener->service;
	struct refusal *r = c->kicked ? &e->kicked[service] : &e->refusals[service][why];

	if (can_hear(c))
		say(c, edge_guard_refusal(e, r, why, &c->visit.addr));
	c->orders = (c->orders & DO_ABORT) | DO_CLOSE;
}

/* A message that the store has been given is waited for: its sender would bring it again. */
static bool must_go(const struct conn *c)
{
	return c->dismissed != RULE_NONE && talks(c) && !(c->orders & DO_CLOSE) &&
	       c->session.phase != PHASE_SUBMIT;
}

void conn_dismiss(struct conn *c, enum rule why)
{
	if (!talks(c) || c->dismissed != RULE_NONE || c->orders & (DO_CLOSE | DO_ABORT))
		return;
	c->dismissed = why;
	if (why == RULE_ROOM) {
		c->evicted = true;
		report_evicted(c);
	}
	conn_go_on(c);
}

/* ---- going on --------------------------------------------------------------------------- */

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
		step(c, &in);
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
	step_event(c, IN_EOF);
	return true;
}

/* ---- relaying ----------------------------------------------------------------------------- */

static void begin_relay(struct conn *c)
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

/* One thing at a time. False: nothing more can be done now. */
static bool go_on(struct conn *c)
{
	if (c->state == CONN_LINGERS)
		return linger(c);
	if (c->orders & DO_ABORT) {
		conn_abort(c);
		return false;
	}
	if (must_go(c))
		send_away(c);
	if (c->orders & DO_CLOSE && talks(c))
		end(c);
	if (c->state == CONN_RELAYS) {
		mailbox_ready(c);
		return false;
	}
	if (!flush(c))
		return false;
	if (c->state == CONN_ENDING) {
		part(c);
		return c->state == CONN_LINGERS;
	}
	if (c->state == CONN_HANDSHAKE)
		return handshake(c);
	if (c->orders & DO_TLS) {
		start_tls(c);
		return true;
	}
	if (c->orders & DO_RELAY) {
		begin_relay(c);
		return true;
	}
	if (c->answer != IN_OPENED) {
		step_answer(c);
		return true;
	}
	if (c->again && !waits(c)) {
		c->again = false;
		step_event(c, IN_BYTES);
		return true;
	}
	if (has_left_auth(c))
		return true;
	return c->waits == WAITS_NOT && c->session.phase != PHASE_DELAY && take_in(c);
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

bool conn_stays(const struct conn *c)
{
	return c->edge->keeps && talks(c) && (c->state == CONN_RELAYS || c->box);
}

/* Who is relayed is better closed in order than reset, and told if that can be. */
static void stop_relay(struct conn *c)
{
	uint8_t mem[REPLY_MAX];
	struct buf bye;

	buf_init(&bye, mem, sizeof(mem));
	session_print_refusal(c->session.listener->service, RE_STOPPING, SPAN_NONE, &bye);
	if (mailbox_can_hear(c))
		say(c, buf_span(&bye));
	conn_relayed(c, END_SHUTDOWN);
}

void conn_stop(struct conn *c, bool now)
{
	if (!talks(c) || conn_stays(c))
		return;
	if (c->state == CONN_RELAYS) {
		if (now)
			stop_relay(c);
		return;
	}
	step_event(c, now ? IN_BYE : IN_STOP);
	conn_go_on(c);
}

static void on_ready(void *arg)
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
	step_event(c, IN_TIME);
	if (!waited)
		return;
	c->in = in;
	c->in_n = in_n;
	c->offer = in_n > 0;
}

static void on_time(void *arg)
{
	struct conn *c = arg;

	if (!talks(c)) {
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

/* ---- the beginning ------------------------------------------------------------------------ */

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
	timer_init(&c->timer, e->loop, on_time, c);
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
		guard_left(&e->guard, &v, 0, 0, loop_now(e->loop));
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
	if (!stream_open(&c->stream, e->loop, fd, on_ready, c)) {
		pool_give(&e->conn_pool, c);
		leave_at_once(e, a);
		return;
	}
	visit_busy(c);
	begin(c, a);
	step_event(c, IN_OPENED);
	conn_go_on(c);
}
