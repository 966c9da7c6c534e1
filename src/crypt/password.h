/*
 * password - hashes of passwords: made with argon2id, checked in every usual scheme
 *
 * Secrets are bytes from anywhere, up to PASSWORD_MAX, without NUL. Making and checking
 * take tens of milliseconds of CPU and 19 MiB of memory: not for a loop's own thread.
 */
#ifndef CRYPT_PASSWORD_H
#define CRYPT_PASSWORD_H

#include "base/attr.h"
#include "base/buf.h"

#define PASSWORD_MAX	  1024
#define PASSWORD_HASH_MAX 256

enum password_check {
	PASSWORD_RIGHT,
	PASSWORD_WRONG,
	PASSWORD_UNREADABLE, /* the hash is of no scheme that we know */
};

/* Once per process, before the others. */
MUST bool password_init(void);

/* Could this be a secret at all? */
bool password_ok(struct span secret);

/* "$argon2id$v=19$m=19456,t=2,p=1$..."; false: out of memory, or not password_ok(). */
MUST bool password_hash(struct span secret, struct buf *out);

/* Against $argon2id$, or what crypt(5) knows: $y$, $2y$, $6$, $5$. In constant time. */
enum password_check password_check(struct span secret, struct span hash);

/* Is this a hash that password_check() can read? */
bool password_readable(struct span hash);

/* Overwrite bytes that held a secret. */
void password_wipe(struct span secret);

#endif
