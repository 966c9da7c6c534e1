#include "auth/attempt.h"

#include "auth/names.h"
#include "base/bug.h"

#define ANSWER_WITHIN (10 * MS_MINUTE) /* a client, after our challenge */
#define JUDGED_WITHIN (2 * MS_MINUTE)  /* a mailbox server, by way of the edge */

/* ---- sessions that it opens ---------------------------------------- */

/* Without its own; an edge may have said of that one, too, that it has ended. */
static uint32_t others(const struct attempt *t, uint64_t key)
{
	uint32_t n = logins_count(t->auth->logins, key);

	return n - (t->placed && n > 0);
}

static void count_open(struct attempt *t)
{

	if (!t->try.reads)
		return;
	t->try.open_user = others(t, attempt_key_of_user(t));
	t->try.open_network = others(t, attempt_key_of_pair(t));
}

static struct login_id login_of(const struct attempt *t)
{
	return (struct login_id){ t->edge, t->generation, t->ask };
}

static bool take_place(struct attempt *t)
{
	struct login_id id = login_of(t);

	return logins_take(t->auth->logins, &id, attempt_key_of_user(t),
			   attempt_key_of_pair(t));
}

static void give_place(struct attempt *t)
{
	struct login_id id = login_of(t);

	if (t->placed)
		logins_give(t->auth->logins, &id);
	t->placed = false;
}

/*
 * A device that is known waits for nothing but its password, and with a place that is kept
 * it is not over the limit either: then the mailbox server has the last word, and nobody
 * waits for ours.
 */
void attempt_place(struct attempt *t)
{
	if (!t->try.reads || t->account.disabled || !t->done.verdict.known_device)
		return;
	count_open(t);
	t->placed = !accounts_full(&t->auth->guard, &t->try) && take_place(t);
}

/*
 * An edge that lies keeps somebody out for as long as it lives, which it could do by
 * refusing him as well; what it says counts for nothing once it is gone.
 */
bool attempts_held(struct auth *a, struct peer *edge, struct span frame)
{
	struct msg_AUTH_HELD m;
	struct login_id id = { edge->number, edge->generation, 0 };
	struct addr prefix;
	uint64_t user;

	if (!msg_AUTH_HELD_unpack(frame, &m) || !m.login.n)
		return false;
	id.ask = m.ask;
	prefix = attempt_prefix(&m.peer.addr);
	user = accounts_hash(&a->guard, m.login);
	(void)logins_take(a->logins, &id, user,
			  user ^ accounts_hash(&a->guard,
					       span_of(prefix.ip, sizeof(prefix.ip))));
	return true;
}

/*
 * It opens a session, unless as many have come since it was judged: those that share an
 * outcome, and those that were held back.
 */
static bool enters(struct attempt *t)
{
	struct auth *a = t->auth;
	struct account_verdict v;

	if (!t->try.reads || !peers_edge(a, t->edge, t->generation))
		return true;
	count_open(t);
	v = accounts_enter(&a->guard, &t->try, loop_now(a->loop), loop_wall(a->loop));
	attempt_tell(t, v.tell, &v);
	if (v.go == GO_REFUSE) {
		t->done = (struct account_done){ .verdict = v };
		return false;
	}
	if (v.event != EV_NONE) /* what it would have been refused for */
		t->done.verdict.event = v.event;
	(void)take_place(t);
	return true;
}

/* ---- the end ---------------------------------------- */

static void conclude(struct attempt *t, enum authed result)
{
	if (result == AUTHED_YES && !enters(t))
		result = AUTHED_OVER;
	attempt_report(t, result);
	if (result != AUTHED_YES)
		give_place(t);
	if (!t->placed)
		attempt_say(t, result);
	attempt_release(t);
}

void attempt_end(struct attempt *t, enum authed result, enum event event,
		 const char *reason)
{
	t->done = (struct account_done){ .verdict = { .event = event } };
	t->reason = reason;
	conclude(t, result);
}

/* ---- who waits for another ---------------------------------------- */

static void make_ready(struct attempt *t)
{
	struct auth *a = t->auth;

	attempt_leave_pair(t);
	t->at = AT_READY;
	t->ready_next = NULL;
	*a->ready_end = t;
	a->ready_end = &t->ready_next;
}

static enum authed result_of(const struct account_verdict *v)
{
	switch (v->go) {
	case GO_CHECK:
		return AUTHED_YES;
	case GO_REFUSE:
		return v->why == WHY_LIMIT ? AUTHED_OVER : AUTHED_NO;
	case GO_SAME:
	case GO_WAIT:
	case GO_LATER:
		break;
	}
	return AUTHED_LATER;
}

/* Let in at once, or refused; one who has to wait for it waits here. */
static void settle(struct attempt *t)
{
	enum authed result = result_of(&t->done.verdict);

	attempt_leave_pair(t);
	if (result == AUTHED_YES && t->done.verdict.delay > 0) {
		t->at = AT_HELD;
		t->due = loop_now(t->auth->loop) + t->done.verdict.delay;
		return;
	}
	conclude(t, result);
}

/* What was tried once counts once, however many connections it came over. */
static void share(struct attempt *o, const struct attempt *t)
{
	const struct account_done *done = &t->done;
	enum event *event = &o->done.verdict.event;

	o->done = *done;
	o->account.at_backend = t->account.at_backend;
	o->try.shared = true;
	/* each is counted by itself, and there may be a place for it by now */
	if (done->verdict.why == WHY_LIMIT)
		o->done.verdict = (struct account_verdict){
			.go = GO_CHECK,
			.event = EV_AUTH_OK,
			.known_device = done->verdict.known_device,
		};
	if (*event == EV_AUTH_FAILED || *event == EV_AUTH_UNKNOWN)
		*event = EV_AUTH_REPEATED;
}

/*
 * The others of its user and network: the same secret has the same outcome, but what a
 * mailbox server said to an edge is for those who read mail, and nothing is shared with who
 * came back after it had lost its network (shares: false). They are only
 * made ready here, so that whoever ends one attempt never loses another under its hands.
 */
static void settle_others(struct attempt *t, bool shares)
{
	struct attempt *o = attempt_other(t, NULL), *next;

	for (; o; o = next) {
		next = attempt_other(t, o);
		if (o->at != AT_TURN && o->at != AT_SAME)
			continue;
		o->shared = shares && o->at == AT_SAME && o->try.secret == t->try.secret &&
			    (o->try.reads || !t->account.at_backend);
		if (o->shared)
			share(o, t);
		make_ready(o);
	}
}

void attempt_finish(struct attempt *t, enum account_outcome how)
{
	struct auth *a = t->auth;

	BUG_IF(!t->in_flight);
	t->in_flight = false;
	count_open(t);
	t->done = accounts_done(&a->guard, &t->try, how, loop_now(a->loop),
				loop_wall(a->loop));
	attempt_tell(t, t->done.tell, &t->done.verdict);
	settle_others(t, how != ACCOUNT_LEFT);
	settle(t);
}

/* ---- the guard's word ---------------------------------------- */

static void judge(struct attempt *t)
{
	struct auth *a = t->auth;
	struct account_verdict v;

	count_open(t);
	t->try.right_lately = accounts_full(&a->guard, &t->try) && attempt_is_right(t);
	v = accounts_came(&a->guard, &t->try, loop_now(a->loop), loop_wall(a->loop));
	t->done = (struct account_done){ .verdict = v };
	attempt_tell(t, v.tell, &v);
	switch (v.go) {
	case GO_CHECK:
		t->in_flight = true;
		attempt_join_pair(t);
		attempt_check(t);
		return;
	case GO_SAME:
	case GO_WAIT:
		t->at = v.go == GO_SAME ? AT_SAME : AT_TURN;
		attempt_join_pair(t);
		return;
	case GO_REFUSE:
		conclude(t, result_of(&v));
		return;
	case GO_LATER:
		conclude(t, AUTHED_LATER);
		return;
	}
}

/* Not one after the other from within: a thousand that wait would be a deep stack. */
void attempts_go_on(struct auth *a)
{
	struct attempt *t;

	while ((t = a->ready)) {
		a->ready = t->ready_next;
		if (!a->ready)
			a->ready_end = &a->ready;
		t->at = AT_START;
		if (t->shared)
			settle(t);
		else
			judge(t);
	}
}

static bool is_trap(const struct conf *conf, struct span user)
{
	for (uint32_t i = 0; i < conf->trap_count; i++) {
		struct span trap = span_str(conf->traps[i]);

		if (span_eq(trap, user) || span_eq(trap, name_local(user)))
			return true;
	}
	return false;
}

void attempt_start(struct attempt *t)
{
	if (t->found == SOURCE_LATER) {
		t->done.verdict.event = EV_AUTH_LATER;
		t->reason = NO_SOURCE;
		conclude(t, AUTHED_LATER);
		return;
	}
	t->try.user = attempt_user(t);
	t->try.exists = t->found != SOURCE_HAS_NOT;
	t->try.trap = !t->try.exists && is_trap(t->auth->start->conf, t->try.user);
	judge(t);
}

/* ---- leaving ---------------------------------------- */

void attempt_leave(struct attempt *t, enum account_outcome how)
{
	give_place(t);
	t->generation = 0;
	switch (t->at) {
	case AT_HASHING:
		/* what a thread has begun is told to the guard when it is done */
		if (hashing_take_back(t->auth->hashing, &t->job))
			attempt_finish(t, how);
		return;
	case AT_ASKED:
		return;
	case AT_JUDGED: /* whoever asked the mailbox server is gone, and so is its answer */
		attempt_unjudged(t, how);
		return;
	case AT_TOKEN:
		oauth_forget(&t->token);
		break;
	case AT_START:
	case AT_SCRAM:
	case AT_TURN:
	case AT_SAME:
	case AT_READY:
	case AT_HELD:
		break;
	}
	attempt_release(t);
}

static void leave_with(struct attempt *t, void *arg)
{
	const struct peer *edge = arg;

	if (t->edge == edge->number && t->generation == edge->generation)
		attempt_leave(t, ACCOUNT_UNCHECKED);
}

void attempts_lost(struct auth *a, struct peer *edge)
{
	attempts_each(a, leave_with, edge);
	logins_lost(a->logins, edge->number, edge->generation);
	attempts_go_on(a);
}

static bool is_led(struct attempt *t)
{
	for (struct attempt *o = attempt_other(t, NULL); o; o = attempt_other(t, o))
		if (o->in_flight)
			return true;
	return false;
}

static void look_at(struct attempt *t, void *arg)
{
	ms_t now = loop_now(t->auth->loop);

	(void)arg;
	if (t->at == AT_HELD && t->due <= now)
		conclude(t, AUTHED_YES);
	else if (t->at == AT_SCRAM && now - t->came > ANSWER_WITHIN)
		attempt_end(t, AUTHED_LATER, EV_NONE, "silent");
	else if (t->at == AT_JUDGED && now - t->came > JUDGED_WITHIN)
		attempt_judged(t, JUDGED_NOT);
	else if ((t->at == AT_TURN || t->at == AT_SAME) && !is_led(t))
		make_ready(t);
}

void attempts_tick(struct auth *a)
{
	attempts_each(a, look_at, NULL);
	attempts_go_on(a);
}

static void drop(struct attempt *t, void *arg)
{
	(void)arg;
	oauth_forget(&t->token);
	attempt_release(t);
}

void attempts_close(struct auth *a)
{
	attempts_each(a, drop, NULL);
}
