/*
 * vault_told - what the vault remembers of logins: devices, history, notices
 *
 * Rows of one kind are one row with a count: who fails a thousand times in the same way
 * from the same network has one line, with the first and the last time.
 */
#ifndef DB_VAULT_TOLD_H
#define DB_VAULT_TOLD_H

#include "db/vault.h"

struct vault_device {
	uint64_t user, client; /* as in guard/accounts.h */
	struct addr prefix;
	int64_t first, last;
	uint32_t logins;
	struct span address, helo; /* borrowed */
};

/* Adds to the logins of one that is there. */
MUST bool vault_put_device(struct vault *v, const struct vault_device *d, struct err *err);
/* All that were used since; the newest first. address and helo are not told. */
MUST bool vault_each_device(struct vault *v, int64_t since, size_t limit,
			    void (*each)(void *arg, const struct vault_device *d),
			    void *arg, struct err *err);
MUST bool vault_devices_of(struct vault *v, struct span address, size_t skip, size_t limit,
			   void (*each)(void *arg, const struct vault_device *d),
			   void *arg, struct err *err);
MUST bool vault_forget_devices(struct vault *v, struct span address, int64_t *count,
			       struct err *err);
MUST bool vault_prune_devices(struct vault *v, int64_t before, struct err *err);

struct vault_login {
	struct span address;
	bool good;
	struct addr prefix, peer;
	uint64_t client;
	struct span reason, mechanism, helo;
	int64_t first, last;
	int64_t count;
};

MUST bool vault_put_login(struct vault *v, const struct vault_login *l, struct err *err);
/* keep: how many rows of this address may stay; the oldest go. */
MUST bool vault_prune_logins(struct vault *v, struct span address, int64_t keep,
			     struct err *err);
/* The newest first; failures only, or logins as well. */
MUST bool vault_logins_of(struct vault *v, struct span address, bool failures_only,
			  size_t skip, size_t limit,
			  void (*each)(void *arg, const struct vault_login *l), void *arg,
			  struct err *err);

/* *due: the last time was at or before `last`; then this is the last one. */
MUST bool vault_tell(struct vault *v, struct span address, struct span kind, int64_t wall,
		     int64_t last, bool *due, struct err *err);

#endif
