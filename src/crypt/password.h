/*
 * password - hashes of passwords: made with argon2id, checked in every usual scheme
 *
 * Secrets are bytes from anywhere, up to PASSWORD_MAX, without NUL. Making and checking
 * take tens of milliseconds of CPU and 19 MiB of memory: not for a loop's own thread.
 *
 * A hash is what crypt(5) has ($y$, $2a$, $2b$, $2y$, $6$, $5$), $argon2id$ or $argon2i$,
 * $pbkdf2$, $pbkdf2-sha256$ or $pbkdf2-sha512$ as passlib writes them, or any of these and
 * some more behind a {SCHEME} as Dovecot has it: {ARGON2ID}, {BLF-CRYPT}, {SHA512-CRYPT},
 * {PBKDF2}, {SSHA256}, {SCRAM-SHA-256}, {PLAIN}. What rests on MD5, DES or a challenge that
 * needs the password itself is refused by name: password_problem().
 */
#ifndef CRYPT_PASSWORD_H
#define CRYPT_PASSWORD_H

#include "base/attr.h"
#include "base/buf.h"

#define PASSWORD_MAX	  1024
#define PASSWORD_HASH_MAX 384

enum password_check {
	PASSWORD_RIGHT,
	PASSWORD_WRONG,
	PASSWORD_UNREADABLE, /* the hash is of no scheme that we know */
	PASSWORD_LATER,	     /* there was no memory to look: it may be right */
};

/* Once per process, before the others. */
MUST bool password_init(void);

/* Could this be a secret at all? */
bool password_ok(struct span secret);

/* "$argon2id$v=19$m=19456,t=2,p=1$..."; false: out of memory, or not password_ok(). */
MUST bool password_hash(struct span secret, struct buf *out);

/* In constant time for each hash; how long it takes is a matter of the hash. */
enum password_check password_check(struct span secret, struct span hash);

/* Is this a hash that password_check() can read? NULL: yes; else what is wrong with it. */
const char *password_problem(struct span hash);
bool password_readable(struct span hash);

/* Its scheme as a word: "argon2id", "bcrypt", "ssha256". Empty if it is of none we know. */
struct span password_scheme(struct span hash);

/* Overwrite bytes that held a secret. */
void password_wipe(struct span secret);

#endif
