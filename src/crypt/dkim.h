/*
 * dkim - keys that sign mail: RSA with 2048 bits and Ed25519 (RFC 6376, 8463)
 *
 * For the auth role, which alone has them. What is signed is the SHA-256 of the header as
 * wire/dkim.h prints it: RSA by PKCS #1 v1.5, Ed25519 over the 32 bytes of the hash.
 *
 * OpenDKIM's library would do both halves, but wants whole messages in its own structures
 * and brings a resolver; what is left beside wire/dkim.c are these few calls of OpenSSL.
 */
#ifndef CRYPT_DKIM_H
#define CRYPT_DKIM_H

#include "base/buf.h"
#include "base/err.h"

#define DKIM_PEM_MAX 4096 /* of a key file */
#define DKIM_P_MAX   800  /* of what is published, in base64 */

struct dkim_secret;

/* Make a key; takes some 100 ms with RSA. */
MUST bool dkim_make(struct dkim_secret **out, bool ed25519, struct err *err);
/* Read one: PKCS #8 or PKCS #1 in PEM; RSA with 1024 to 4096 bits, or Ed25519. */
MUST bool dkim_read(struct dkim_secret **out, struct span pem, struct err *err);
/* PKCS #8 in PEM: a secret. */
MUST bool dkim_write(const struct dkim_secret *k, struct buf *pem, struct err *err);
void dkim_close(struct dkim_secret **k);
/* Another handle of the same key, for another thread; NULL: out of memory. */
struct dkim_secret *dkim_share(const struct dkim_secret *k);

bool dkim_is_ed25519(const struct dkim_secret *k);
unsigned dkim_bits(const struct dkim_secret *k);
/* p= of the record in the DNS. */
MUST bool dkim_public(const struct dkim_secret *k, struct buf *out, struct err *err);

/* digest: SHA-256. In any thread. */
MUST bool dkim_sign(const struct dkim_secret *k, struct span digest, struct buf *out,
		    struct err *err);

#endif
