/*
 * How a session ends: what becomes of its transaction, our last words, and its end because we
 * stop.
 */
#include "session/session_inner.h"

/* What a last word needs; without that much room there is none. */
#define LAST_WORD_MAX 128

bool session_in_message(const struct session *s)
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

	if (session_in_message(s))
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

/* A login was sent, and whoever sent it does not wait for what is said to it. */
static bool left_login(const struct session *s, enum end why)
{
	return (why == END_HUNG_UP || why == END_RESET) && session_in_exchange(s);
}

static void end_by(struct step *t, enum end why, unsigned order)
{
	if (t->s->phase == PHASE_OVER)
		return;
	if (left_login(t->s, why))
		session_see(t, EV_AUTH_ABORTED);
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

void session_abort(struct step *t, enum end why)
{
	end_by(t, why, DO_ABORT);
}

/*
 * Not while the store has the message, or it would come twice; not in the middle of a
 * handshake, where nobody understands a word; and not before we know who it is.
 */
bool session_may_end(const struct session *s)
{
	switch (s->phase) {
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
		return true;
	case PHASE_OPEN:
	case PHASE_PROXY:
	case PHASE_TLS:
	case PHASE_SUBMIT:
	case PHASE_RELAY:
	case PHASE_OVER:
		break;
	}
	return false;
}

static void last_word(struct step *t, enum reply r, struct span more)
{
	t->out->refused.reply = r;
	if (buf_room(t->out->peer) >= LAST_WORD_MAX + more.n && !session_in_answer(t->s))
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

void session_await_bytes(struct step *t)
{
	if (t->s->marks & MARK_EOF)
		session_end(t, END_HUNG_UP);
}

/* ---- we stop ----------------------------------------------------------------------- */

/*
 * A session that does nothing ends at once; a transaction may be finished. Who was let in
 * and made to wait may say what it came for: it does not know that we change places.
 */
void session_stop(struct step *t)
{
	struct session *s = t->s;

	s->marks |= MARK_STOP;
	if (s->phase == PHASE_PROXY || s->phase == PHASE_WAIT)
		s->marks |= MARK_UNHEARD;
	else if (s->phase == PHASE_TLS)
		session_abort(t, END_SHUTDOWN);
}

void session_bye(struct step *t)
{
	if (session_may_end(t->s))
		session_end_with(t, RE_STOPPING, END_SHUTDOWN);
}
