/*
 * passwords - the administrator's commands about accounts and logins
 *
 *     passwd list
 *     passwd remove ADDRESS
 *     passwd [set] ADDRESS SECRET [forget]	forget: its devices, too
 *     passwd disable | enable ADDRESS
 *     passwd state ADDRESS			is it disabled, and since when?
 *     passwd devices | forget ADDRESS
 *     passwd logins | failures ADDRESS
 *     passwd changed ADDRESS			its password was changed elsewhere
 *     passwd unguard ADDRESS
 *     relay passwd NAME USER SECRET
 *     relay list
 *     relay remove NAME
 *
 * Hashing and the database are another thread's work. Secrets are wiped when they have
 * been used, and neither they nor hashes are ever told to anybody.
 */
#ifndef AUTH_PASSWORDS_H
#define AUTH_PASSWORDS_H

#include "auth/keeper.h"

struct passwords;

#define ALSO_UNGUARD (1u << 0) /* the account is guarded no more */
#define ALSO_FORGET  (1u << 1) /* its devices are new again */

struct passwords_answers {
	bool (*row)(void *arg, uint32_t ask, struct span row); /* false: nobody listens */
	void (*end)(void *arg, uint32_t ask, bool ok, struct span text);
	bool (*wait)(void *arg); /* no more rows until passwords_go_on() */
	/* what else the guard is to do: ALSO_ bits */
	void (*changed)(void *arg, struct span address, const char *what, unsigned also);
};

MUST bool passwords_open(struct passwords **out, struct loop *loop, struct keeper *keeper,
			 const struct passwords_answers *answers, void *arg,
			 struct err *err);
/* After the loop was closed: no thread works on it any more. */
void passwords_close(struct passwords **p);

/* Passwords that are set from now on get keys for SCRAM, or none. */
void passwords_scram(struct passwords *p, bool wanted);

/* words is a list, with "passwd" or "relay" in front; not needed after the call. */
void passwords_command(struct passwords *p, uint32_t ask, struct span words, int64_t wall);
void passwords_go_on(struct passwords *p);

#endif
