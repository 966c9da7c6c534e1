/*
 * An IMAP session up to the login. What comes after that is for the mailbox server, whose
 * capabilities the client hears with our yes.
 */
#include "session/inside.h"

#include "base/bug.h"
#include "wire/imap_word.h"

/* ---- beginnings -------------------------------------------------------------------- */

static void start_over(struct session *s)
{
	imap_init(&s->imap, (size_t)s->conf->set.auth_line_max);
}

/* mem: MECHANISMS_MAX */
static struct imap_offers offers(const struct step *t, void *mem)
{
	const struct session *s = t->s;

	return (struct imap_offers){
		.tls = dialogue_offers_tls(s),
		.login = login_takes_passwords(s),
		.mechanisms = login_print_mechanisms(s, mem),
		.learnt = span_head(t->in->offers, IMAP_LEARNT_MAX),
	};
}

static void greet(struct step *t)
{
	uint8_t mem[MECHANISMS_MAX];
	struct imap_offers o = offers(t, mem);

	imap_print_greeting(&o, session_host(t->s), t->out->peer);
}

/* ---- commands ---------------------------------------------------------------------- */

static void capability(struct step *t, struct span none)
{
	uint8_t mem[MECHANISMS_MAX];
	struct imap_offers o = offers(t, mem);

	(void)none;
	imap_reply_capability(&t->s->imap, &o, t->out->peer);
	dialogue_listen(t);
}

/* Its name is for the log, for who looks for a runaway client, and to know its devices. */
static void id(struct step *t, struct span text)
{
	struct session *s = t->s;
	uint8_t mem[CLIENT_NAME_MAX];
	struct buf name;

	buf_init(&name, mem, sizeof(mem));
	if (!imap_id_parse(text, &name)) {
		dialogue_refuse(t, RE_BAD_ARGUMENT, EV_BAD_ARGUMENT, SPAN("ID"));
		return;
	}
	s->helo_n = (uint8_t)name.len;
	memcpy(s->helo, mem, name.len);
	imap_reply_id(&s->imap, t->out->peer);
	dialogue_listen(t);
}

/* Both go into the room, without what they are quoted with. */
static void login(struct step *t, struct span text)
{
	struct sasl_room *room = t->out->room;
	struct imap_word user, secret;
	struct buf both;
	size_t user_n;

	if (!room) {
		login_later(t);
		return;
	}
	room->used = sizeof(room->mem); /* whatever happens, the input is wiped with it */
	if (!imap_login_parse(text, &user, &secret)) {
		dialogue_refuse(t, RE_BAD_ARGUMENT, EV_BAD_ARGUMENT, SPAN("LOGIN"));
		return;
	}
	buf_init(&both, room->mem, sizeof(room->mem));
	imap_word_put(&user, &both);
	user_n = both.len;
	imap_word_put(&secret, &both);
	if (both.full) {
		dialogue_refuse(t, RE_AUTH_TOO_LONG, EV_AUTH_BROKEN, SPAN("LOGIN"));
		return;
	}
	room->used = both.len;
	login_password(t, span_of(room->mem, user_n),
		       span_of(room->mem + user_n, both.len - user_n));
}

/* What leads to no login. */
static bool is_junk(enum imap_verb v)
{
	return v != IMAP_LOGIN && v != IMAP_AUTHENTICATE && v != IMAP_LOGOUT;
}

static void noop(struct step *t, struct span none)
{
	(void)none;
	dialogue_say(t, RE_OK, SPAN_NONE);
}

static void starttls(struct step *t, struct span none)
{
	(void)none;
	dialogue_starttls(t);
}

static void logout(struct step *t, struct span none)
{
	(void)none;
	dialogue_say(t, RE_BYE, SPAN_NONE);
	session_end(t, END_QUIT);
}

/* To all others the engine says no. */
static void verb(struct step *t, const struct imap_event *ev)
{
	static void (*const does[IMAP_VERB_COUNT])(struct step *, struct span) = {
		[IMAP_CAPABILITY] = capability,	  [IMAP_NOOP] = noop,
		[IMAP_LOGOUT] = logout,		  [IMAP_ID] = id,
		[IMAP_STARTTLS] = starttls,	  [IMAP_LOGIN] = login,
		[IMAP_AUTHENTICATE] = login_auth,
	};

	if (ev->verb != IMAP_NOOP)
		dialogue_note_order(t->s, ev->verb,
				    ev->verb == IMAP_LOGIN ||
					    ev->verb == IMAP_AUTHENTICATE);
	if (is_junk(ev->verb) && dialogue_too_much_junk(t))
		return;
	BUG_IF(!does[ev->verb]);
	does[ev->verb](t, ev->text);
}

/* A password that we would not take need not be sent. */
static void literal(struct step *t, const struct imap_event *ev)
{
	if (ev->verb != IMAP_LOGIN || login_may(t))
		dialogue_say(t, RE_LITERAL_GO, SPAN_NONE);
}

/* ---- the loop ---------------------------------------------------------------------- */

static void event(struct step *t, const struct imap_event *ev)
{
	switch (ev->kind) {
	case IMAP_MORE:
		break;
	case IMAP_VERB:
		t->s->commands++;
		verb(t, ev);
		break;
	case IMAP_LITERAL:
		literal(t, ev);
		break;
	case IMAP_ANSWER:
		login_answer(t, ev->odd, ev->text);
		break;
	case IMAP_BAD:
		t->s->commands++;
		dialogue_bad(t, ev->odd, ev->say, ev->text, ev->lost);
		break;
	}
}

static void talk(struct step *t)
{
	struct session *s = t->s;

	while (s->phase == PHASE_TALK && buf_room(t->out->peer) >= REPLY_MAX) {
		struct imap_event ev;

		if (dialogue_stops(t))
			return;
		ev = imap_next(&s->imap, &t->left);
		if (ev.kind == IMAP_MORE) {
			session_await_bytes(t);
			return;
		}
		event(t, &ev);
	}
}

/* ---- for who does not know what IMAP is ---------------------------------------------- */

static void reply(struct session *s, enum reply r, struct span more, struct buf *out)
{
	imap_reply(&s->imap, r, more, out);
}

static void challenge(struct session *s, struct span text, struct buf *out)
{
	imap_reply_challenge(&s->imap, text, out);
}

static void backend(struct step *t, const struct session_backend *b)
{
	if (b->result != BACKEND_READY) {
		dialogue_no_mailbox(t, b->result);
		return;
	}
	imap_reply_logged_in(&t->s->imap, span_head(b->capability, CAPABILITY_MAX),
			     t->out->peer);
	session_relay(t);
}

const struct dialogue imap_dialogue = {
	.start_over = start_over,
	.greet = greet,
	.talk = talk,
	.reply = reply,
	.challenge = challenge,
	.last_word = imap_print_bye,
	.logged_in = session_ask_backend,
	.backend = backend,
};
