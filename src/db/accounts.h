/*
 * accounts - password hashes, by address
 *
 * A database of its own, which only the auth role can open. Addresses are in lower case.
 * One thread at a time may use it; every change is on disk when the call returns.
 */
#ifndef DB_ACCOUNTS_H
#define DB_ACCOUNTS_H

#include "base/err.h"
#include "base/span.h"

struct accounts;

/* Opens or makes it; refuses as queue_open() does. */
MUST bool accounts_open(struct accounts **out, const char *path, struct err *err);
void accounts_close(struct accounts **a);

MUST bool accounts_put(struct accounts *a, struct span address, struct span hash,
		       int64_t wall, struct err *err);
/* *found: was there one? */
MUST bool accounts_drop(struct accounts *a, struct span address, bool *found,
			struct err *err);
/* The hash, good until the next call; empty if there is none. */
MUST bool accounts_get(struct accounts *a, struct span address, struct span *hash,
		       struct err *err);
/* Those behind `after`, in order, at most limit; the hash is not among what is told. */
MUST bool accounts_each(struct accounts *a, struct span after, size_t limit,
			void (*each)(void *arg, struct span address, struct span scheme,
				     int64_t changed),
			void *arg, struct err *err);

#endif
