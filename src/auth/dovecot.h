/*
 * dovecot - passwords that a Dovecot knows, asked over its auth socket
 *
 * One connection for each source, over which questions with numbers go and answers come
 * back in any order. Who asks gets exactly one answer, at the latest after
 * DOVECOT_WAIT (Dovecot holds refusals back by itself, for two seconds). One that says
 * nothing at all for so long is ending, and is left. While it is not there, everything is
 * answered with LATER, and a new connection is tried with growing pauses.
 *
 * Dovecot does not say whether a user exists. What it hashes, it hashes in its own
 * processes; here only the number of questions is bounded, with a half for known devices.
 */
#ifndef AUTH_DOVECOT_H
#define AUTH_DOVECOT_H

#include "base/addr.h"
#include "base/err.h"
#include "io/loop.h"

#define DOVECOT_ASKS 256
#define DOVECOT_WAIT ((ms_t)10000)

struct dovecot;

enum dovecot_says { DOVECOT_RIGHT, DOVECOT_WRONG, DOVECOT_DISABLED, DOVECOT_LATER };

struct dovecot_ask {
	struct span user, secret; /* copied */
	struct addr from;
	bool tls, known;
	void (*on_said)(void *arg, enum dovecot_says what);
	void *arg;
};

/* domain: users of it are asked for without it; "": all are asked for as they are. */
MUST bool dovecot_open(struct dovecot **out, struct loop *loop, const char *path,
		       const char *domain, void (*trouble)(void *arg, const char *why),
		       void *arg, struct err *err);
/* Whoever waits is told LATER. */
void dovecot_close(struct dovecot **d);

/* Whoever waits is told nothing any more. */
void dovecot_forget(struct dovecot *d);

/* False: it is not there, or has enough to do. Else on_said is called once, later. */
MUST bool dovecot_ask(struct dovecot *d, const struct dovecot_ask *ask);

#endif
