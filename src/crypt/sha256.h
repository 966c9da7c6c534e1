/*
 * sha256 - a hash of what comes in pieces (FIPS 180-4)
 */
#ifndef CRYPT_SHA256_H
#define CRYPT_SHA256_H

#include "base/attr.h"
#include "base/span.h"

#define SHA256_SIZE 32

struct sha256;

/* NULL: out of memory. */
struct sha256 *sha256_open(void);
void sha256_close(struct sha256 **h);

/* A failure shows at the end. */
void sha256_put(struct sha256 *h, struct span bytes);
/* The hash, and it begins anew. False: OpenSSL failed somewhere. */
MUST bool sha256_end(struct sha256 *h, uint8_t out[SHA256_SIZE]);

#endif
