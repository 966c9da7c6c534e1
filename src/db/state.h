/*
 * state - users, aliases, domains, mailbox servers, what next hops said about recipients, what accounts
 * sent, a few keys, and the guard's memory as it was some minutes ago
 *
 * The store has all of it in memory and reads it once, at start; this is where changes
 * survive. Addresses and names are in lower case. One thread at a time may use it.
 */
#ifndef DB_STATE_H
#define DB_STATE_H

#include "base/err.h"
#include "base/span.h"
#include "db/trouble.h"

struct state;

/* Opens or makes it; refuses as queue_open() does. */
MUST bool state_open(struct state **out, const char *path, struct err *err);
void state_close(struct state **s);
enum trouble state_trouble(const struct state *s);

MUST bool state_begin(struct state *s, struct err *err);
MUST bool state_commit(struct state *s, struct err *err);
void state_rollback(struct state *s);

/* quota: -1 for the default. */
MUST bool state_put_user(struct state *s, struct span address, int64_t quota,
			 struct err *err);
MUST bool state_drop_user(struct state *s, struct span address, struct err *err);
/* Targets are a list (base/list.h); an alias that exists gets these instead of its own. */
MUST bool state_put_alias(struct state *s, struct span address, struct span targets,
			  struct err *err);
MUST bool state_drop_alias(struct state *s, struct span address, struct err *err);
/* catch_all: empty for none. */
MUST bool state_put_domain(struct state *s, struct span name, struct span catch_all,
			   struct err *err);
MUST bool state_drop_domain(struct state *s, struct span name, struct err *err);

/* Which mailbox server has the mail of who logs in like that. */
MUST bool state_put_located(struct state *s, struct span login, struct span backend,
			    struct err *err);
MUST bool state_drop_located(struct state *s, struct span login, struct err *err);

MUST bool state_put_verified(struct state *s, struct span address, bool good, int64_t at,
			     struct err *err);
MUST bool state_drop_verified(struct state *s, struct span address, struct err *err);
/* Forget what was accepted or refused before that; some at a time. */
MUST bool state_prune_verified(struct state *s, int64_t good_before, int64_t bad_before,
			       size_t limit, struct err *err);

/*
 * The key of that name, of n bytes (up to 64): the one that is kept or, the first time, the
 * one that is handed in (random), which is kept from then on.
 */
MUST bool state_secret(struct state *s, struct span name, uint8_t *secret, size_t n,
		       struct err *err);

/* What an account sent (store/sent.h). */
struct state_sent {
	struct span login;
	int64_t at; /* when last */
	struct span bytes;
};

MUST bool state_put_sent(struct state *s, const struct state_sent *sent, struct err *err);
MUST bool state_prune_sent(struct state *s, int64_t before, struct err *err);
/* The latest first, at most that many. */
MUST bool state_each_sent(struct state *s, size_t limit,
			  void (*each)(void *arg, const struct state_sent *sent),
			  void *arg, struct err *err);

/*
 * Snapshots of the guard's memory (guard/snapshot.h). There is room for two: one is whole,
 * and in place of the other the next one is written, part by part, in as many transactions
 * as it takes, so that nobody waits for megabytes. state_end_memory() makes it the one that
 * counts.
 */
#define STATE_PART 65536

struct state_memory {
	uint64_t life; /* memory_life() of the memory that it is a copy of */
	uint64_t parts;
	unsigned half; /* 0 or 1: where it is */
};

/* The one that counts; no parts: there is none. */
MUST bool state_get_memory(struct state *s, struct state_memory *out, struct err *err);
/* Parts of the other one from this one on, STATE_PART bytes each but the last. */
MUST bool state_put_memory(struct state *s, unsigned half, uint64_t part,
			   struct span bytes, struct err *err);
MUST bool state_end_memory(struct state *s, const struct state_memory *m, struct err *err);
/* The parts of one, in order. */
MUST bool state_each_memory(struct state *s, const struct state_memory *m,
			    void (*each)(void *arg, struct span part), void *arg,
			    struct err *err);

/* Spans are good until the callback returns. */
MUST bool state_each_user(struct state *s,
			  void (*each)(void *arg, struct span address, int64_t quota),
			  void *arg, struct err *err);
MUST bool state_each_alias(struct state *s,
			   void (*each)(void *arg, struct span address, struct span target),
			   void *arg, struct err *err);
MUST bool state_each_domain(struct state *s,
			    void (*each)(void *arg, struct span name,
					 struct span catch_all),
			    void *arg, struct err *err);
MUST bool state_each_located(struct state *s,
			     void (*each)(void *arg, struct span login,
					  struct span backend),
			     void *arg, struct err *err);
/* The newest first, at most that many. */
MUST bool state_each_verified(struct state *s, size_t limit,
			      void (*each)(void *arg, struct span address, bool good,
					   int64_t at),
			      void *arg, struct err *err);

#endif
