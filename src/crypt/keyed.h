/*
 * keyed - what only we can make: keyed hashes that are too long to be guessed, and chance
 *
 * For what lets somebody in, where the 64 bits of base/siphash.h are too few.
 */
#ifndef CRYPT_KEYED_H
#define CRYPT_KEYED_H

#include "base/attr.h"
#include "base/span.h"

#define KEYED_KEY  32
#define KEYED_HASH 32

void keyed_random(void *out, size_t n);
/* Each part is hashed with its length, so that no two rows are one. */
void keyed_hash(const uint8_t key[KEYED_KEY], const struct span *parts, size_t count,
		uint8_t out[KEYED_HASH]);
/* In constant time. */
bool keyed_same(const uint8_t a[KEYED_HASH], const uint8_t b[KEYED_HASH]);

#endif
