/*
 * keeper - the vault, as the role uses it
 *
 * Look-ups are the loop's, over a connection that never waits for a writer. Devices, logins
 * and notices are written behind: what comes within a moment is one transaction of a thread,
 * and what is the same is one row with a count. So an attack costs a write every tenth of a
 * second and no more; what a batch has no room for is counted and forgotten.
 */
#ifndef AUTH_KEEPER_H
#define AUTH_KEEPER_H

#include "db/vault.h"
#include "db/vault_told.h"
#include "io/loop.h"

#define KEEPER_EVERY ((ms_t)100) /* between two transactions */

struct keeper;

struct keeper_calls {
	/* Once a day for each address and kind: tell its owner. */
	void (*due)(void *arg, struct span address, struct span kind, struct span text);
	void (*trouble)(void *arg, const char *why);
};

MUST bool keeper_open(struct keeper **out, struct loop *loop, const char *path,
		      const struct keeper_calls *calls, void *arg, struct err *err);
/* After the loop was closed. What is not written yet, is now. */
void keeper_close(struct keeper **k);

/* How many rows of logins an account may have. */
void keeper_limit(struct keeper *k, int64_t history);

/* The vault, for a thread (or for the loop, where waiting does no harm). */
struct vault *keeper_lock(struct keeper *k);
void keeper_unlock(struct keeper *k);

/* From the loop. False: it cannot be known now; it was logged. */
MUST bool keeper_find(struct keeper *k, struct span address, struct vault_account *out);
/* Only whether it has a password here, most often without asking the database. */
MUST bool keeper_knows(struct keeper *k, struct span address, bool *has);
MUST bool keeper_logged_in(struct keeper *k, struct span address, bool *has);
MUST bool keeper_find_credential(struct keeper *k, struct span name,
				 struct vault_credential *out);

void keeper_device(struct keeper *k, const struct vault_device *d);
void keeper_login(struct keeper *k, const struct vault_login *l);
/* text: what due() is to be given, if it is. */
void keeper_tell(struct keeper *k, struct span address, struct span kind,
		 struct span text, int64_t wall);

#endif
