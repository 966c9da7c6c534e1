/* Which attempts are under way, found by edge and question, and by user and network. */
#include <stdlib.h>

#include "auth/attempt.h"

#define ATTEMPTS_MAX 8192
#define CHALLENGED   (ATTEMPTS_MAX / 2) /* of these: they may take minutes to answer */

static struct attempt **chain_of_ask(struct auth *a, unsigned edge, uint64_t ask)
{
	return &a->by_ask[(ask * 31 + edge) % ATTEMPT_CHAINS];
}

uint64_t attempt_key_of_user(const struct attempt *t)
{
	return accounts_hash(&t->auth->guard, attempt_user(t));
}

uint64_t attempt_key_of_pair(const struct attempt *t)
{
	struct span prefix = span_of(t->prefix.ip, sizeof(t->prefix.ip));

	return attempt_key_of_user(t) ^ accounts_hash(&t->auth->guard, prefix);
}

static struct attempt **chain_of_pair(struct attempt *t)
{
	return &t->auth->by_pair[attempt_key_of_pair(t) % ATTEMPT_CHAINS];
}

static bool same_pair(const struct attempt *a, const struct attempt *b)
{
	return addr_eq(&a->prefix, &b->prefix) &&
	       span_eq(attempt_user(a), attempt_user(b));
}

void attempt_join_pair(struct attempt *t)
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

void attempt_leave_pair(struct attempt *t)
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

struct attempt *attempt_other(struct attempt *t, struct attempt *behind)
{
	struct attempt *o = behind ? behind->pair_next : *chain_of_pair(t);

	while (o && (o == t || !same_pair(o, t)))
		o = o->pair_next;
	return o;
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

void attempt_release(struct attempt *t)
{
	struct attempt **p = chain_of_ask(t->auth, t->edge, t->ask);
	struct auth *a = t->auth;

	while (*p != t)
		p = &(*p)->ask_next;
	*p = t->ask_next;
	attempt_leave_pair(t);
	if (t->at == AT_READY)
		leave_ready(t);
	if (t->at == AT_SCRAM)
		attempt_answered(t);
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

bool attempt_may_challenge(const struct auth *a)
{
	return a->challenged < CHALLENGED;
}

void attempt_challenged(struct attempt *t)
{
	t->at = AT_SCRAM;
	t->auth->challenged++;
}

void attempt_answered(struct attempt *t)
{
	t->at = AT_START;
	t->auth->challenged--;
}

struct attempt *attempt_find(struct auth *a, const struct peer *edge, uint64_t ask)
{
	struct attempt *t = *chain_of_ask(a, edge->number, ask);

	while (t && (t->ask != ask || t->edge != edge->number ||
		     t->generation != edge->generation))
		t = t->ask_next;
	return t;
}

void attempts_each(struct auth *a, void (*what)(struct attempt *t, void *arg), void *arg)
{
	for (size_t i = 0; i < ATTEMPT_CHAINS; i++) {
		struct attempt *t = a->by_ask[i], *next;

		for (; t; t = next) {
			next = t->ask_next;
			what(t, arg);
		}
	}
}
