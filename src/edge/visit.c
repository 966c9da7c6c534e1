/*
 * One client's stay, as the guard sees it: its seat, its deeds, and what its session must
 * know before each step.
 */
#include "base/list.h"
#include "edge/inside.h"
#include "spec/replies.h"

#define DOUBLINGS    3		      /* of guard.delay */
#define LEAST_TIME   (10 * MS_SECOND) /* time-outs when there is no room left */
#define LEAST_ERRORS 3
#define LEAST_JUNK   10

/* ---- the seat --------------------------------------------------------------------------- */

static enum seat_state talk_state(const struct session *s)
{
	if (!session_has_letter(s))
		return SEAT_TALKS;
	return session_in_text(s) ? SEAT_BODY : SEAT_MAIL;
}

static enum seat_state state_of(const struct conn *c)
{
	if (c->state == CONN_HANDSHAKE)
		return SEAT_TLS;
	if (c->state == CONN_RELAYS)
		return SEAT_READS;
	if (c->state != CONN_TALKS)
		return SEAT_LEAVES;
	switch (c->session.phase) {
	case PHASE_OPEN:
	case PHASE_PROXY:
		return SEAT_OPENED;
	case PHASE_WAIT:
		return SEAT_WAITS;
	case PHASE_TLS:
		return SEAT_TLS;
	case PHASE_VERIFY:
	case PHASE_ROOM:
	case PHASE_SUBMIT:
	case PHASE_FACTS:
	case PHASE_AUTH:
	case PHASE_SENDER:
	case PHASE_BACKEND:
	case PHASE_BOX:
		return SEAT_ASKS;
	case PHASE_DELAY:
		return SEAT_DELAYED;
	case PHASE_TALK:
		return talk_state(&c->session);
	case PHASE_RELAY:
	case PHASE_OVER:
		break;
	}
	return SEAT_LEAVES;
}

/* Who reads or sends mail here is known by the login, anybody else by what they say. */
static void name_seat(struct conn *c, struct seat *out)
{
	const struct session *s = &c->session;
	struct span login = session_login(s);
	struct span name = login.n ? login : span_of(s->helo, s->helo_n);

	if (login.n == 0)
		c->user = 0;
	else if (c->user == 0)
		c->user = memory_hash(&c->edge->guard.memory, login);
	out->user = c->user;
	out->name_n = (uint8_t)(name.n < SEAT_NAME ? name.n : SEAT_NAME);
	if (name.n)
		memcpy(out->name, name.p, out->name_n);
}

static void fill_seat(struct conn *c, struct seat *out)
{
	const struct session *s = &c->session;

	*out = (struct seat){
		.session = c->number,
		.peer = c->visit.addr,
		.via = s->via.addr,
		.opened = s->opened_at,
		.moved = c->moved,
		.bytes = s->bytes_in,
		.busy_us = c->busy_us < UINT32_MAX ? (uint32_t)c->busy_us : UINT32_MAX,
		.commands = s->commands,
		.messages = s->messages,
		.points = c->points,
		.listener = rules_listener(c),
		.state = (uint8_t)state_of(c),
		.tls = s->in_tls,
		/* nobody who reads mail has to leave for a stranger */
		.known_good = c->visit.known_good || c->auth_login,
		.apart = c->visit.counted == 0,
	};
	name_seat(c, out);
}

/* Who is still gets ahead no more: bytes of a body or of who reads mail, else commands. */
static bool got_ahead(const struct seat *was, const struct seat *is)
{
	return was->state != is->state || was->commands != is->commands ||
	       ((is->state == SEAT_BODY || is->state == SEAT_READS) &&
		was->bytes != is->bytes);
}

static void set_held_back(struct conn *c, bool held)
{
	if (held == c->held_back)
		return;
	c->held_back = held;
	(void)memory_delayed(&c->edge->guard.memory, held ? 1 : -1);
}

void visit_show(struct conn *c)
{
	const struct memory *m = &c->edge->guard.memory;
	struct seat is;

	set_held_back(c, c->session.phase == PHASE_DELAY);
	if (c->seat == SEAT_NONE)
		return;
	fill_seat(c, &is);
	if (got_ahead(seat_own(m, c->seat), &is))
		is.moved = c->moved = loop_now(c->edge->loop);
	seat_write(m, c->seat, &is);
}

static void leave_seat(struct conn *c)
{
	struct edge *e = c->edge;

	if (c->seat == SEAT_NONE)
		return;
	seat_leave(&e->guard.memory, c->seat);
	e->seated[c->seat] = NULL;
	c->seat = SEAT_NONE;
}

/* ---- deeds --------------------------------------------------------------------------------- */

/* What it says goes for this session from now on. */
static void take_mood(struct conn *c, const struct guard_mood *m)
{
	c->delays = m->delays;
	if (m->observed) {
		if (m->rule != RULE_NONE)
			report_would(c, m->rule);
		return;
	}
	c->late = m->step >= STEP_LATE ? m->rule : RULE_NONE;
	if (m->step >= STEP_REFUSE && !c->over)
		c->over = c->again = true;
}

static void hear(struct conn *c, const struct guard_deeds *d)
{
	struct edge *e = c->edge;
	struct guard_mood m = guard_saw(&e->guard, &c->visit, d, loop_now(e->loop),
					loop_wall(e->loop));

	take_mood(c, &m);
}

/* The sender of the transaction under way. */
static uint64_t hash_of_sender(const struct conn *c)
{
	struct span list = buf_span(&c->letter.envelope), sender;

	if (!session_has_letter(&c->session) || !list_next(&list, &sender))
		return 0;
	return memory_hash(&c->edge->guard.memory, session_item_address(sender));
}

static uint64_t hash_of(const struct conn *c, struct span what)
{
	return what.n ? memory_hash(&c->edge->guard.memory, what) : 0;
}

/* With an offence comes what it was about: the same again weighs nothing. */
static void add_names(const struct conn *c, const struct session_out *out,
		      struct guard_deeds *d)
{
	const struct session *s = &c->session;
	enum reply r = out->refused.reply;

	if (r == RE_UNKNOWN_USER || r == RE_RELAY_DENIED)
		d->recipient = hash_of(c, out->refused.text);
	if (!d->sender)
		d->sender = hash_of_sender(c);
	d->name = hash_of(c, span_of(s->helo, s->helo_n));
}

static void add_facts(const struct conn *c, struct guard_deeds *d)
{
	const struct facts *f = &c->edge->standing.facts;

	d->no_ptr = d->seen[EV_NO_PTR] > 0;
	if (!d->seen[EV_DNSBL])
		return;
	d->listed = true;
	d->more_points = f->weight;
}

void visit_saw(struct conn *c, const struct session_out *out, unsigned seen)
{
	struct guard_deeds d = { .passed = out->passed && !c->passed };

	c->passed |= out->passed;
	if (out->seen[EV_AUTH_OK])
		c->visit.known_good =
			true; /* at once, whatever else is known of its address */
	if (!c->judged || c->dismissed != RULE_NONE || !(seen & SEEN_ANY || d.passed))
		return;
	memcpy(d.seen, out->seen, sizeof(d.seen));
	add_facts(c, &d);
	/* so many users at one address are several people */
	if (out->seen[EV_AUTH_OK])
		d.sender = hash_of(c, session_login(&c->session));
	if (seen & SEEN_OFFENCE) {
		add_names(c, out, &d);
		if (c->delays && c->delayed < DOUBLINGS)
			c->delayed++;
	}
	hear(c, &d);
}

/* ---- beginning and end -------------------------------------------------------------------- */

static void meet(struct conn *c, const struct guard_verdict *v)
{
	static const struct guard_deeds none;

	c->judged = true;
	c->passed = v->passed || v->known_good || v->allowed;
	code_make(&c->edge->guard.memory, RULE_NONE, &c->visit.addr, c->code);
	hear(c, &none); /* what it brings along may be enough for the ladder */
	/* our users are at home, where every list of dial-up networks lists them */
	if (!v->known_good && !v->allowed && c->session.listener->service == SERVICE_SMTP)
		facts_begin(c);
}

void visit_begin(struct conn *c, const struct arrival *a)
{
	struct edge *e = c->edge;
	struct seat seat;

	c->visit = a->visit;
	c->visit.addr = a->peer.addr;
	c->moved = loop_now(e->loop);
	fill_seat(c, &seat);
	c->seat = seat_take(&e->guard.memory, &seat);
	if (c->seat != SEAT_NONE)
		e->seated[c->seat] = c;
	if (a->judged)
		meet(c, &a->verdict);
}

void visit_end(struct conn *c)
{
	struct edge *e = c->edge;

	visit_idle(c);
	set_held_back(c, false);
	leave_seat(c);
	if (c->judged)
		guard_left(&e->guard, &c->visit, c->session.bytes_in, c->busy_us);
}

bool visit_told(struct conn *c)
{
	struct edge *e = c->edge;
	struct guard_verdict v;
	struct guard_visit told = { 0 };

	v = guard_came(&e->guard, &told, &c->session.peer.addr, true, loop_now(e->loop),
		       loop_wall(e->loop));
	if (c->judged)
		guard_left(&e->guard, &c->visit, 0, 0);
	facts_forget(c);
	c->visit = told;
	c->late = RULE_NONE;
	c->over = c->delays = false;
	if (v.step >= STEP_REFUSE || v.observed) {
		struct arrival a = { .peer = c->session.peer,
				     .listener = rules_listener(c),
				     .judged = true,
				     .verdict = v };

		report_refused(e, &a);
	}
	c->judged = true;
	if (v.step >= STEP_REFUSE) {
		c->dismissed = v.rule;
		return false;
	}
	meet(c, &v);
	visit_show(c);
	return true;
}

/* ---- before a step -------------------------------------------------------------------------- */

/* Reckoned once for each tick: how full it is, is written in many places. */
static const struct shrunk *shrunk(struct edge *e, struct rules *r)
{
	const struct settings *s = &r->conf->set;
	const struct guard *g = &e->guard;

	if (r->shrunk.tick == e->ticks)
		return &r->shrunk;
	r->shrunk = (struct shrunk){ .tick = e->ticks };
	if (!e->tight)
		return &r->shrunk;
	r->shrunk.command = guard_shrunk(g, s->command_timeout, LEAST_TIME, false);
	r->shrunk.data = guard_shrunk(g, s->data_timeout, LEAST_TIME, false);
	r->shrunk.tls = guard_shrunk(g, s->tls_timeout, LEAST_TIME, false);
	r->shrunk.errors = guard_shrunk(g, s->errors, LEAST_ERRORS, false);
	r->shrunk.junk = guard_shrunk(g, s->junk, LEAST_JUNK, false);
	return &r->shrunk;
}

static bool says(struct span in, struct span word)
{
	for (size_t i = 0; i + word.n <= in.n; i++)
		if ((in.p[i] & 0xdf) == 'S' && span_starts_nocase(span_skip(in, i), word))
			return true;
	return false;
}

/* May a handshake begin in this step? */
static bool wants_handshake(const struct conn *c, struct span in)
{
	const struct session *s = &c->session;

	if (s->in_tls || !c->edge->tls)
		return false;
	if (s->listener->tls == TLS_IMPLICIT)
		return s->phase <= PHASE_PROXY;
	return s->listener->tls == TLS_START && s->phase == PHASE_TALK &&
	       !session_in_text(s) &&
	       says(in, s->listener->service == SERVICE_POP3 ? SPAN("STLS")
							     : SPAN("STARTTLS"));
}

/* Of strangers, so many in a second. */
static bool handshake_over(struct conn *c, struct span in)
{
	struct edge *e = c->edge;
	int64_t most = c->rules->conf->set.handshakes;

	if (most == 0 || c->visit.known_good || c->visit.allowed || c->has_handshake ||
	    !wants_handshake(c, in))
		return false;
	c->has_handshake = memory_handshake(&e->guard.memory, most, loop_now(e->loop));
	return !c->has_handshake;
}

static ms_t delay_of(const struct conn *c)
{
	const struct settings *s = &c->rules->conf->set;
	unsigned doubled = c->delayed < DOUBLINGS ? c->delayed : DOUBLINGS;

	if (!c->delays || s->delay == 0 ||
	    memory_delayed(&c->edge->guard.memory, 0) >= s->tarpit_max)
		return 0;
	return s->delay << doubled;
}

void visit_prepare(struct conn *c, const struct session_in *in)
{
	struct edge *e = c->edge;
	struct standing *st = &e->standing;
	const struct shrunk *now = shrunk(e, c->rules);
	bool stranger = !c->visit.known_good && !c->visit.allowed;

	st->known_good = c->visit.known_good;
	st->allowed = c->visit.allowed;
	st->passed = c->passed;
	st->late = c->late;
	st->over = c->over;
	memcpy(st->id, c->code, sizeof(st->id));
	st->delay = delay_of(c);
	st->command_timeout = stranger ? now->command : 0;
	st->data_timeout = stranger ? now->data : 0;
	st->tls_timeout = stranger ? now->tls : 0;
	st->errors = stranger ? now->errors : 0;
	st->junk = stranger ? now->junk : 0;
	st->handshake_over = handshake_over(c, in->bytes);
	facts_fill(c, &st->facts);
}

/* ---- time spent ------------------------------------------------------------------------------- */

void visit_busy(struct conn *c)
{
	if (c->edge->running == c)
		return;
	c->edge->running = c;
	c->edge->running_since = loop_clock_us();
}

void visit_idle(struct conn *c)
{
	struct edge *e = c->edge;

	if (e->running != c)
		return;
	c->busy_us += loop_clock_us() - e->running_since;
	e->running = NULL;
}
