#include "session/session.h"

#include "base/bug.h"
#include "session/inside.h"
#include "wire/proxy.h"

/* What a last word needs; without that much room there is none. */
#define LAST_WORD_MAX 128

void session_see(struct step *t, enum event e)
{
	if (e != EV_NONE && t->out->seen[e] < UINT16_MAX)
		t->out->seen[e]++;
}

void session_see_once(struct step *t, enum event e)
{
	uint8_t *bits = &t->s->once[e / 8], bit = (uint8_t)(1u << e % 8);

	if (*bits & bit)
		return;
	*bits |= bit;
	session_see(t, e);
}

static bool logs_in(enum session_phase p)
{
	return p == PHASE_AUTH || p == PHASE_BACKEND;
}

void session_wait(struct step *t, enum session_phase phase, ms_t deadline)
{
	struct session *s = t->s;

	if (logs_in(phase) && !logs_in(s->phase))
		s->asked_at = t->now;
	else if (logs_in(s->phase) && !logs_in(phase))
		s->text_since += t->now - s->asked_at;
	s->phase = phase;
	s->deadline = deadline;
}

struct span session_host(const struct session *s)
{
	struct span host = span_str(s->conf->set.hostname);

	return host.n ? host : SPAN("localhost");
}

bool session_reads_mail(const struct session *s)
{
	return s->listener->service == SERVICE_IMAP ||
	       s->listener->service == SERVICE_POP3;
}

bool session_has_letter(const struct session *s)
{
	return (s->marks & MARK_MAIL) != 0;
}

/* ---- ends -------------------------------------------------------------------------- */

static bool in_message(const struct session *s)
{
	return session_in_text(s) && s->phase != PHASE_SUBMIT;
}

/*
 * A message that the store has been given is the store's: it may well be kept, and the
 * peer, which was not told, will send it again.
 */
static void close_transaction(struct step *t, enum end why)
{
	struct session *s = t->s;

	if (in_message(s))
		mail_see_marks(t);
	if (s->phase == PHASE_SUBMIT) {
		s->marks &= ~MARK_MAIL;
		return;
	}
	if ((s->marks & MARK_MAIL) && (why == END_HUNG_UP || why == END_RESET))
		session_see(t, EV_LOST);
	mail_drop(t);
}

/* Did it leave of its own will, without a command but QUIT? */
static bool said_nothing(const struct session *s, enum end why)
{
	bool left = why == END_QUIT || why == END_HUNG_UP || why == END_RESET ||
		    why == END_TIMEOUT;

	return left && s->commands == (why == END_QUIT) && s->phase != PHASE_PROXY &&
	       !(s->marks & MARK_EARLY);
}

static void end_by(struct step *t, enum end why, unsigned order)
{
	if (t->s->phase == PHASE_OVER)
		return;
	if (said_nothing(t->s, why))
		session_see(t, EV_NOTHING_SAID);
	close_transaction(t, why);
	t->s->phase = PHASE_OVER;
	t->s->end = why;
	t->out->orders &= DO_DROP;
	t->out->orders |= order;
}

void session_end(struct step *t, enum end why)
{
	end_by(t, why, DO_CLOSE);
}

static void last_word(struct step *t, enum reply r, struct span more)
{
	t->out->refused.reply = r;
	if (buf_room(t->out->peer) >= LAST_WORD_MAX + more.n)
		t->how->last_word(r, more, t->out->peer);
}

void session_end_with(struct step *t, enum reply r, enum end why)
{
	last_word(t, r, SPAN_NONE);
	session_end(t, why);
}

void session_end_by(struct step *t, enum rule r)
{
	uint8_t mem[RULE_TEXT_MAX];

	t->out->refused_by = r;
	last_word(t, rule_table[r].reply, triage_rule_text(t, r, mem));
	session_end(t, END_REFUSED);
}

/* ---- mailbox servers --------------------------------------------------------------- */

void session_ask_backend(struct step *t)
{
	const struct settings *set = &t->s->conf->set;

	t->out->orders |= DO_BACKEND;
	/* edge/ keeps the time; this is for when it does not */
	session_wait(t, PHASE_BACKEND,
		     t->now + set->backend_connect + set->backend_reply + ROLE_WAIT);
}

void session_relay(struct step *t)
{
	t->out->orders |= DO_RELAY;
	session_wait(t, PHASE_RELAY, MS_NEVER);
}

/* ---- beginnings -------------------------------------------------------------------- */

static bool is_in(const struct net *nets, uint32_t count, const struct addr *a)
{
	for (uint32_t i = 0; i < count; i++)
		if (net_has(&nets[i], a))
			return true;
	return false;
}

void session_init(struct session *s, const struct session_setup *setup)
{
	*s = (struct session){
		.conf = setup->conf,
		.listener = setup->listener,
		.peer = setup->peer,
		.via = setup->peer,
		.local = setup->local.addr,
		.opened_at = setup->now,
		.text_since = setup->now,
		.deadline = MS_NEVER,
		.marks = setup->tls_ready ? MARK_TLS_READY : 0,
	};
	if (!session_reads_mail(s))
		smtp_init(&s->smtp, (size_t)setup->conf->set.line_max, 0);
	if (!*setup->listener->path)
		return;
	s->marks |= MARK_LOCAL | (setup->any_sender ? MARK_ANY_SENDER : 0);
	if (setup->login.n && setup->login.n <= sizeof(s->sasl.user)) {
		s->marks |= MARK_LOGGED_IN;
		s->sasl.user_n = (uint8_t)setup->login.n;
		memcpy(s->sasl.user, setup->login.p, setup->login.n);
	}
}

bool session_is_let_in(const struct session *s)
{
	return s->marks & (MARK_LOGGED_IN | MARK_WELCOME);
}

void session_print_refusal(enum service service, enum reply r, struct span more,
			   struct buf *out)
{
	dialogue_of(service)->last_word(r, more, out);
}

struct span session_login(const struct session *s)
{
	return span_of(s->sasl.user, s->marks & MARK_LOGGED_IN ? s->sasl.user_n : 0);
}

bool session_is_local(const struct session *s)
{
	return (s->marks & MARK_LOCAL) != 0;
}

bool session_in_exchange(const struct session *s)
{
	return s->phase != PHASE_OVER &&
	       (s->sasl.at == SASL_AT_AUTH || s->sasl.at == SASL_AT_ANSWER);
}

bool session_reads_text(const struct session *s)
{
	return s->listener->service == SERVICE_POP3 && s->phase != PHASE_OVER &&
	       (s->maildrop.says == MAILDROP_OPENS || s->maildrop.says == MAILDROP_TEXT);
}

bool session_in_text(const struct session *s)
{
	return (s->marks & MARK_MAIL) && smtp_in_text(&s->smtp);
}

bool session_checks_from(const struct session *s)
{
	return submission_is(s);
}

size_t session_item_room(const struct session *s)
{
	return (submission_is(s) ? ITEM_MAX : ADDRESS_MAX) + 2;
}

/* Greet now, or listen for a while who cannot wait. */
static void welcome(struct step *t)
{
	if (triage_greets_at_once(t))
		t->how->greet(t);
	else
		session_wait(t, PHASE_WAIT, t->now + t->s->conf->set.greet_delay);
}

static void start_tls(struct step *t)
{
	if (t->standing->handshake_over) {
		session_see(t, EV_HANDSHAKE_OVER);
		session_end(t, END_TLS);
		return;
	}
	t->out->orders |= DO_TLS;
	session_wait(t, PHASE_TLS, t->now + triage_tls_time(t));
}

/* We know who the client is. */
static void begin(struct step *t)
{
	struct session *s = t->s;

	if (is_in(s->conf->xclient_from, s->conf->xclient_count, &s->peer.addr))
		s->marks |= MARK_XCLIENT;
	if (s->listener->tls != TLS_IMPLICIT) {
		welcome(t);
	} else if (s->marks & MARK_TLS_READY) {
		start_tls(t);
	} else {
		session_end(t, END_TLS);
	}
}

static void opened(struct step *t)
{
	struct session *s = t->s;

	if (s->listener->proxy &&
	    is_in(s->conf->proxy_from, s->conf->proxy_count, &s->via.addr))
		session_wait(t, PHASE_PROXY, t->now + PROXY_WAIT);
	else
		begin(t);
}

static void read_proxy(struct step *t)
{
	struct session *s = t->s;
	struct proxy p;

	switch (proxy_next(&t->left, &p)) {
	case PROXY_MORE:
		if (s->marks & MARK_EOF)
			session_end(t, END_HUNG_UP);
		break;
	case PROXY_BAD:
		session_see(t, EV_PROXY_BAD);
		session_end(t, END_REFUSED);
		break;
	case PROXY_OK:
		if (p.told)
			s->peer = p.peer;
		begin(t);
		break;
	}
}

/* Whoever speaks before our greeting speaks to nobody, and hears so when it is due. */
static void read_early(struct step *t)
{
	bool early = t->s->marks & MARK_EARLY;

	if (!early && triage_greets_at_once(t)) {
		t->how->greet(t);
		return;
	}
	if (!early && t->left.n) {
		t->s->marks |= MARK_EARLY;
		session_see(t, EV_EARLY_TALK);
		if (triage_observes(t, RULE_EARLY)) {
			t->how->greet(t);
			return;
		}
	}
	t->left = span_skip(t->left, t->left.n);
	if (t->s->marks & MARK_EOF)
		session_end(t, END_HUNG_UP);
}

static void end_wait(struct step *t)
{
	if (t->s->marks & MARK_EARLY) {
		session_end_by(t, RULE_EARLY);
	} else {
		t->out->passed = true;
		t->how->greet(t);
	}
}

/* ---- answers to our questions ------------------------------------------------------ */

/* The time that we took is not the peer's slowness. */
static void room(struct step *t, bool got)
{
	struct session *s = t->s;
	bool in_text = smtp_in_text(&s->smtp);

	if (s->phase != PHASE_ROOM)
		return;
	s->text_since += t->now - s->asked_at;
	session_wait(t, PHASE_TALK,
		     t->now + (in_text ? triage_data_time(t) : triage_command_time(t)));
	if (in_text && (!got || mail_wants_room(t)))
		mail_fault(t, RE_NO_ROOM, EV_NONE);
	if (!in_text && (!got || !mail_has_envelope_room(t)))
		s->marks |= MARK_NO_ROOM;
}

static void in_tls_now(struct step *t)
{
	struct session *s = t->s;

	if (s->phase != PHASE_TLS)
		return;
	s->in_tls = true;
	if (t->in->tls)
		s->tls = *t->in->tls;
	if (s->marks & MARK_GREETED)
		t->how->start_over(t);
	else
		welcome(t);
}

static void tls_failed(struct step *t)
{
	session_see(t, EV_TLS_FAILED);
	end_by(t, END_TLS, DO_ABORT);
}

/* ---- time -------------------------------------------------------------------------- */

/* When the message under way will have been too slow, if nothing more comes. */
static ms_t slow_at(const struct session *s)
{
	int64_t rate = s->conf->set.data_rate;
	ms_t earned;

	if (s->phase != PHASE_TALK || rate == 0 || !in_message(s))
		return MS_NEVER;
	earned = (ms_t)(s->text_bytes / (uint64_t)rate) * MS_SECOND;
	return s->text_since + (earned > RATE_GRACE ? earned : RATE_GRACE);
}

/*
 * Who reads mail has only so long to log in; what we take ourselves does not count, so that a
 * late "later" is no last word.
 */
static ms_t login_over_at(const struct session *s)
{
	if (s->marks & MARK_LOGGED_IN || s->phase == PHASE_AUTH ||
	    s->phase == PHASE_BACKEND || s->phase == PHASE_DELAY)
		return MS_NEVER;
	return s->text_since + s->conf->set.mailbox_login;
}

/* The end of the whole session; a store at work is waited for. */
static ms_t session_over_at(const struct session *s)
{
	if (session_reads_mail(s))
		return login_over_at(s);
	return s->phase == PHASE_SUBMIT ? MS_NEVER
					: s->opened_at + s->conf->set.session_timeout;
}

static ms_t earlier(ms_t a, ms_t b)
{
	return a < b ? a : b;
}

static ms_t wake_at(const struct session *s)
{
	if (s->phase == PHASE_OVER || s->phase == PHASE_RELAY)
		return MS_NEVER;
	return earlier(s->deadline, earlier(slow_at(s), session_over_at(s)));
}

static void timed_out(struct step *t)
{
	if (t->s->phase == PHASE_TLS) {
		tls_failed(t);
		return;
	}
	session_see(t, EV_TIMEOUT);
	session_end_with(t, RE_TIMEOUT, END_TIMEOUT);
}

static void deadline_passed(struct step *t)
{
	static const struct session_backend none = { .result = BACKEND_DOWN };

	switch (t->s->phase) {
	case PHASE_PROXY:
		session_see(t, EV_PROXY_BAD);
		session_end(t, END_TIMEOUT);
		break;
	case PHASE_WAIT:
		end_wait(t);
		break;
	case PHASE_TALK:
	case PHASE_TLS:
		timed_out(t);
		break;
	case PHASE_VERIFY:
		transaction_verdict(t, VERDICT_UNKNOWN);
		break;
	case PHASE_SENDER:
		submission_verdict(t, VERDICT_UNKNOWN);
		break;
	case PHASE_AUTH:
		login_later(t);
		break;
	case PHASE_ROOM:
		room(t, false);
		break;
	case PHASE_SUBMIT:
		mail_submitted(t, SUBMITTED_FAILED);
		break;
	case PHASE_FACTS:
		triage_waited(t, true);
		break;
	case PHASE_DELAY:
		dialogue_say_held(t);
		break;
	case PHASE_BACKEND:
		t->how->backend(t, &none);
		break;
	case PHASE_BOX:
		session_end_with(t, RE_INTERNAL, END_OURS);
		break;
	case PHASE_OPEN:
	case PHASE_RELAY:
	case PHASE_OVER:
		break;
	}
}

static void time_came(struct step *t)
{
	struct session *s = t->s;

	if (t->now >= session_over_at(s)) {
		timed_out(t);
	} else if (t->now >= slow_at(s)) {
		session_see(t, EV_TOO_SLOW);
		session_end_with(t, RE_TOO_SLOW, END_TOO_SLOW);
	} else if (t->now >= s->deadline) {
		deadline_passed(t);
	}
}

/* ---- a step ------------------------------------------------------------------------ */

/*
 * A session that does nothing ends at once; a transaction may be finished. Who was let in
 * and made to wait may say what it came for: it does not know that we change places.
 */
static void stop(struct step *t)
{
	struct session *s = t->s;

	s->marks |= MARK_STOP;
	if (s->phase == PHASE_PROXY || s->phase == PHASE_WAIT)
		s->marks |= MARK_UNHEARD;
	else if (s->phase == PHASE_TLS)
		end_by(t, END_SHUTDOWN, DO_ABORT);
}

/* A message that the store has is waited for: its sender would bring it again. */
static void bye(struct step *t)
{
	switch (t->s->phase) {
	case PHASE_WAIT:
	case PHASE_TALK:
	case PHASE_VERIFY:
	case PHASE_ROOM:
	case PHASE_FACTS:
	case PHASE_DELAY:
	case PHASE_AUTH:
	case PHASE_SENDER:
	case PHASE_BACKEND:
	case PHASE_BOX:
		session_end_with(t, RE_STOPPING, END_SHUTDOWN);
		break;
	case PHASE_OPEN:
	case PHASE_PROXY:
	case PHASE_TLS:
	case PHASE_SUBMIT:
	case PHASE_RELAY:
	case PHASE_OVER:
		break;
	}
}

/*
 * It will say nothing more, and has said nothing that waits for its login. (In SMTP nothing
 * may be behind AUTH.)
 */
static bool has_left(const struct step *t)
{
	return (t->s->phase == PHASE_AUTH || t->s->phase == PHASE_BACKEND) &&
	       (!session_reads_mail(t->s) || !t->left.n);
}

static void happened(struct step *t)
{
	struct session *s = t->s;

	switch (t->in->kind) {
	case IN_OPENED:
		if (s->phase == PHASE_OPEN)
			opened(t);
		break;
	case IN_BYTES:
		break;
	case IN_EOF:
		s->marks |= MARK_EOF;
		if (has_left(t))
			session_end(t, END_HUNG_UP);
		break;
	case IN_BROKEN:
		end_by(t, END_RESET, DO_ABORT);
		break;
	case IN_TIME:
		time_came(t);
		break;
	case IN_TLS:
		in_tls_now(t);
		break;
	case IN_TLS_FAILED:
		if (s->phase == PHASE_TLS)
			tls_failed(t);
		break;
	case IN_VERDICT:
		if (s->phase == PHASE_VERIFY)
			transaction_verdict(t, t->in->verdict);
		else if (s->phase == PHASE_SENDER)
			submission_verdict(t, t->in->verdict);
		break;
	case IN_ROOM:
	case IN_NO_ROOM:
		room(t, t->in->kind == IN_ROOM);
		break;
	case IN_SUBMITTED:
		if (s->phase == PHASE_SUBMIT)
			mail_submitted(t, t->in->submitted);
		break;
	case IN_STOP:
		stop(t);
		break;
	case IN_BYE:
		bye(t);
		break;
	case IN_FACTS:
		if (s->phase == PHASE_FACTS)
			triage_waited(t, false);
		break;
	case IN_CHALLENGE:
		if (s->phase == PHASE_AUTH)
			login_challenge(t);
		break;
	case IN_AUTHED:
		if (s->phase == PHASE_AUTH)
			login_authed(t);
		break;
	case IN_BACKEND:
		if (s->phase == PHASE_BACKEND)
			t->how->backend(t, t->in->backend);
		break;
	case IN_TEXT:
		if (s->phase == PHASE_BOX)
			maildrop_text(t);
		break;
	case IN_REMOVED:
		if (s->phase == PHASE_BOX)
			maildrop_removed(t);
		break;
	}
}

/* Whatever happened, go on with what there is to read. */
static void read_on(struct step *t)
{
	if (t->s->phase == PHASE_PROXY)
		read_proxy(t);
	if (t->s->phase == PHASE_WAIT)
		read_early(t);
	if (t->s->phase == PHASE_TALK)
		t->how->talk(t);
	if (t->s->phase == PHASE_OVER)
		t->left = span_skip(t->left, t->left.n);
}

void session_step(struct session *s, const struct session_in *in, ms_t now,
		  struct session_out *out)
{
	static const struct standing nothing;
	struct step t = { .s = s,
			  .how = dialogue_of(s->listener->service),
			  .in = in,
			  .left = in->bytes,
			  .now = now,
			  .out = out };

	t.standing = in->standing ? in->standing : &nothing;
	triage_learn(&t);
	if (s->phase != PHASE_OVER)
		happened(&t);
	if (triage_is_over(&t)) {
		session_see(&t, EV_REFUSED_LATE);
		session_end_by(&t, t.standing->late);
	}
	read_on(&t);
	out->used = in->bytes.n - t.left.n;
	out->wake = wake_at(s);
	s->bytes_in += out->used;
	BUG_IF(out->peer->full);
}
