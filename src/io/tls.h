/*
 * tls - certificates and how they are used, for many connections
 *
 * One of these is made from the configuration, and another at each reload; sessions keep
 * the one they began with. Which certificate a peer sees is decided by the name it asks
 * for (SNI): exact names first, then wildcards, else the first certificate.
 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include "base/err.h"
#include "base/span.h"

struct tls;
struct ssl_st;

struct tls_setup {
	bool only_13;	     /* refuse TLS 1.2; older ones are always refused */
	const char *ciphers; /* for TLS 1.2, in OpenSSL's notation; "": its default */
};

/* With no certificate yet. Held once, by the caller. */
MUST bool tls_open(struct tls **out, const struct tls_setup *setup, struct err *err);
/* Let go; freed when the last connection made with it has. */
void tls_close(struct tls **t);

/* chain: PEM, the server's own certificate first. key: PEM. The first added is the default. */
MUST bool tls_add(struct tls *t, struct span chain, struct span key, struct err *err);

bool tls_has_certificates(const struct tls *t);

/* What was agreed on, as words. */
struct tls_facts {
	const char *version; /* "TLSv1.3" */
	const char *cipher;
	int bits;
};

/* For io/stream: the server side of a connection; NULL: out of memory. */
struct ssl_st *tls_server(struct tls *t, int fd);
/* For io/stream: the client side. name: for SNI, "" for none. Certificates are not checked. */
struct ssl_st *tls_client(struct tls *t, int fd, const char *name);
void tls_release(struct ssl_st **ssl);

#endif
