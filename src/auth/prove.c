#include "auth/attempt.h"

/*
 * Is a secret right? The cache may know, else a thread hashes it, or one is asked who knows:
 * Dovecot, or the mailbox server, by way of the edge.
 */

#define BLIND_LIFE MS_MINUTE /* of what is remembered of a source that shows no hashes */

void attempt_look_up(struct attempt *t)
{
	t->found = sources_find(t->auth->sources, attempt_user(t), 0, t->try.reads,
				&t->account);
	t->looked_up = true;
}

/* What the secret is compared with; for a user who has none, something as slow. */
static struct span stored_of(const struct attempt *t)
{
	if (t->found == SOURCE_HAS)
		return span_of(t->account.hash, t->account.hash_n);
	if (t->account.at_backend)
		return SPAN("a mailbox server");
	return t->found == SOURCE_ASK ? SPAN("a source that is asked") : SPAN_NONE;
}

static struct cache_pair pair_of(const struct attempt *t)
{
	return (struct cache_pair){ attempt_user(t), span_of(t->secret, t->secret_n),
				    stored_of(t) };
}

static ms_t life_of(const struct attempt *t, ms_t life)
{
	return t->found == SOURCE_ASK && life > BLIND_LIFE ? BLIND_LIFE : life;
}

static void finish_checked(struct attempt *t, bool right)
{
	const struct settings *set = &t->auth->start->conf->set;
	struct cache_pair pair = pair_of(t);
	ms_t now = loop_now(t->auth->loop);

	if (right)
		cache_right(t->auth->cache, &pair, now, life_of(t, set->auth_right));
	else
		cache_wrong(t->auth->cache, &pair, now, life_of(t, set->auth_wrong));
	if (!right)
		attempt_finish(t, ACCOUNT_WRONG);
	else
		attempt_finish(t, t->account.disabled ? ACCOUNT_DISABLED : ACCOUNT_RIGHT);
}

/* In a thread. */
static void run(void *arg)
{
	struct attempt *t = arg;
	struct span hash = stored_of(t);

	if (hash.n == 0 || !password_readable(hash))
		hash = span_of(t->auth->dummy, t->auth->dummy_n);
	t->check = password_check(span_of(t->secret, t->secret_n), hash);
}

static void on_hashed(void *arg)
{
	struct attempt *t = arg;
	struct auth *a = t->auth;

	if (t->check == PASSWORD_LATER) {
		t->reason = NO_MEMORY;
		attempt_finish(t, ACCOUNT_UNCHECKED);
	} else {
		finish_checked(t, t->check == PASSWORD_RIGHT && t->found == SOURCE_HAS &&
					  password_readable(stored_of(t)));
	}
	attempts_go_on(a);
}

static void on_lost(void *arg)
{
	attempt_finish(arg, ACCOUNT_UNCHECKED);
}

static void complain(struct attempt *t)
{
	struct err err;

	err_set(&err, "the password of %.*s cannot be checked: %s",
		SPAN_ARG(attempt_user(t)), password_problem(stored_of(t)));
	auth_trouble(t->auth, LOG_TROUBLE, err.text);
}

static void hash(struct attempt *t)
{
	struct accounts *g = &t->auth->guard;

	if (t->found == SOURCE_HAS && !t->account.disabled &&
	    !password_readable(stored_of(t)))
		complain(t);
	t->at = AT_HASHING;
	t->job = (struct hashing_job){
		.prefix = accounts_hash(g, span_of(t->prefix.ip, sizeof(t->prefix.ip))),
		.account = accounts_hash(g, attempt_user(t)),
		.known = t->done.verdict.known_device,
		.run = run,
		.on_done = on_hashed,
		.on_lost = on_lost,
		.arg = t,
	};
	if (!hashing_put(t->auth->hashing, &t->job))
		attempt_finish(t, ACCOUNT_UNCHECKED);
}

static void ask(struct attempt *t);

static void on_said(void *arg, enum dovecot_says says)
{
	struct attempt *t = arg;
	struct auth *a = t->auth;

	switch (says) {
	case DOVECOT_RIGHT:
		finish_checked(t, true);
		break;
	case DOVECOT_DISABLED:
		attempt_finish(t, ACCOUNT_DISABLED);
		break;
	case DOVECOT_LATER:
		attempt_finish(t, ACCOUNT_UNCHECKED);
		break;
	case DOVECOT_WRONG:
		ask(t);
		break;
	}
	attempts_go_on(a);
}

/* ---- the mailbox server ---------------------------------------------------------------- */

/*
 * The edge logs in there with what the client gave. When very many come at once, known
 * devices are asked about before anybody else: strangers beyond a number come later.
 */
static void ask_backend(struct attempt *t)
{
	struct auth *a = t->auth;
	bool known = t->done.verdict.known_device;

	if (!peers_edge(a, t->edge, t->generation) ||
	    (!known && a->judging >= (size_t)a->start->conf->set.auth_queue)) {
		attempt_finish(t, ACCOUNT_UNCHECKED);
		return;
	}
	t->judging = !known;
	a->judging += t->judging;
	t->at = AT_JUDGED;
	attempt_place(t);
	attempt_say(t, AUTHED_ASK);
}

static void judge_no_more(struct attempt *t)
{
	t->auth->judging -= t->judging;
	t->judging = false;
}

void attempt_judged(struct attempt *t, enum judged how)
{
	judge_no_more(t);
	switch (how) {
	case JUDGED_YES:
		finish_checked(t, true);
		return;
	case JUDGED_NO:
		finish_checked(t, false);
		return;
	case JUDGED_NOT:
	case JUDGED_COUNT:
		break;
	}
	t->reason = "mailbox-server";
	attempt_finish(t, ACCOUNT_UNCHECKED);
}

void attempt_unjudged(struct attempt *t, enum account_outcome how)
{
	judge_no_more(t);
	attempt_finish(t, how);
}

/* ---- Dovecot --------------------------------------------------------------------------- */

/* Dovecot said no, which may mean that it does not know the user: others may. */
static void ask(struct attempt *t)
{
	struct source_account next;
	enum source_says says = sources_find(t->auth->sources, attempt_user(t),
					     t->account.source + 1, t->try.reads, &next);

	if (says == SOURCE_HAS_NOT) {
		finish_checked(t, false);
		return;
	}
	t->found = says;
	t->account = next;
	if (says == SOURCE_HAS)
		hash(t);
	else if (says == SOURCE_ASK && next.at_backend)
		ask_backend(t);
	else
		attempt_finish(t, ACCOUNT_UNCHECKED);
}

static void ask_dovecot(struct attempt *t)
{
	struct dovecot_ask question = {
		.user = attempt_user(t),
		.secret = span_of(t->secret, t->secret_n),
		.from = t->try.from,
		.tls = t->flags & AUTH_TLS,
		.known = t->done.verdict.known_device,
		.on_said = on_said,
		.arg = t,
	};

	t->at = AT_ASKED;
	if (!sources_ask(t->auth->sources, t->account.source, &question))
		attempt_finish(t, ACCOUNT_UNCHECKED);
}

/* ---- the way ----------------------------------------------------------------------------- */

bool attempt_is_right(struct attempt *t)
{
	struct cache_pair pair;

	if (t->proven)
		return t->proof == ACCOUNT_RIGHT;
	if (!t->looked_up)
		attempt_look_up(t);
	pair = pair_of(t);
	return !t->account.disabled &&
	       cache_ask(t->auth->cache, &pair, loop_now(t->auth->loop)) == CACHE_RIGHT;
}

/* Also of a user who does not exist, so that what is checked takes as long for both. */
static bool look_up_now(struct attempt *t)
{
	if (!t->looked_up)
		attempt_look_up(t);
	if (t->found == SOURCE_LATER) {
		t->reason = NO_SOURCE;
		return false;
	}
	t->try.exists = t->found != SOURCE_HAS_NOT;
	return true;
}

void attempt_check(struct attempt *t)
{
	struct cache_pair pair;

	if (t->proven) {
		attempt_finish(t, t->proof);
		return;
	}
	if (!look_up_now(t)) {
		attempt_finish(t, ACCOUNT_UNCHECKED);
		return;
	}
	pair = pair_of(t);
	switch (cache_ask(t->auth->cache, &pair, loop_now(t->auth->loop))) {
	case CACHE_RIGHT:
		/* who lets in is who is logged in to: that costs no more than to know it */
		if (t->account.at_backend)
			break;
		attempt_finish(t, t->account.disabled ? ACCOUNT_DISABLED : ACCOUNT_RIGHT);
		return;
	case CACHE_WRONG:
		attempt_finish(t, ACCOUNT_WRONG);
		return;
	case CACHE_NOTHING:
		break;
	}
	if (t->found == SOURCE_ASK && t->account.at_backend)
		ask_backend(t);
	else if (t->found == SOURCE_ASK)
		ask_dovecot(t);
	else
		hash(t);
}
