/*
 * When a session runs out of time, and what happens then.
 */
#include "session/session_inner.h"

/* When the message under way will have been too slow, if nothing more comes. */
static ms_t slow_at(const struct session *s)
{
	int64_t rate = s->conf->set.data_rate;
	ms_t earned;

	if (s->phase != PHASE_TALK || rate == 0 || !session_in_message(s))
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

ms_t session_wake_at(const struct session *s)
{
	if (s->phase == PHASE_OVER || s->phase == PHASE_RELAY)
		return MS_NEVER;
	return earlier(s->deadline, earlier(slow_at(s), session_over_at(s)));
}

static void timed_out(struct step *t)
{
	if (t->s->phase == PHASE_TLS) {
		session_tls_failed(t);
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
		session_end_wait(t);
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
		session_room(t, false);
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

void session_time_came(struct step *t)
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
