#include "auth/attempt.h"

#include <stdlib.h>

#include "auth/names.h"
#include "base/bug.h"
#include "crypt/ticket.h"

#define ATTEMPTS_MAX  8192
#define ANSWER_WITHIN (10 * MS_MINUTE) /* a client, after our challenge */
#define JUDGED_WITHIN (2 * MS_MINUTE)  /* a mailbox server, by way of the edge */

/* ---- which are under way ---------------------------------------- */

static struct attempt **chain_of_ask(struct auth *a, unsigned edge, uint64_t ask)
{
	return &a->by_ask[(ask * 31 + edge) % ATTEMPT_CHAINS];
}

static uint64_t key_of_user(const struct attempt *t)
{
	return accounts_hash(&t->auth->guard, attempt_user(t));
}

/* Of user and network. */
static uint64_t key_of_pair(const struct attempt *t)
{
	struct span prefix = span_of(t->prefix.ip, sizeof(t->prefix.ip));

	return key_of_user(t) ^ accounts_hash(&t->auth->guard, prefix);
}

static struct attempt **chain_of_pair(struct attempt *t)
{
	return &t->auth->by_pair[key_of_pair(t) % ATTEMPT_CHAINS];
}

static bool same_pair(const struct attempt *a, const struct attempt *b)
{
	return addr_eq(&a->prefix, &b->prefix) &&
	       span_eq(attempt_user(a), attempt_user(b));
}

static void join_pair(struct attempt *t)
{
	struct attempt **p;

	if (t->in_pairs)
		return;
	p = chain_of_pair(t);
	while (*p)
		p = &(*p)->pair_next;
	*p = t;
	t->pair_next = NULL;
	t->in_pairs = true;
}

static void leave_pair(struct attempt *t)
{
	struct attempt **p;

	if (!t->in_pairs)
		return;
	p = chain_of_pair(t);
	while (*p != t)
		p = &(*p)->pair_next;
	*p = t->pair_next;
	t->in_pairs = false;
}

static void leave_ready(struct attempt *t)
{
	struct auth *a = t->auth;
	struct attempt **p = &a->ready;

	while (*p && *p != t)
		p = &(*p)->ready_next;
	if (!*p)
		return;
	*p = t->ready_next;
	if (!*p)
		a->ready_end = p;
}

static void release(struct attempt *t)
{
	struct attempt **p = chain_of_ask(t->auth, t->edge, t->ask);
	struct auth *a = t->auth;

	while (*p != t)
		p = &(*p)->ask_next;
	*p = t->ask_next;
	leave_pair(t);
	if (t->at == AT_READY)
		leave_ready(t);
	a->attempts--;
	if (t->scram)
		password_wipe(span_of(t->scram, sizeof(*t->scram)));
	free(t->scram);
	password_wipe(span_of(t, sizeof(*t) + t->secret_n));
	free(t);
}

struct attempt *attempt_begin(struct auth *a, struct peer *edge, uint64_t ask,
			      struct span secret)
{
	struct attempt *t = a->attempts < ATTEMPTS_MAX ? calloc(1, sizeof(*t) + secret.n)
						       : NULL;
	struct attempt **chain;

	if (!t)
		return NULL;
	t->auth = a;
	t->edge = edge->number;
	t->generation = edge->generation;
	t->ask = ask;
	t->came = loop_now(a->loop);
	t->secret_n = secret.n;
	if (secret.n)
		memcpy(t->secret, secret.p, secret.n);
	chain = chain_of_ask(a, t->edge, ask);
	t->ask_next = *chain;
	*chain = t;
	a->attempts++;
	return t;
}

struct attempt *attempt_find(struct auth *a, const struct peer *edge, uint64_t ask)
{
	struct attempt *t = *chain_of_ask(a, edge->number, ask);

	while (t && (t->ask != ask || t->edge != edge->number ||
		     t->generation != edge->generation))
		t = t->ask_next;
	return t;
}

/* ---- the end ---------------------------------------- */

void attempt_words(struct attempt *t, struct span words)
{
	t->words_n = words.n <= sizeof(t->words) ? words.n : 0;
	if (t->words_n)
		memcpy(t->words, words.p, t->words_n);
}

static bool is_token(const struct attempt *t)
{
	return t->try.mechanism == SASL_OAUTHBEARER || t->try.mechanism == SASL_XOAUTH2;
}

/* What is wrong with a token is told in the same words, whatever it is. */
static void token_words(struct attempt *t)
{
	struct buf b;

	buf_init(&b, t->words, sizeof(t->words));
	oauth_error_print(t->try.mechanism, &b);
	t->words_n = b.full ? 0 : b.len;
}

static struct span reason_of(const struct attempt *t)
{
	return span_str(t->reason ? t->reason : account_why_word[t->done.verdict.why]);
}

/*
 * What the store wants to see of somebody who was let in. Not of whom only the edge knows:
 * it logged in at a mailbox server, where the mail is then, and not in our Maildirs. IMAP
 * has no use for one. A certificate is the edge's word, too, and a choice of the
 * administrator (auth.mechanisms).
 */
static struct span print_ticket(const struct attempt *t, uint8_t mem[TICKET_SIZE])
{
	bool reads = t->try.service == SERVICE_POP3;
	const struct ticket k = { .purpose = reads ? TICKET_MAILBOX : TICKET_MAIL,
				  .edge = t->edge,
				  .login = attempt_user(t) };

	if (t->try.service == SERVICE_IMAP || (t->account.at_backend && !t->proven))
		return SPAN_NONE;
	ticket_make(t->auth->start->ticket_key, &k,
		    loop_now(t->auth->loop) +
			    (reads ? TICKET_FOR_LOGIN : TICKET_FOR_SESSION),
		    mem);
	return span_of(mem, TICKET_SIZE);
}

void attempt_say(struct attempt *t, enum authed result)
{
	uint8_t ticket[TICKET_SIZE];
	const struct account_verdict *v = &t->done.verdict;
	struct peer *edge = peers_edge(t->auth, t->edge, t->generation);
	struct msg_AUTHED m = {
		.ask = t->ask,
		.result = (uint8_t)result,
		.event = (uint16_t)v->event,
		.delay = result == AUTHED_YES || result == AUTHED_ASK ? 0
								      : (uint32_t)v->delay,
		.tag = t->try.secret,
		.known_device = v->known_device,
		.held = t->done.held,
		.login = result == AUTHED_YES || result == AUTHED_ASK ? attempt_user(t)
								      : SPAN_NONE,
		.ticket = result == AUTHED_YES ? print_ticket(t, ticket) : SPAN_NONE,
		.reason = result == AUTHED_YES ? SPAN_NONE : reason_of(t),
	};

	if (!edge)
		return;
	if (result == AUTHED_NO && is_token(t))
		token_words(t);
	if (result == AUTHED_YES || result == AUTHED_NO)
		m.text = span_of(t->words, t->words_n);
	msg_AUTHED_pack(&m, link_begin(edge->link));
	(void)peer_send(edge); /* a broken link shows when it is read */
}

static void count_open(struct attempt *t)
{
	const struct logins *l = t->auth->logins;

	if (!t->try.reads)
		return;
	t->try.open_user = logins_count(l, key_of_user(t));
	t->try.open_network = logins_count(l, key_of_pair(t));
}

static struct login_id login_of(const struct attempt *t)
{
	return (struct login_id){ t->edge, t->generation, t->ask };
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
	struct login_id id = login_of(t);

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
	(void)logins_take(a->logins, &id, key_of_user(t), key_of_pair(t));
	return true;
}

static void conclude(struct attempt *t, enum authed result)
{
	if (result == AUTHED_YES && !enters(t))
		result = AUTHED_OVER;
	attempt_report(t, result);
	attempt_say(t, result);
	release(t);
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

	leave_pair(t);
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

	leave_pair(t);
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
	struct attempt *o = *chain_of_pair(t), *next;

	for (; o; o = next) {
		next = o->pair_next;
		if (o == t || !same_pair(o, t))
			continue;
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
		join_pair(t);
		attempt_check(t);
		return;
	case GO_SAME:
	case GO_WAIT:
		t->at = v.go == GO_SAME ? AT_SAME : AT_TURN;
		join_pair(t);
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
	release(t);
}

/* Each of them; it may be released by what is done with it. */
static void each(struct auth *a, void (*what)(struct attempt *t, void *arg), void *arg)
{
	for (size_t i = 0; i < ATTEMPT_CHAINS; i++) {
		struct attempt *t = a->by_ask[i], *next;

		for (; t; t = next) {
			next = t->ask_next;
			what(t, arg);
		}
	}
}

static void leave_with(struct attempt *t, void *arg)
{
	const struct peer *edge = arg;

	if (t->edge == edge->number && t->generation == edge->generation)
		attempt_leave(t, ACCOUNT_UNCHECKED);
}

void attempts_lost(struct auth *a, struct peer *edge)
{
	each(a, leave_with, edge);
	logins_lost(a->logins, edge->number, edge->generation);
	attempts_go_on(a);
}

static bool is_led(struct attempt *t)
{
	for (struct attempt *o = *chain_of_pair(t); o; o = o->pair_next)
		if (o->in_flight && same_pair(o, t))
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
	each(a, look_at, NULL);
	attempts_go_on(a);
}

static void drop(struct attempt *t, void *arg)
{
	(void)arg;
	oauth_forget(&t->token);
	release(t);
}

void attempts_close(struct auth *a)
{
	each(a, drop, NULL);
}
