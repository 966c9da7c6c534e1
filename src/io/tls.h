/*
 * tls - certificates and how they are used, for many connections
 *
 * One of these is made from the configuration, and another at each reload; sessions keep
 * the one they began with. Which certificate a peer sees is decided by the name it asks
 * for (SNI): exact names first, then wildcards, else the first certificate.
 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

struct stek;
struct tls;
struct ssl_st;

struct tls_setup {
	bool only_13;		 /* refuse TLS 1.2; older ones are always refused */
	const char *ciphers;	 /* for TLS 1.2, in OpenSSL's notation; "": its default */
	const struct stek *stek; /* for tickets, outlives this; NULL: keys of its own */
};

/* With no certificate yet. Held once, by the caller. */
MUST bool tls_open(struct tls **out, const struct tls_setup *setup, struct err *err);
/* Let go; freed when the last connection made with it has. */
void tls_close(struct tls **t);

/* chain: PEM, the server's own certificate first. key: PEM. The first added is the default. */
MUST bool tls_add(struct tls *t, struct span chain, struct span key, struct err *err);

bool tls_has_certificates(const struct tls *t);

/*
 * Ask clients for certificates, with those that were added so far. authorities: PEM. One that
 * has none, or another, is served all the same; tls_client_name() says who was believed.
 */
MUST bool tls_ask_clients(struct tls *t, struct span authorities, struct err *err);
/*
 * The mail address in the certificate of a client of ours that an authority vouches for;
 * 0: there is none, or it does not fit.
 */
size_t tls_client_name(const struct ssl_st *ssl, char *out, size_t room);
/* That certificate and those that came with it, in DER. False: there is none, or no room. */
MUST bool tls_client_chain(const struct ssl_st *ssl, struct buf *list);

/* How a server that we are the client of proves who it is. */
enum tls_proof {
	TLS_PROOF_NONE,	       /* not at all: any certificate will do (RFC 7435) */
	TLS_PROOF_AUTHORITIES, /* tls_trust() */
	TLS_PROOF_DANE,	       /* RFC 7672 */
};

/* A TLSA record (RFC 6698). */
struct tls_record {
	uint8_t usage, selector, matching;
	struct span bytes;
};

struct tls_peer {
	const char *name; /* for SNI, and what the certificate must be for; "": none */
	const char *also; /* with DANE-TA it may be for this one, too; "": none */
	enum tls_proof proof;
	size_t record_count; /* with DANE; at least one must be usable: tls_record_usable() */
	const struct tls_record *records;
};

/* The authorities that vouch for servers: a file in PEM. For clients. */
MUST bool tls_trust(struct tls *t, const char *path, struct err *err);
/* setup.only_13 has changed. For clients that come from now on: their authorities stay. */
void tls_refuse_12(struct tls *t, bool only_13);
/*
 * Is this a record that we can check, and that means something in SMTP? Those of usages 0
 * and 1 do not (RFC 7672, 3.1.3).
 */
bool tls_record_usable(const struct tls_record *r);

/* What was agreed on, as words. */
struct tls_facts {
	const char *version; /* "TLSv1.3" */
	const char *cipher;
	int bits;
	uint64_t hello; /* of a client of ours: a hash of its ClientHello (io/hello.h); 0: none */
};

/* What SCRAM-PLUS is bound to: tls-exporter (RFC 9266), tls-server-end-point (RFC 5929). */
#define TLS_BINDING_MAX 64
size_t tls_binding(struct ssl_st *ssl, uint8_t out[TLS_BINDING_MAX]);
/* For io/stream, whose tls_facts it completes. */
uint64_t tls_hello(const struct ssl_st *ssl);
/* The same as text (io/hello.h); empty without TLS. Good until ssl is released. */
struct span tls_hello_text(const struct ssl_st *ssl);

/* For io/stream: the server side of a connection; NULL: out of memory. */
struct ssl_st *tls_server(struct tls *t, int fd);
/* For io/stream: the client side; NULL: out of memory. */
struct ssl_st *tls_client(struct tls *t, int fd, const struct tls_peer *peer);
/* Why did a handshake fail? A few words. */
const char *tls_trouble(const struct ssl_st *ssl);
void tls_release(struct ssl_st **ssl);

#endif
