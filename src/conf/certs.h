/*
 * certs - the CERTS blob: certificates and keys on their way from the loader to an edge
 *
 * Four bytes of magic, then for each certificate three texts with 32-bit lengths
 * (little-endian): the file it came from, the PEM chain, the PEM key. The first is the
 * default. One without a key holds the authorities of clients (auth.client-authorities).
 * Its memfd is sealed, and only edges get it, and auth where clients log in with certificates.
 */
#ifndef CONF_CERTS_H
#define CONF_CERTS_H

#include "base/attr.h"
#include "base/buf.h"

struct cert {
	struct span name;  /* for logs */
	struct span chain; /* PEM, the server's own certificate first */
	struct span key;   /* PEM */
};

void certs_begin(struct buf *out);
void certs_put(struct buf *out, const struct cert *cert);

/*
 *     if (!certs_open(blob, &left)) ...
 *     while (certs_next(&left, &cert)) ...
 */
MUST bool certs_open(struct span blob, struct span *left); /* false: not a whole one */
MUST bool certs_next(struct span *left, struct cert *out);

#endif
