/*
 * hello - what a client's program looks like, by its TLS ClientHello
 *
 * Two forms of the same. `text` is JA4 (version, SNI, how many ciphers and extensions, ALPN,
 * then hashes of the sorted ciphers and extensions), as public lists of programs have it:
 * for people. `hash` is for knowing a device again: as JA4, but without what comes and goes
 * from one connection to the next (resumption, padding). Both sort, because programs shuffle
 * their extensions, and leave out the random values of RFC 8701.
 */
#ifndef IO_HELLO_H
#define IO_HELLO_H

#include "base/span.h"
#include "spec/limits.h"

struct hello {
	uint64_t hash; /* 0: it could not be read */
	uint8_t text_n;
	char text[HELLO_MAX];
};

/* message: the whole handshake message (RFC 8446, 4), as received. Any bytes do no harm. */
void hello_read(struct span message, struct hello *out);

#endif
