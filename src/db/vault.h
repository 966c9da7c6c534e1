/*
 * vault - what only the auth role may know
 *
 * Hashes of passwords by address, keys for SCRAM beside them, who is disabled, logins at
 * next hops; and what is remembered of logins: devices, history, which owners were told.
 * A database of its own, which no other role can open. Addresses are in lower case.
 *
 * One thread at a time may use a vault; every change outside of vault_begin() and
 * vault_commit() is on disk when the call returns. The reader is a second connection: what
 * is looked up with it never waits for a change that is being written.
 */
#ifndef DB_VAULT_H
#define DB_VAULT_H

#include "base/addr.h"
#include "base/err.h"
#include "base/span.h"
#include "spec/limits.h"

struct vault;
struct vault_reader;

#define VAULT_HASH_MAX 384
#define VAULT_KEYS_MAX 256
#define VAULT_KEY      32

/* Opens or makes it; refuses as queue_open() does. */
MUST bool vault_open(struct vault **out, const char *path, struct err *err);
void vault_close(struct vault **v);
MUST bool vault_begin(struct vault *v, struct err *err);
/* False: nothing of it was done. */
MUST bool vault_commit(struct vault *v, struct err *err);
void vault_rollback(struct vault *v);

/* A secret of ours, made once: what was there, or else `fresh`, which is kept. */
MUST bool vault_key(struct vault *v, struct span name, uint8_t key[VAULT_KEY],
		    struct err *err);

/* ---- passwords ---------------------------------------------------------------------------- */

/* keys: of SCRAM, as text; empty: none. They count as long as the hash is this one. */
MUST bool vault_put(struct vault *v, struct span address, struct span hash,
		    struct span keys, int64_t wall, struct err *err);
/* *found: was there one? */
MUST bool vault_drop(struct vault *v, struct span address, bool *found, struct err *err);
/*
 * Has it a password? From memory, and any thread may ask. False: there are too many accounts for that
 * (ACCOUNT_NAMES_MAX), and only the database knows.
 */
MUST bool vault_knows(struct vault *v, struct span address, bool *has);
/* Those behind `after`, in order, at most limit; the hash is not to be told further. */
MUST bool vault_each(struct vault *v, struct span after, size_t limit,
		     void (*each)(void *arg, struct span address, struct span hash,
				  int64_t changed, bool disabled),
		     void *arg, struct err *err);
/* *changed: it was otherwise. An account without a password here can be disabled, too. */
MUST bool vault_disable(struct vault *v, struct span address, bool disabled, int64_t wall,
			bool *changed, struct err *err);

/* *since: when it was disabled; 0: it is not. */
MUST bool vault_disabled(struct vault *v, struct span address, int64_t *since,
			 struct err *err);

/* ---- logins at next hops -------------------------------------------------------------------- */

MUST bool vault_put_credential(struct vault *v, struct span name, struct span user,
			       struct span secret, int64_t wall, struct err *err);
MUST bool vault_drop_credential(struct vault *v, struct span name, bool *found,
				struct err *err);
MUST bool vault_each_credential(struct vault *v, struct span after, size_t limit,
				void (*each)(void *arg, struct span name,
					     struct span user, int64_t changed),
				void *arg, struct err *err);

/* ---- the reader ------------------------------------------------------------------------------ */

MUST bool vault_reader_open(struct vault_reader **out, const char *path, struct err *err);
void vault_reader_close(struct vault_reader **r);

struct vault_account {
	bool known; /* it has a hash here */
	bool disabled;
	size_t hash_n, keys_n;
	uint8_t hash[VAULT_HASH_MAX], keys[VAULT_KEYS_MAX];
};

MUST bool vault_find(struct vault_reader *r, struct span address,
		     struct vault_account *out, struct err *err);
/* Did it ever log in, as far as the history goes back? */
MUST bool vault_logged_in(struct vault_reader *r, struct span address, bool *has,
			  struct err *err);

struct vault_credential {
	bool known;
	size_t user_n, secret_n;
	uint8_t user[USER_MAX], secret[SECRET_MAX];
};

MUST bool vault_find_credential(struct vault_reader *r, struct span name,
				struct vault_credential *out, struct err *err);

#endif
