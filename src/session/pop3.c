/*
 * A POP3 session up to the login (RFC 1939, 4). What comes after that is for the mailbox
 * server, or for maildrop.c.
 */
#include "session/inside.h"

#include "base/bug.h"

/* ---- beginnings -------------------------------------------------------------------- */

static void start_over(struct session *s)
{
	s->maildrop = (struct maildrop){ 0 };
	pop3_init(&s->pop3, (size_t)s->conf->set.line_max,
		  (size_t)s->conf->set.auth_line_max);
}

/* Without a time stamp: APOP needs passwords that can be read (RFC 1939, 7). */
static void greet(struct step *t)
{
	buf_put(t->out->peer, SPAN("+OK "));
	buf_put(t->out->peer, session_host(t->s));
	buf_put(t->out->peer, SPAN(" ready\r\n"));
}

/* ---- what is offered --------------------------------------------------------------- */

/*
 * UTF-8 in names and headers (RFC 6856) is fine with us. A mailbox server behind us might
 * have to hear the command, and Dovecot does not know it.
 */
static bool offers_utf8(const struct session *s)
{
	const struct conf *conf = s->conf;
	bool behind = false;

	for (uint32_t i = 0; i < conf->backend_count; i++)
		behind |= *conf->backends[i].pop3 != '\0';
	return !behind && conf->set.mailbox_maildir;
}

/* CAPA, in either state (RFC 2449, 5): who is in needs neither TLS nor a login any more. */
static void capa(struct step *t)
{
	struct session *s = t->s;
	bool tls = dialogue_offers_tls(s) && !(s->marks & MARK_LOGGED_IN);
	struct pop3_capa c = {
		.offers = (tls ? POP3_OFFERS_TLS : 0) |
			  (login_takes_passwords(s) ? POP3_OFFERS_USER : 0) |
			  (offers_utf8(s) ? POP3_OFFERS_UTF8 : 0),
	};
	uint8_t mem[MECHANISMS_MAX];

	c.mechanisms = login_print_mechanisms(s, mem);
	dialogue_say(t, RE_CAPABILITIES, SPAN_NONE);
	pop3_print_capa(&c, t->out->peer);
}

/* AUTH alone: what there is, a line each, as programs ask that are older than CAPA. */
static void list_mechanisms(struct step *t)
{
	unsigned offered = login_mechanisms(t->s);

	dialogue_say(t, RE_CAPABILITIES, SPAN_NONE);
	for (enum sasl_mechanism m = 0; m < SASL_COUNT; m++)
		if (offered & 1u << m) {
			sasl_print(1u << m, t->out->peer);
			buf_put(t->out->peer, SPAN("\r\n"));
		}
	buf_put(t->out->peer, SPAN(".\r\n"));
}

/* ---- logging in -------------------------------------------------------------------- */

/* The name is kept where LOGIN keeps it; who must not log in hears so before the password. */
static void user(struct step *t, struct span name)
{
	struct session *s = t->s;

	if (!login_may(t))
		return;
	if (name.n > sizeof(s->sasl.user)) {
		dialogue_refuse(t, RE_AUTH_TOO_LONG, EV_BAD_ARGUMENT, SPAN("USER"));
		return;
	}
	sasl_end(&s->sasl);
	memcpy(s->sasl.user, name.p, name.n);
	s->sasl.user_n = (uint8_t)name.n;
	dialogue_say(t, RE_OK, SPAN_NONE);
}

static void pass(struct step *t, struct span secret)
{
	struct session *s = t->s;
	struct sasl_room *room = t->out->room;
	struct buf both;
	size_t name_n = s->sasl.user_n;

	if (!room) {
		login_later(t);
		return;
	}
	buf_init(&both, room->mem, sizeof(room->mem));
	buf_put(&both, span_of(s->sasl.user, name_n));
	/* cut where it is too long for any password, so that it is refused as such */
	buf_put(&both, span_head(secret, SECRET_MAX + 1));
	room->used = both.len;
	login_password(t, span_of(room->mem, name_n),
		       span_of(room->mem + name_n, both.len - name_n));
}

static void backend(struct step *t, const struct session_backend *b)
{
	if (b->result == BACKEND_READY) {
		dialogue_say(t, RE_AUTH_OK, SPAN_NONE);
		session_relay(t);
	} else if (b->result == BACKEND_BOX) {
		maildrop_begin(t, b);
	} else {
		dialogue_no_mailbox(t, b->result);
	}
}

/* ---- commands ---------------------------------------------------------------------- */

/* Nobody needs many of these to log in. */
static bool is_junk(const struct session *s, enum pop3_verb v)
{
	return !(s->marks & MARK_LOGGED_IN) &&
	       (v == POP3_CAPA || v == POP3_UTF8 || v == POP3_USER ||
		v == POP3_AUTH_LIST || v == POP3_APOP);
}

static void verb(struct step *t, const struct pop3_event *ev)
{
	struct session *s = t->s;

	if (is_junk(s, ev->verb) && dialogue_too_much_junk(t))
		return;
	switch (ev->verb) {
	case POP3_CAPA:
		capa(t);
		break;
	case POP3_STLS:
		dialogue_starttls(t);
		break;
	case POP3_UTF8:
		if (offers_utf8(s))
			dialogue_say(t, RE_OK, SPAN_NONE);
		else
			dialogue_refuse(t, RE_NOT_HERE, EV_BAD_SEQUENCE, SPAN("UTF8"));
		break;
	case POP3_USER:
		user(t, ev->text);
		break;
	case POP3_PASS:
		pass(t, ev->text);
		break;
	case POP3_AUTH:
		login_auth(t, ev->text);
		break;
	case POP3_AUTH_LIST:
		list_mechanisms(t);
		break;
	case POP3_APOP:
		dialogue_refuse(t, RE_NOT_HERE, EV_BAD_SEQUENCE, SPAN("APOP"));
		break;
	case POP3_NOOP:
		dialogue_say(t, RE_OK, SPAN_NONE);
		break;
	case POP3_STAT:
	case POP3_LIST:
	case POP3_UIDL:
	case POP3_RETR:
	case POP3_TOP:
	case POP3_DELE:
	case POP3_RSET:
		maildrop_command(t, ev);
		break;
	case POP3_QUIT:
		maildrop_quit(t);
		break;
	case POP3_NONE:
	case POP3_AUTH_MORE:
	case POP3_REFUSED:
	case POP3_VERB_COUNT:
		BUG_IF(true);
	}
}

static void event(struct step *t, const struct pop3_event *ev)
{
	switch (ev->kind) {
	case POP3_MORE:
		break;
	case POP3_VERB:
		t->s->commands++;
		dialogue_note_order(t->s, ev->verb,
				    ev->verb == POP3_PASS || ev->verb == POP3_AUTH);
		verb(t, ev);
		break;
	case POP3_ANSWER:
		login_answer(t, ev->odd, ev->text);
		break;
	case POP3_BAD:
		t->s->commands++;
		dialogue_bad(t, ev->odd, ev->say, ev->text, ev->lost);
		break;
	}
}

static void talk(struct step *t)
{
	struct session *s = t->s;

	while (s->phase == PHASE_TALK && buf_room(t->out->peer) >= REPLY_MAX) {
		struct pop3_event ev;

		if (s->maildrop.says != MAILDROP_NOTHING) {
			if (!maildrop_go_on(t))
				break;
			continue;
		}
		if (dialogue_stops(t))
			return;
		ev = pop3_next(&s->pop3, &t->left);
		if (ev.kind == POP3_MORE) {
			session_await_bytes(t);
			return;
		}
		event(t, &ev);
	}
	t->out->unsaid = s->phase == PHASE_TALK && s->maildrop.says != MAILDROP_NOTHING;
}

/* ---- for who does not know what POP3 is ---------------------------------------------- */

static void reply(struct session *s, enum reply r, struct span more, struct buf *out)
{
	pop3_reply(&s->pop3, r, more, out);
}

static void challenge(struct session *s, struct span text, struct buf *out)
{
	pop3_reply_challenge(&s->pop3, text, out);
}

/* Who says nothing for too long hears nothing (RFC 1939, 3). */
static void last_word(enum reply r, struct span more, struct buf *out)
{
	if (r != RE_TIMEOUT)
		pop3_print(r, more, out);
}

const struct dialogue pop3_dialogue = {
	.start_over = start_over,
	.greet = greet,
	.talk = talk,
	.reply = reply,
	.challenge = challenge,
	.last_word = last_word,
	.logged_in = session_ask_backend,
	.backend = backend,
};
