/*
 * attempt - one attempt to log in; for auth/ only
 */
#ifndef AUTH_ATTEMPT_H
#define AUTH_ATTEMPT_H

#include "auth/inner.h"
#include "crypt/password.h"
#include "crypt/scram.h"

#define NO_SOURCE "no-source" /* one could not be read: nobody can say */
#define NO_MEMORY "memory"    /* to look whether the secret is right */

enum attempt_at {
	AT_START,
	AT_SCRAM,   /* the client has our challenge */
	AT_TURN,    /* another one of the same user and network is being checked */
	AT_SAME,    /* so is one with the same secret: its outcome is ours */
	AT_READY,   /* its turn has come */
	AT_HASHING, /* a thread has it, or will */
	AT_ASKED,   /* Dovecot has it */
	AT_JUDGED,  /* the mailbox server has it, by way of the edge */
	AT_TOKEN,   /* it waits for keys, or for whoever made the token */
	AT_HELD,    /* it is let in, but not at once */
};

struct attempt {
	struct auth *auth;
	struct attempt *ask_next, *pair_next, *ready_next;
	enum attempt_at at;
	unsigned edge;
	uint32_t generation; /* of the edge's link; 0: nobody waits for an answer */
	uint64_t ask;
	bool in_flight; /* the guard said GO_CHECK: accounts_done() is due */
	bool in_pairs;	/* it is in the chain of its pair */
	bool shared;	/* READY: what came of it is in `done`, from another one */
	ms_t came, due; /* due: of HELD */
	struct account_try try;
	struct addr prefix;
	unsigned flags;
	enum source_says found;
	bool looked_up; /* `account` is what was found; else only `found` is known */
	struct source_account account;
	bool proven; /* SCRAM, EXTERNAL, token: what came of it is known already */
	enum account_outcome proof;
	struct hashing_job job;
	enum password_check check;
	struct account_done done;
	const char *reason; /* instead of the guard's word; NULL */
	struct scram *scram;
	struct oauth_ask token;
	bool judging; /* it counts in auth.judging */
	bool placed;  /* its session counts already, while a mailbox server is asked */
	size_t user_n, secret_n, helo_n, hello_n, words_n, binding_n;
	uint8_t user[USER_MAX], helo[DOMAIN_MAX], hello[HELLO_MAX], binding[DIGEST_MAX];
	uint8_t words[1024]; /* our last ones */
	uint8_t secret[];
};

static inline struct span attempt_user(const struct attempt *t)
{
	return span_of(t->user, t->user_n);
}

/* ---- underway.c ---- */

/* NULL: out of memory, or too many are under way. secret: copied. */
struct attempt *attempt_begin(struct auth *a, struct peer *edge, uint64_t ask,
			      struct span secret);
/* Half of those under way may have to answer first, which costs them nothing to leave. */
MUST bool attempt_may_challenge(const struct auth *a);
void attempt_challenged(struct attempt *t);
void attempt_answered(struct attempt *t);
struct attempt *attempt_find(struct auth *a, const struct peer *edge, uint64_t ask);
void attempt_release(struct attempt *t);
/* Each of them; it may be released by what is done with it. */
void attempts_each(struct auth *a, void (*what)(struct attempt *t, void *arg), void *arg);

/* A pair is a user and a network. Those of one that wait for each other are in a chain. */
uint64_t attempt_key_of_user(const struct attempt *t);
uint64_t attempt_key_of_pair(const struct attempt *t);
void attempt_join_pair(struct attempt *t);
void attempt_leave_pair(struct attempt *t);
/* The first other one in the chain of its pair, or the next one behind `behind`. */
struct attempt *attempt_other(struct attempt *t, struct attempt *behind);

/* ---- answer.c ---- */

/* Our last words to the client, as its mechanism wants them. */
void attempt_words(struct attempt *t, struct span words);
void attempt_say(struct attempt *t, enum authed result);

/* ---- attempt.c ---- */

/* The credentials are complete, and `found` is known: ask the guard, and so on to the end. */
void attempt_start(struct attempt *t);
/* It ends without the guard having a word in it: what was sent makes no sense. */
void attempt_end(struct attempt *t, enum authed result, enum event event,
		 const char *reason);
/* Nobody waits for the answer any more; how: if nobody looked at it yet. */
void attempt_leave(struct attempt *t, enum account_outcome how);
/* Keep a place for its session, if it is certain that a right secret is all that it lacks. */
void attempt_place(struct attempt *t);
/* What came of the check that the guard asked for. */
void attempt_finish(struct attempt *t, enum account_outcome how);

/* ---- prove.c ---- */

/* What the sources have of the user. */
void attempt_look_up(struct attempt *t);
/* Find out whether the secret is right; attempt_finish() follows, perhaps at once. */
void attempt_check(struct attempt *t);
/* What the mailbox server said, of AT_JUDGED. */
void attempt_judged(struct attempt *t, enum judged how);
/* It will never say. */
void attempt_unjudged(struct attempt *t, enum account_outcome how);
/* Is it known without looking that the secret is right, and the user may log in? */
bool attempt_is_right(struct attempt *t);

/* ---- report.c: what is told of it ---- */

/* It ended so: the log, the history, and whoever has to know. */
void attempt_report(struct attempt *t, enum authed result);
/* What the guard thinks is worth telling. */
void attempt_tell(struct attempt *t, unsigned tell, const struct account_verdict *v);
/* The network of an address: /24 or /64. */
struct addr attempt_prefix(const struct addr *a);

#endif
