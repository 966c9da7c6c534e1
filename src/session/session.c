/*
 * One step of a session, what the session is asked, and what it waits for. How it begins, ends
 * and runs out of time is in session_open.c, session_end.c and session_time.c.
 */
#include "session/session.h"

#include "base/bug.h"
#include "session/session_inner.h"

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

/* ---- what it is asked -------------------------------------------------------------- */

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

bool session_in_answer(const struct session *s)
{
	return s->listener->service == SERVICE_POP3 &&
	       s->maildrop.says != MAILDROP_NOTHING && s->maildrop.says != MAILDROP_OPENS;
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

/* ---- what happens ------------------------------------------------------------------ */

/* The time that we took is not the peer's slowness. */
void session_room(struct step *t, bool got)
{
	struct session *s = t->s;
	bool in_text = smtp_in_text(&s->smtp);

	s->text_since += t->now - s->asked_at;
	session_wait(t, PHASE_TALK,
		     t->now + (in_text ? triage_data_time(t) : triage_command_time(t)));
	if (in_text && (!got || mail_wants_room(t)))
		mail_fault(t, RE_NO_ROOM, EV_NONE);
	if (!in_text && (!got || !mail_has_envelope_room(t)))
		s->marks |= MARK_NO_ROOM;
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

static void ended(struct step *t)
{
	t->s->marks |= MARK_EOF;
	if (has_left(t))
		session_end(t, END_HUNG_UP);
}

static void broke(struct step *t)
{
	session_abort(t, END_RESET);
}

static void verdict_came(struct step *t)
{
	if (t->s->phase == PHASE_VERIFY)
		transaction_verdict(t, t->in->verdict);
	else
		submission_verdict(t, t->in->verdict);
}

static void room_came(struct step *t)
{
	session_room(t, t->in->kind == IN_ROOM);
}

static void submitted_came(struct step *t)
{
	mail_submitted(t, t->in->submitted);
}

static void facts_came(struct step *t)
{
	triage_waited(t, false);
}

static void backend_came(struct step *t)
{
	t->how->backend(t, t->in->backend);
}

#define IN_PHASE(p) (1u << (p))
#define IN_ANY	    (~0u)

/* What may happen, and in which phases. An answer that comes in no such phase came too late. */
static const struct happening {
	unsigned phases;
	void (*take)(struct step *t);
} happenings[IN_KINDS] = {
	/* clang-format off */
	[IN_OPENED]	= { IN_PHASE(PHASE_OPEN),	session_opened },
	[IN_BYTES]	= { 0,				NULL }, /* read_on() has them */
	[IN_EOF]	= { IN_ANY,			ended },
	[IN_BROKEN]	= { IN_ANY,			broke },
	[IN_TIME]	= { IN_ANY,			session_time_came },
	[IN_STOP]	= { IN_ANY,			session_stop },
	[IN_BYE]	= { IN_ANY,			session_bye },
	[IN_TLS]	= { IN_PHASE(PHASE_TLS),	session_in_tls_now },
	[IN_TLS_FAILED]	= { IN_PHASE(PHASE_TLS),	session_tls_failed },
	[IN_VERDICT]	= { IN_PHASE(PHASE_VERIFY) | IN_PHASE(PHASE_SENDER), verdict_came },
	[IN_ROOM]	= { IN_PHASE(PHASE_ROOM),	room_came },
	[IN_NO_ROOM]	= { IN_PHASE(PHASE_ROOM),	room_came },
	[IN_SUBMITTED]	= { IN_PHASE(PHASE_SUBMIT),	submitted_came },
	[IN_FACTS]	= { IN_PHASE(PHASE_FACTS),	facts_came },
	[IN_CHALLENGE]	= { IN_PHASE(PHASE_AUTH),	login_challenge },
	[IN_AUTHED]	= { IN_PHASE(PHASE_AUTH),	login_authed },
	[IN_BACKEND]	= { IN_PHASE(PHASE_BACKEND),	backend_came },
	[IN_TEXT]	= { IN_PHASE(PHASE_BOX),	maildrop_text },
	[IN_REMOVED]	= { IN_PHASE(PHASE_BOX),	maildrop_removed },
	/* clang-format on */
};

static void happened(struct step *t)
{
	const struct happening *h = &happenings[t->in->kind];

	if (h->phases & IN_PHASE(t->s->phase))
		h->take(t);
}

/* ---- a step ------------------------------------------------------------------------ */

/* Whatever happened, go on with what there is to read. */
static void read_on(struct step *t)
{
	if (t->s->phase == PHASE_PROXY)
		session_read_proxy(t);
	if (t->s->phase == PHASE_WAIT)
		session_read_early(t);
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
	out->wake = session_wake_at(s);
	s->bytes_in += out->used;
	BUG_IF(out->peer->full);
}
