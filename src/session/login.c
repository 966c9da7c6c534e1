/*
 * Logging in: AUTH and what follows it (RFC 4954), in SMTP, IMAP and POP3.
 *
 * wire/sasl reads, auth decides, and this brings the two together. Refusals of auth wait as
 * long as it says, and always read the same; nothing else here waits. Secrets are never
 * kept: they are in the room and in the input, for one step.
 */
#include "session/inside.h"

#include "base/bug.h"

/* Mechanisms that tell us the password. */
#define PASSWORDS (1u << SASL_PLAIN | 1u << SASL_LOGIN)

/* ---- what is offered --------------------------------------------------------------- */

/* Would anybody else hear the password? */
static bool is_safe(const struct session *s)
{
	return s->in_tls || s->conf->set.auth_clear ||
	       (addr_is_loopback(&s->peer.addr) && addr_is_loopback(&s->via.addr));
}

/*
 * SCRAM-PLUS binds itself to the TLS connection. EXTERNAL is for who is known already, by a
 * certificate; over a socket of this machine nobody needs it, because the kernel said so.
 */
static unsigned possible(const struct session *s)
{
	unsigned without = 0;

	if (!s->in_tls || !s->tls.certified)
		without |= 1u << SASL_EXTERNAL;
	if (!s->in_tls)
		without |= 1u << SASL_SCRAM_SHA_256_PLUS;
	return (session_reads_mail(s) ? s->conf->mailbox_mechanisms : s->conf->mechanisms) &
	       ~without;
}

unsigned login_mechanisms(const struct session *s)
{
	if (!s->listener->auth || s->marks & MARK_LOGGED_IN || !is_safe(s))
		return 0;
	return possible(s);
}

struct span login_print_mechanisms(const struct session *s, void *mem)
{
	struct buf out;

	buf_init(&out, mem, MECHANISMS_MAX);
	sasl_print(login_mechanisms(s), &out);
	return buf_span(&out);
}

bool login_takes_passwords(const struct session *s)
{
	return login_mechanisms(s) & PASSWORDS;
}

/* The exchange is over, and came to nothing. */
static void forget(struct session *s)
{
	s->marks &= ~(MARK_LOGGED_IN | MARK_WELCOME);
	sasl_end(&s->sasl);
}

void login_forget(struct session *s)
{
	if (!(s->marks & MARK_LOCAL))
		forget(s);
}

/* ---- how it ends ------------------------------------------------------------------- */

static void refuse(struct step *t, enum reply r, enum event e)
{
	forget(t->s);
	dialogue_refuse(t, r, e, SPAN("AUTH"));
}

static void put_off(struct step *t, ms_t delay)
{
	forget(t->s);
	dialogue_hold(t, RE_AUTH_LATER, delay);
	if (delay <= 0)
		dialogue_say_held(t);
}

void login_later(struct step *t)
{
	session_see(t, EV_AUTH_LATER);
	put_off(t, 0);
}

static void succeeded(struct step *t)
{
	struct session *s = t->s;

	s->marks &= ~MARK_WELCOME;
	s->marks |= MARK_LOGGED_IN;
	s->sasl.at = SASL_IDLE;
	t->how->logged_in(t);
}

static void refuse_after(struct step *t, enum reply r, enum rule by, ms_t delay)
{
	bool enough = dialogue_count_error(t);

	forget(t->s);
	if (delay < t->standing->delay)
		delay = t->standing->delay;
	dialogue_hold(t, enough ? RE_TOO_MANY_ERRORS : r, delay);
	t->s->held_by = by;
	if (delay <= 0)
		dialogue_say_held(t);
}

/* auth has told the log why; the client hears the same, whatever it was. */
static void failed(struct step *t, ms_t delay)
{
	refuse_after(t, RE_AUTH_FAILED, RULE_NONE, delay);
}

/* The password may well be right: it hears what is wrong, and how to have it explained. */
static void over(struct step *t, ms_t delay)
{
	t->out->refused_by = RULE_ACCOUNT;
	refuse_after(t, RE_LOGIN_OVER, RULE_ACCOUNT, delay);
}

/* The client has heard our last words, and had to answer them (RFC 4954, 4). */
static void done(struct step *t)
{
	if (t->s->marks & MARK_WELCOME)
		succeeded(t);
	else
		failed(t, t->s->auth_delay);
}

static void bad(struct step *t, enum sasl_fault fault)
{
	switch (fault) {
	case SASL_FAULT_MECHANISM:
		refuse(t, RE_AUTH_MECHANISM, EV_BAD_ARGUMENT);
		break;
	case SASL_FAULT_BASE64:
		refuse(t, RE_AUTH_BAD_BASE64, EV_AUTH_BROKEN);
		break;
	case SASL_FAULT_LONG:
		refuse(t, RE_AUTH_TOO_LONG, EV_AUTH_BROKEN);
		break;
	case SASL_FAULT_BROKEN:
		refuse(t, RE_AUTH_BROKEN, EV_AUTH_BROKEN);
		break;
	}
}

/* ---- the exchange ------------------------------------------------------------------ */

static void challenge(struct step *t, struct span text)
{
	t->how->challenge(t->s, text, t->out->peer);
	dialogue_listen(t);
}

static void ask(struct step *t, unsigned order)
{
	t->out->orders |= order;
	session_wait(t, PHASE_AUTH, t->now + ROLE_WAIT);
}

static void go_on(struct step *t, const struct sasl_event *ev)
{
	switch (ev->kind) {
	case SASL_WANTS:
		challenge(t, ev->text);
		break;
	case SASL_READY:
		t->out->credentials = (struct session_credentials){
			.mechanism = t->s->sasl.mechanism,
			.authzid = ev->authzid,
			.user = ev->user,
			.secret = ev->secret,
		};
		ask(t, DO_AUTH);
		break;
	case SASL_FORWARD:
		t->out->more = ev->text;
		ask(t, DO_AUTH_MORE);
		break;
	case SASL_BAD:
		bad(t, ev->fault);
		break;
	case SASL_CANCELLED:
		refuse(t, RE_AUTH_CANCELLED, EV_NONE);
		break;
	case SASL_DONE:
		done(t);
		break;
	}
}

static void begin(struct step *t, struct span argument)
{
	struct session *s = t->s;
	unsigned offered = login_mechanisms(s);
	struct sasl_event ev;

	if (!t->out->room) {
		login_later(t);
		return;
	}
	ev = sasl_begin(&s->sasl, offered, argument, t->out->room);
	go_on(t, &ev);
}

bool login_may(struct step *t)
{
	const struct session *s = t->s;

	if (s->marks & MARK_LOGGED_IN)
		dialogue_refuse(t, RE_AUTH_DONE, EV_BAD_SEQUENCE, SPAN("AUTH"));
	else if (!s->listener->auth || !s->conf->mechanisms)
		dialogue_refuse(t, RE_NOT_HERE, EV_AUTH_NOT_OFFERED, SPAN("AUTH"));
	else if (!is_safe(s))
		dialogue_refuse(t, RE_AUTH_TLS, EV_AUTH_CLEAR, SPAN("AUTH"));
	else if (!session_reads_mail(s) && !(s->marks & MARK_ESMTP))
		dialogue_refuse(t, RE_BAD_SEQUENCE, EV_BAD_SEQUENCE, SPAN("AUTH"));
	else
		return true;
	return false;
}

void login_auth(struct step *t, struct span argument)
{
	if (login_may(t))
		begin(t, argument);
}

void login_password(struct step *t, struct span user, struct span secret)
{
	struct sasl_event ev;

	if (!login_may(t))
		return;
	if (!login_takes_passwords(t->s)) {
		refuse(t, RE_AUTH_MECHANISM, EV_BAD_ARGUMENT);
		return;
	}
	ev = sasl_password(&t->s->sasl, user, secret);
	go_on(t, &ev);
}

void login_answer(struct step *t, enum event odd, struct span text)
{
	struct sasl_event ev;

	if (odd == EV_LONG_LINE) {
		refuse(t, RE_AUTH_TOO_LONG, EV_AUTH_BROKEN);
	} else if (odd != EV_NONE) {
		session_see(t, odd);
		refuse(t, RE_AUTH_BAD_BASE64, EV_AUTH_BROKEN);
	} else if (!t->out->room) {
		login_later(t);
	} else {
		ev = sasl_line(&t->s->sasl, text, t->out->room);
		go_on(t, &ev);
	}
}

/* ---- what auth says ---------------------------------------------------------------- */

void login_challenge(struct step *t)
{
	if (t->in->text.n > SMTP_CHALLENGE_MAX) {
		login_later(t);
		return;
	}
	sasl_say(&t->s->sasl);
	challenge(t, t->in->text);
}

static bool keep_login(struct session *s, struct span login)
{
	if (login.n == 0 || login.n > sizeof(s->sasl.user))
		return false;
	memcpy(s->sasl.user, login.p, login.n);
	s->sasl.user_n = (uint8_t)login.n;
	return true;
}

static void last_words(struct step *t, const struct session_authed *a)
{
	t->s->auth_delay = a->delay > 0 ? (uint32_t)a->delay : 0;
	sasl_say_last(&t->s->sasl);
	challenge(t, a->text);
}

void login_authed(struct step *t)
{
	const struct session_authed *a = t->in->authed;
	struct session *s = t->s;
	bool yes = a->result == AUTHED_YES, words = a->text.n != 0;

	session_see(t, a->event);
	if (yes && a->event == EV_LOGIN_OVER) {
		session_see(t, EV_AUTH_OK);
		(void)triage_observes(t, RULE_ACCOUNT);
	}
	if (a->result == AUTHED_LATER || a->result == AUTHED_ASK ||
	    a->text.n > SMTP_CHALLENGE_MAX || (yes && !keep_login(s, a->login))) {
		put_off(t, a->delay);
		return;
	}
	if (yes)
		s->marks |= MARK_WELCOME;
	if (a->result == AUTHED_OVER)
		over(t, a->delay);
	else if (words)
		last_words(t, a);
	else if (yes)
		succeeded(t);
	else
		failed(t, a->delay);
}
