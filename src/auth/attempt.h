/*
 * attempt - one attempt to log in; for auth/ only
 */
#ifndef AUTH_ATTEMPT_H
#define AUTH_ATTEMPT_H

#include "auth/inner.h"
#include "crypt/password.h"
#include "crypt/scram.h"

#define NO_SOURCE "no-source" /* one could not be read: nobody can say */

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
	uint32_t asked; /* the number of the question to Dovecot */
	struct account_done done;
	const char *reason; /* instead of the guard's word; NULL */
	struct scram *scram;
	struct oauth_ask token;
	bool judging; /* it counts in auth.judging */
	size_t user_n, secret_n, helo_n, hello_n, words_n, binding_n;
	uint8_t user[USER_MAX], helo[DOMAIN_MAX], hello[HELLO_MAX], binding[DIGEST_MAX];
	uint8_t words[1024]; /* our last ones */
	uint8_t secret[];
};

static inline struct span attempt_user(const struct attempt *t)
{
	return span_of(t->user, t->user_n);
}

/* ---- attempt.c ---- */

/* NULL: out of memory, or too many are under way. secret: copied. */
struct attempt *attempt_begin(struct auth *a, struct peer *edge, uint64_t ask,
			      struct span secret);
struct attempt *attempt_find(struct auth *a, const struct peer *edge, uint64_t ask);
/* The credentials are complete, and `found` is known: ask the guard, and so on to the end. */
void attempt_start(struct attempt *t);
/* It ends without the guard having a word in it: what was sent makes no sense. */
void attempt_end(struct attempt *t, enum authed result, enum event event,
		 const char *reason);
void attempt_words(struct attempt *t, struct span words);
/* Nobody waits for the answer any more; how: if nobody looked at it yet. */
void attempt_leave(struct attempt *t, enum account_outcome how);

void attempt_say(struct attempt *t, enum authed result);
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
