#include "session/dialogue.h"

#include "session/inside.h"

#define ORDER_BITS   6 /* of a verb, */
#define ORDER_MASK   63
#define ORDER_MOST   5 /* and so many of them */
#define ORDER_CLOSED (UINT32_C(1) << 31)

const struct dialogue *dialogue_of(enum service service)
{
	static const struct dialogue *const dialogues[SERVICE_COUNT] = {
		[SERVICE_SMTP] = &mx_dialogue,
		[SERVICE_SUBMISSION] = &mx_dialogue,
		[SERVICE_IMAP] = &imap_dialogue,
		[SERVICE_POP3] = &pop3_dialogue,
	};

	return dialogues[service];
}

/* ---- limits ------------------------------------------------------------------------ */

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

bool dialogue_count_error(struct step *t)
{
	return ++t->s->errors > most_errors(t, t->s->conf->set.errors);
}

bool dialogue_too_much_junk(struct step *t)
{
	int64_t now = t->standing->junk;

	return too_many(t, &t->s->junk, now > 0 ? now : t->s->conf->set.junk,
			RE_TOO_MANY_JUNK, EV_TOO_MANY_JUNK, END_JUNK);
}

/* Each once, six bits each: to ask for the same again makes no other program. */
void dialogue_note_order(struct session *s, unsigned verb, bool last)
{
	_Static_assert((int)IMAP_VERB_COUNT <= ORDER_MASK, "an IMAP verb fits");
	_Static_assert((int)POP3_VERB_COUNT <= ORDER_MASK, "a POP3 verb fits");
	for (unsigned i = 0; i < ORDER_MOST && !(s->order & ORDER_CLOSED); i++) {
		uint32_t had = s->order >> i * ORDER_BITS & ORDER_MASK;

		if (had == 0)
			s->order |= (verb + 1) << i * ORDER_BITS;
		if (had == 0 || had == verb + 1)
			break;
	}
	if (last)
		s->order |= ORDER_CLOSED;
}

bool session_is_terse(const struct session *s)
{
	unsigned login = s->listener->service == SERVICE_POP3 ? 2 : 1; /* USER and PASS */

	return (s->order & ~ORDER_CLOSED) >> login * ORDER_BITS == 0;
}

/* ---- beginnings -------------------------------------------------------------------- */

void dialogue_listen(struct step *t)
{
	session_wait(t, PHASE_TALK, t->now + triage_command_time(t));
}

void dialogue_start_over(struct step *t)
{
	login_forget(t->s);
	t->how->start_over(t->s);
	t->s->helo_n = 0;
	dialogue_listen(t);
}

void dialogue_greet(struct step *t)
{
	dialogue_start_over(t);
	t->s->marks |= MARK_GREETED;
	t->how->greet(t);
}

/* ---- answers ----------------------------------------------------------------------- */

void dialogue_say(struct step *t, enum reply r, struct span more)
{
	t->how->reply(t->s, r, more, t->out->peer);
	dialogue_listen(t);
}

static void say_by(struct step *t, enum reply r, enum rule by)
{
	uint8_t mem[RULE_TEXT_MAX];

	dialogue_say(t, r, by == RULE_NONE ? SPAN_NONE : triage_rule_text(t, by, mem));
}

/* Who offends waits for the answer, if its standing says so. */
static void say_in_time(struct step *t, enum reply r, enum rule by)
{
	if (t->standing->delay <= 0 || reply_table[r].code < 400) {
		say_by(t, r, by);
		return;
	}
	dialogue_hold(t, r, t->standing->delay);
	t->s->held_by = by;
}

void dialogue_hold(struct step *t, enum reply r, ms_t how_long)
{
	t->s->held = r;
	t->s->held_by = RULE_NONE;
	session_wait(t, PHASE_DELAY, t->now + how_long);
}

void dialogue_say_held(struct step *t)
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

void dialogue_answer(struct step *t, enum reply r, struct span what)
{
	answer(t, r, RULE_NONE, what);
}

void dialogue_answer_by(struct step *t, enum rule r, struct span what)
{
	t->out->refused_by = r;
	answer(t, rule_table[r].reply, r, what);
}

void dialogue_refuse(struct step *t, enum reply r, enum event e, struct span what)
{
	session_see(t, e);
	dialogue_answer(t, r, what);
}

void dialogue_bad(struct step *t, enum event odd, enum reply say, struct span text,
		  bool lost)
{
	struct session *s = t->s;

	session_see(t, odd);
	if (odd == EV_NOT_SMTP) {
		note_refusal(t, RE_GO_AWAY, text);
		session_end_with(t, RE_GO_AWAY, END_ABUSE);
	} else if (odd == EV_UNKNOWN_VERB &&
		   too_many_errors(t, &s->unknown, s->conf->set.unknown_verbs)) {
		return;
	} else if (odd == EV_NONE) { /* a consequence of what we refused */
		note_refusal(t, say, text);
		dialogue_say(t, say, SPAN_NONE);
	} else {
		dialogue_answer(t, say, text);
		if (lost && s->phase == PHASE_DELAY)
			dialogue_say_held(t); /* it ends here: nobody would hear it later */
		if (lost && s->phase != PHASE_OVER)
			session_end(t, END_ABUSE);
	}
}

void dialogue_no_mailbox(struct step *t, enum session_backend_result why)
{
	static const enum reply replies[BACKEND_RESULTS] = {
		[BACKEND_DENIES] = RE_MAILBOX_DENIED,
		[BACKEND_LIMITS] = RE_MAILBOX_LIMIT,
	};
	enum reply r = why < BACKEND_RESULTS ? replies[why] : RE_NONE;

	login_forget(t->s);
	dialogue_answer(t, r == RE_NONE ? RE_MAILBOX_DOWN : r, SPAN_NONE);
}

/* ---- what all protocols have --------------------------------------------------------- */

bool dialogue_offers_tls(const struct session *s)
{
	return s->listener->tls == TLS_START && (s->marks & MARK_TLS_READY) && !s->in_tls;
}

/*
 * What came in the clear behind STARTTLS was never meant for us (RFC 3207, 6; RFC 2595, 3;
 * RFC 9051, 6.2.1).
 */
void dialogue_starttls(struct step *t)
{
	struct session *s = t->s;

	if (s->in_tls) {
		dialogue_refuse(t, RE_BAD_SEQUENCE, EV_BAD_SEQUENCE, SPAN("STARTTLS"));
	} else if (s->listener->tls != TLS_START) {
		dialogue_refuse(t, RE_NOT_HERE, EV_BAD_SEQUENCE, SPAN("STARTTLS"));
	} else if (!dialogue_offers_tls(s)) {
		dialogue_answer(t, RE_TLS_UNAVAILABLE, SPAN_NONE);
	} else if (t->standing->handshake_over) {
		dialogue_refuse(t, RE_TLS_UNAVAILABLE, EV_HANDSHAKE_OVER,
				SPAN("STARTTLS"));
	} else if (t->left.n) {
		session_see(t, EV_TLS_PIPELINED);
		session_end_with(t, RE_GO_AWAY, END_ABUSE);
	} else {
		dialogue_say(t, RE_TLS_GO, SPAN_NONE);
		t->out->orders |= DO_TLS;
		session_wait(t, PHASE_TLS, t->now + triage_tls_time(t));
	}
}

bool dialogue_stops(struct step *t)
{
	const struct session *s = t->s;
	bool unheard = (s->marks & MARK_UNHEARD) && s->messages == 0;

	if (!(s->marks & MARK_STOP) || s->marks & MARK_MAIL || unheard)
		return false;
	session_end_with(t, RE_STOPPING, END_SHUTDOWN);
	return true;
}
