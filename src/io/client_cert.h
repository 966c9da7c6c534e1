/*
 * client_cert - is this a client's certificate that an authority of ours vouches for, and
 * whose is it?
 *
 * An edge asks OpenSSL in the handshake, where the client also proves that it has the key;
 * auth asks again by itself, because an edge may be in somebody's hands. That proves what a
 * certificate says, not that its owner is there.
 */
#ifndef IO_CLIENT_CERT_H
#define IO_CLIENT_CERT_H

#include "base/buf.h"
#include "base/err.h"

struct x509_st;
struct client_authorities;

/* pem: certificates of authorities, at least one. */
MUST bool client_authorities_open(struct client_authorities **out, struct span pem,
				  struct err *err);
void client_authorities_close(struct client_authorities **a);

/* The mail address in it (subjectAltName); 0: there is none, or it does not fit. */
size_t client_cert_mail(const struct x509_st *cert, char *out, size_t room);
/*
 * The same of the first of a list of certificates in DER, the others being those between it
 * and an authority; 0 as well if none of the authorities vouches for it now.
 */
size_t client_cert_check(const struct client_authorities *a, struct span list, char *out,
			 size_t room);

#endif
