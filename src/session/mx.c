#include "session/inside.h"

#include "base/bug.h"
#include "wire/envelope.h"
#include "wire/xclient.h"

/* ---- answers ----------------------------------------------------------------------- */

/* Which offence is it to be answered like this? */
enum event mx_offence(enum reply r)
{
	return r == RE_UTF8_NEEDED || r == RE_NEEDS_UTF8 ? EV_EIGHT_BIT : EV_BAD_ARGUMENT;
}

/* ---- greeting ---------------------------------------------------------------------- */

/* What the dialogue offers now. */
static unsigned offers(const struct session *s)
{
	const struct settings *set = &s->conf->set;
	bool tls = dialogue_offers_tls(s), auth = login_mechanisms(s) != 0;

	return (set->chunking ? SMTP_OFFERS_CHUNKING : 0) |
	       (conf_takes_binary(s->conf) ? SMTP_OFFERS_BINARY : 0) |
	       (set->utf8 ? SMTP_OFFERS_UTF8 : 0) | (tls ? SMTP_OFFERS_TLS : 0) |
	       (s->marks & MARK_XCLIENT ? SMTP_OFFERS_XCLIENT : 0) |
	       (auth ? SMTP_OFFERS_AUTH : 0) | (s->listener->auth ? SMTP_KNOWS_AUTH : 0) |
	       (submission_is(s) ? SMTP_OFFERS_DSN : 0) |
	       (set->bare_newlines == BARE_NORMALISE ? SMTP_NORMALISES : 0);
}

static void start_over(struct session *s)
{
	smtp_init(&s->smtp, (size_t)s->conf->set.line_max, offers(s));
	smtp_allow_auth(&s->smtp, (size_t)s->conf->set.auth_line_max);
	s->marks &= ~MARK_ESMTP;
}

static void greet(struct step *t)
{
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
	uint8_t mem[MECHANISMS_MAX];

	if (!is_name(ev->text)) {
		dialogue_refuse(t, RE_BAD_ARGUMENT, EV_BAD_ARGUMENT, ev->text);
		return;
	}
	mail_drop(t);
	keep_helo(s, ev->text);
	triage_hello(t);
	s->marks &= ~MARK_ESMTP;
	if (ev->verb == SMTP_HELO) {
		dialogue_say(t, RE_HELO, ehlo.host);
		return;
	}
	s->marks |= MARK_ESMTP;
	ehlo.mechanisms = login_print_mechanisms(s, mem);
	smtp_reply_ehlo(&s->smtp, &ehlo, t->out->peer);
	dialogue_listen(t);
}

/* A front that we trust tells who its client is; all begins anew, greeting included. */
static void xclient(struct step *t, struct span text)
{
	struct session *s = t->s;
	struct xclient x;

	if (!(s->marks & MARK_XCLIENT)) {
		dialogue_refuse(t, RE_XCLIENT_DENIED, EV_XCLIENT_DENIED, text);
		return;
	}
	if (!xclient_parse(text, &x)) {
		dialogue_refuse(t, RE_BAD_ARGUMENT, EV_BAD_ARGUMENT, text);
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
	s->smtp.offers = offers(s);
	if (x.has_helo)
		keep_helo(s, span_of(x.helo, x.helo_n));
	dialogue_say(t, RE_GREETING, session_host(s));
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
		dialogue_refuse(t, RE_BINARY_DATA, EV_BAD_SEQUENCE, SPAN("DATA"));
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
		dialogue_refuse(t, r, mx_offence(r), ev->text);
	else
		dialogue_refuse(t, ev->verb == SMTP_VRFY ? RE_VRFY : RE_NOT_HERE, EV_VRFY,
				ev->text);
}

static bool is_junk(enum smtp_verb v)
{
	return v != SMTP_MAIL && v != SMTP_RCPT && v != SMTP_DATA && v != SMTP_BDAT &&
	       v != SMTP_QUIT;
}

static void verb(struct step *t, const struct smtp_event *ev)
{
	if (is_junk(ev->verb) && dialogue_too_much_junk(t))
		return;
	if (ev->must_be_last && ev->verb != SMTP_STARTTLS && t->left.n)
		session_see(t, EV_PIPELINED_EARLY);
	switch (ev->verb) {
	case SMTP_EHLO:
	case SMTP_HELO:
		hello(t, ev);
		break;
	case SMTP_STARTTLS:
		dialogue_starttls(t);
		break;
	case SMTP_AUTH:
		login_auth(t, ev->text);
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
		dialogue_say(t, RE_OK, SPAN_NONE);
		break;
	case SMTP_NOOP:
		dialogue_say(t, RE_OK, SPAN_NONE);
		break;
	case SMTP_VRFY:
	case SMTP_EXPN:
		query(t, ev);
		break;
	case SMTP_HELP:
		dialogue_say(t, RE_HELP, SPAN_NONE);
		break;
	case SMTP_QUIT:
		dialogue_say(t, RE_BYE, SPAN_NONE);
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
		login_answer(t, ev->odd, ev->text);
		break;
	case SMTP_BAD:
		t->s->commands++;
		dialogue_bad(t, ev->odd, ev->say, ev->text, ev->lost);
		break;
	}
}

static void talk(struct step *t)
{
	struct session *s = t->s;

	while (s->phase == PHASE_TALK && buf_room(t->out->peer) >= REPLY_MAX) {
		struct smtp_event ev;

		if (dialogue_stops(t) || triage_waits(t))
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
			session_await_bytes(t);
			return;
		}
		event(t, &ev);
	}
}

/* ---- for who does not know what SMTP is ---------------------------------------------- */

static void reply(struct session *s, enum reply r, struct span more, struct buf *out)
{
	smtp_reply(&s->smtp, r, more, out);
}

static void challenge(struct session *s, struct span text, struct buf *out)
{
	smtp_reply_challenge(&s->smtp, text, out);
}

static void logged_in(struct step *t)
{
	t->s->smtp.offers &= ~SMTP_OFFERS_AUTH;
	dialogue_say(t, RE_AUTH_OK, SPAN_NONE);
}

const struct dialogue mx_dialogue = {
	.start_over = start_over,
	.greet = greet,
	.talk = talk,
	.reply = reply,
	.challenge = challenge,
	.last_word = reply_print,
	.logged_in = logged_in,
};
