#include "session/inside.h"

#include "base/bug.h"
#include "wire/envelope.h"
#include "wire/xclient.h"

/* ---- answers ----------------------------------------------------------------------- */

/* Would one more of a kind be too much? Then the session is over. */
static bool too_many(struct step *t, uint32_t *count, int64_t max, enum reply r,
		     enum event e, enum end why)
{
	if (++*count <= max)
		return false;
	session_see(t, e);
	session_end_with(t, r, why);
	return true;
}

/* With little room, fewer. */
static int64_t most_errors(const struct step *t, int64_t max)
{
	int64_t now = t->standing->errors;

	return now > 0 && now < max ? now : max;
}

static bool too_many_errors(struct step *t, uint32_t *count, int64_t max)
{
	return too_many(t, count, most_errors(t, max), RE_TOO_MANY_ERRORS,
			EV_TOO_MANY_ERRORS, END_ERRORS);
}

bool mx_count_error(struct step *t)
{
	return ++t->s->errors > most_errors(t, t->s->conf->set.errors);
}

/* Commands that bring no mail nearer. */
static bool too_much_junk(struct step *t)
{
	int64_t now = t->standing->junk;

	return too_many(t, &t->s->junk, now > 0 ? now : t->s->conf->set.junk,
			RE_TOO_MANY_JUNK, EV_TOO_MANY_JUNK, END_JUNK);
}

/* Print the reply; the peer has anew its time for a command. */
void mx_say(struct step *t, enum reply r, struct span more)
{
	smtp_reply(&t->s->smtp, r, more, t->out->peer);
	session_wait(t, PHASE_TALK, t->now + triage_command_time(t));
}

static void say_by(struct step *t, enum reply r, enum rule by)
{
	uint8_t mem[RULE_TEXT_MAX];

	mx_say(t, r, by == RULE_NONE ? SPAN_NONE : triage_rule_text(t, by, mem));
}

/* Who offends waits for the answer, if its standing says so. */
static void say_in_time(struct step *t, enum reply r, enum rule by)
{
	if (t->standing->delay <= 0 || reply_table[r].code < 400) {
		say_by(t, r, by);
		return;
	}
	mx_hold(t, r, t->standing->delay);
	t->s->held_by = by;
}

void mx_hold(struct step *t, enum reply r, ms_t how_long)
{
	t->s->held = r;
	t->s->held_by = RULE_NONE;
	session_wait(t, PHASE_DELAY, t->now + how_long);
}

void mx_say_held(struct step *t)
{
	if (t->s->held == RE_TOO_MANY_ERRORS) {
		session_see(t, EV_TOO_MANY_ERRORS);
		session_end_with(t, t->s->held, END_ERRORS);
		return;
	}
	say_by(t, t->s->held, t->s->held_by);
}

static void note_refusal(struct step *t, enum reply r, struct span what)
{
	if (reply_table[r].code >= 400)
		t->out->refused = (struct session_refusal){ .reply = r, .text = what };
}

/* 4xx are our troubles and limits; only 5xx are the peer's mistakes. */
static void answer(struct step *t, enum reply r, enum rule by, struct span what)
{
	struct session *s = t->s;

	note_refusal(t, r, what);
	if (reply_table[r].code >= 500 &&
	    too_many_errors(t, &s->errors, s->conf->set.errors))
		return;
	say_in_time(t, r, by);
}

void mx_answer(struct step *t, enum reply r, struct span what)
{
	answer(t, r, RULE_NONE, what);
}

void mx_answer_by(struct step *t, enum rule r, struct span what)
{
	t->out->refused_by = r;
	answer(t, rule_table[r].reply, r, what);
}

/* Which offence is it to be answered like this? */
enum event mx_offence(enum reply r)
{
	return r == RE_UTF8_NEEDED || r == RE_NEEDS_UTF8 ? EV_EIGHT_BIT : EV_BAD_ARGUMENT;
}

void mx_refuse(struct step *t, enum reply r, enum event e, struct span what)
{
	session_see(t, e);
	mx_answer(t, r, what);
}

/* ---- greeting ---------------------------------------------------------------------- */

unsigned mx_offers(const struct session *s)
{
	const struct settings *set = &s->conf->set;
	bool tls = s->listener->tls == TLS_START && (s->marks & MARK_TLS_READY) &&
		   !s->in_tls;

	bool auth = login_mechanisms(s) != 0;

	return (set->chunking ? SMTP_OFFERS_CHUNKING : 0) |
	       (set->utf8 ? SMTP_OFFERS_UTF8 : 0) | (tls ? SMTP_OFFERS_TLS : 0) |
	       (s->marks & MARK_XCLIENT ? SMTP_OFFERS_XCLIENT : 0) |
	       (auth ? SMTP_OFFERS_AUTH : 0) | (s->listener->auth ? SMTP_KNOWS_AUTH : 0) |
	       (submission_is(s) ? SMTP_OFFERS_DSN : 0) |
	       (set->bare_newlines == BARE_NORMALISE ? SMTP_NORMALISES : 0);
}

void mx_start_over(struct step *t)
{
	struct session *s = t->s;

	login_forget(s);
	smtp_init(&s->smtp, (size_t)s->conf->set.line_max, mx_offers(s));
	smtp_allow_auth(&s->smtp, (size_t)s->conf->set.auth_line_max);
	s->helo_n = 0;
	s->marks &= ~MARK_ESMTP;
	session_wait(t, PHASE_TALK, t->now + triage_command_time(t));
}

void mx_greet(struct step *t)
{
	mx_start_over(t);
	t->s->marks |= MARK_GREETED;
	smtp_print_greeting(session_host(t->s), t->out->peer);
}

/* Any printable bytes: a name that is wrong is no reason to refuse (RFC 5321, 4.1.4). */
static bool is_name(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] <= ' ' || text.p[i] >= 0x7f)
			return false;
	return text.n <= DOMAIN_MAX;
}

static void keep_helo(struct session *s, struct span name)
{
	s->helo_n = (uint8_t)name.n;
	memcpy(s->helo, name.p, name.n);
}

static void hello(struct step *t, const struct smtp_event *ev)
{
	struct session *s = t->s;
	struct smtp_ehlo ehlo = {
		.host = session_host(s),
		.size_max = (uint64_t)s->conf->set.message_max,
		.rcpt_max = (uint64_t)s->conf->set.recipients,
		.mail_max = (uint64_t)s->conf->set.mails,
	};
	uint8_t mem[128];
	struct buf mechanisms;

	if (!is_name(ev->text)) {
		mx_refuse(t, RE_BAD_ARGUMENT, EV_BAD_ARGUMENT, ev->text);
		return;
	}
	mail_drop(t);
	keep_helo(s, ev->text);
	triage_hello(t);
	s->marks &= ~MARK_ESMTP;
	if (ev->verb == SMTP_HELO) {
		mx_say(t, RE_HELO, ehlo.host);
		return;
	}
	s->marks |= MARK_ESMTP;
	buf_init(&mechanisms, mem, sizeof(mem));
	sasl_print(login_mechanisms(s), &mechanisms);
	ehlo.mechanisms = buf_span(&mechanisms);
	smtp_reply_ehlo(&s->smtp, &ehlo, t->out->peer);
	session_wait(t, PHASE_TALK, t->now + triage_command_time(t));
}

/* What came in the clear behind STARTTLS was never meant for us (RFC 3207, 6). */
static void starttls(struct step *t)
{
	struct session *s = t->s;

	if (s->in_tls) {
		mx_refuse(t, RE_BAD_SEQUENCE, EV_BAD_SEQUENCE, SPAN("STARTTLS"));
	} else if (s->listener->tls != TLS_START) {
		mx_refuse(t, RE_NOT_HERE, EV_BAD_SEQUENCE, SPAN("STARTTLS"));
	} else if (!(s->smtp.offers & SMTP_OFFERS_TLS)) {
		mx_answer(t, RE_TLS_UNAVAILABLE, SPAN_NONE);
	} else if (t->standing->handshake_over) {
		mx_refuse(t, RE_TLS_UNAVAILABLE, EV_HANDSHAKE_OVER, SPAN("STARTTLS"));
	} else if (t->left.n) {
		session_see(t, EV_TLS_PIPELINED);
		session_end_with(t, RE_GO_AWAY, END_ABUSE);
	} else {
		mx_say(t, RE_TLS_GO, SPAN_NONE);
		t->out->orders |= DO_TLS;
		session_wait(t, PHASE_TLS, t->now + triage_tls_time(t));
	}
}

/* A front that we trust tells who its client is; all begins anew, greeting included. */
static void xclient(struct step *t, struct span text)
{
	struct session *s = t->s;
	struct xclient x;

	if (!(s->marks & MARK_XCLIENT)) {
		mx_refuse(t, RE_XCLIENT_DENIED, EV_XCLIENT_DENIED, text);
		return;
	}
	if (!xclient_parse(text, &x)) {
		mx_refuse(t, RE_BAD_ARGUMENT, EV_BAD_ARGUMENT, text);
		return;
	}
	if (x.has_addr)
		s->peer.addr = x.addr;
	if (x.has_port)
		s->peer.port = x.port;
	s->helo_n = 0;
	s->marks &= ~MARK_ESMTP;
	triage_start_over(t);
	login_forget(s);
	s->smtp.offers = mx_offers(s);
	if (x.has_helo)
		keep_helo(s, span_of(x.helo, x.helo_n));
	mx_say(t, RE_GREETING, session_host(s));
}

/* ---- verbs ------------------------------------------------------------------------- */

static void begin_text(struct step *t)
{
	mail_begin_text(t);
	session_wait(t, PHASE_TALK, t->now + triage_data_time(t));
}

static void data(struct step *t)
{
	if (t->s->smtp.binary) {
		mx_refuse(t, RE_BINARY_DATA, EV_BAD_SEQUENCE, SPAN("DATA"));
		return;
	}
	smtp_reply(&t->s->smtp, RE_SEND_BODY, SPAN_NONE, t->out->peer);
	begin_text(t);
}

/* Nobody wants to read through a chunk of an exabyte to say no at its end. */
static bool is_impossible(const struct step *t, uint64_t size)
{
	return size > (uint64_t)t->s->conf->set.message_max + CHUNK_SLACK;
}

static void end_for_size(struct step *t)
{
	session_see(t, EV_TOO_BIG);
	session_end_with(t, RE_TOO_BIG, END_ABUSE);
}

/* The chunk follows, whatever we think of it; what was decided is said at its end. */
static void bdat(struct step *t, const struct smtp_event *ev)
{
	struct session *s = t->s;
	uint64_t max = (uint64_t)s->conf->set.message_max;

	if (is_impossible(t, ev->size)) {
		end_for_size(t);
		return;
	}
	if (s->smtp.state == SMTP_RCPT_OK)
		mail_begin_text(t);
	smtp_reply(&s->smtp, RE_NONE, SPAN_NONE, t->out->peer);
	session_wait(t, PHASE_TALK, t->now + triage_data_time(t));
	if (ev->size > max || s->body_size - s->trace_n + ev->size > max)
		mail_fault(t, RE_TOO_BIG, EV_TOO_BIG);
}

static void query(struct step *t, const struct smtp_event *ev)
{
	enum reply r = envelope_query_check(ev->text, t->s->smtp.offers);

	if (r != RE_NONE)
		mx_refuse(t, r, mx_offence(r), ev->text);
	else
		mx_refuse(t, ev->verb == SMTP_VRFY ? RE_VRFY : RE_NOT_HERE, EV_VRFY,
			  ev->text);
}

static bool is_junk(enum smtp_verb v)
{
	return v != SMTP_MAIL && v != SMTP_RCPT && v != SMTP_DATA && v != SMTP_BDAT &&
	       v != SMTP_QUIT;
}

static void verb(struct step *t, const struct smtp_event *ev)
{
	if (is_junk(ev->verb) && too_much_junk(t))
		return;
	if (ev->must_be_last && ev->verb != SMTP_STARTTLS && t->left.n)
		session_see(t, EV_PIPELINED_EARLY);
	switch (ev->verb) {
	case SMTP_EHLO:
	case SMTP_HELO:
		hello(t, ev);
		break;
	case SMTP_STARTTLS:
		starttls(t);
		break;
	case SMTP_AUTH:
		login_auth(t, ev);
		break;
	case SMTP_XCLIENT:
		xclient(t, ev->text);
		break;
	case SMTP_MAIL:
		transaction_mail(t, ev);
		break;
	case SMTP_RCPT:
		transaction_rcpt(t, ev);
		break;
	case SMTP_DATA:
		data(t);
		break;
	case SMTP_BDAT:
		bdat(t, ev);
		break;
	case SMTP_RSET:
		mail_drop(t);
		mx_say(t, RE_OK, SPAN_NONE);
		break;
	case SMTP_NOOP:
		mx_say(t, RE_OK, SPAN_NONE);
		break;
	case SMTP_VRFY:
	case SMTP_EXPN:
		query(t, ev);
		break;
	case SMTP_HELP:
		mx_say(t, RE_HELP, SPAN_NONE);
		break;
	case SMTP_QUIT:
		mx_say(t, RE_BYE, SPAN_NONE);
		session_end(t, END_QUIT);
		break;
	case SMTP_NONE:
	case SMTP_BODY_END:
	case SMTP_CHUNK_END:
	case SMTP_AUTH_MORE:
	case SMTP_REFUSED:
	case SMTP_VERB_COUNT:
		BUG_IF(true);
	}
}

static void bad(struct step *t, const struct smtp_event *ev)
{
	struct session *s = t->s;

	session_see(t, ev->odd);
	if (ev->odd == EV_NOT_SMTP) {
		note_refusal(t, RE_GO_AWAY, ev->text);
		session_end_with(t, RE_GO_AWAY, END_ABUSE);
	} else if (ev->odd == EV_UNKNOWN_VERB &&
		   too_many_errors(t, &s->unknown, s->conf->set.unknown_verbs)) {
		return;
	} else if (ev->odd == EV_NONE) { /* a consequence of what we refused */
		note_refusal(t, ev->say, ev->text);
		mx_say(t, ev->say, SPAN_NONE);
	} else {
		mx_answer(t, ev->say, ev->text);
		if (ev->lost && s->phase == PHASE_DELAY)
			mx_say_held(t); /* it ends here: nobody would hear it later */
		if (ev->lost && s->phase != PHASE_OVER)
			session_end(t, END_ABUSE);
	}
}

/* ---- the loop ---------------------------------------------------------------------- */

static void ask_for_room(struct step *t)
{
	t->s->asked_at = t->now;
	t->out->orders |= DO_ROOM;
	session_wait(t, PHASE_ROOM, t->now + ROLE_WAIT);
}

/* Must the letter grow before we read on? */
static bool wants_room(const struct step *t)
{
	const struct session *s = t->s;

	if (smtp_in_text(&s->smtp))
		return mail_wants_room(t);
	if (s->smtp.state != SMTP_MAIL_OK && s->smtp.state != SMTP_RCPT_OK)
		return false;
	return !(s->marks & MARK_NO_ROOM) && t->left.n && !mail_has_envelope_room(t);
}

/* The engine's next event. What it may see of a message is what fits into the letter. */
static struct smtp_event next(struct step *t)
{
	struct session *s = t->s;
	bool in_text = smtp_in_text(&s->smtp);
	struct smtp_event ev;
	struct span view;
	size_t used;

	do {
		view = in_text ? mail_view(t) : t->left;
		used = view.n;
		ev = smtp_next(&s->smtp, &view);
		used -= view.n;
		t->left = span_skip(t->left, used);
		if (in_text && used) {
			s->text_bytes += used;
			s->deadline = t->now + triage_data_time(t);
		}
	} while (ev.kind == SMTP_MORE && used && t->left.n > view.n);
	return ev;
}

static void event(struct step *t, const struct smtp_event *ev)
{
	switch (ev->kind) {
	case SMTP_MORE:
		break;
	case SMTP_VERB:
		t->s->commands++;
		verb(t, ev);
		break;
	case SMTP_TEXT:
		mail_text(t, ev->text);
		break;
	case SMTP_CHUNK:
		mail_chunk_end(t, ev->marks);
		break;
	case SMTP_END:
		mail_text_end(t, ev->marks);
		break;
	case SMTP_ANSWER:
		login_answer(t, ev);
		break;
	case SMTP_BAD:
		t->s->commands++;
		bad(t, ev);
		break;
	}
}

static bool is_time_to_stop(const struct session *s)
{
	bool unheard = (s->marks & MARK_UNHEARD) && s->messages == 0;

	return (s->marks & MARK_STOP) && !(s->marks & MARK_MAIL) && !unheard;
}

void mx_talk(struct step *t)
{
	struct session *s = t->s;

	while (s->phase == PHASE_TALK && buf_room(t->out->peer) >= REPLY_MAX) {
		struct smtp_event ev;

		if (is_time_to_stop(s)) {
			session_end_with(t, RE_STOPPING, END_SHUTDOWN);
			return;
		}
		if (triage_waits(t))
			return;
		if (wants_room(t)) {
			ask_for_room(t);
			return;
		}
		ev = next(t);
		if (s->smtp.swallowing && is_impossible(t, s->smtp.left)) {
			end_for_size(t);
			return;
		}
		if (mail_goes_on_too_long(t)) {
			session_end_with(t, RE_TOO_BIG, END_ABUSE);
			return;
		}
		if (ev.kind == SMTP_MORE) {
			if (s->marks & MARK_EOF)
				session_end(t, END_HUNG_UP);
			return;
		}
		event(t, &ev);
	}
}
