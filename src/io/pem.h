/*
 * pem - are this certificate and this key a pair that can be used?
 *
 * For the loader, which judges them before any edge sees them.
 */
#ifndef IO_PEM_H
#define IO_PEM_H

#include "base/err.h"
#include "base/span.h"

struct pem_facts {
	bool expired;
	bool early;    /* not valid yet */
	int days_left; /* until it expires; negative afterwards */
};

/* chain: PEM, the server's own certificate first. key: PEM, without a passphrase. */
MUST bool pem_check(struct span chain, struct span key, struct pem_facts *facts,
		    struct err *err);

/* Does OpenSSL understand this list of ciphers for TLS 1.2? */
bool pem_ciphers_ok(const char *ciphers);

#endif
