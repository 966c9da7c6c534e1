/*
 * tls_inner - what the two sides of TLS share
 *
 * tls.c has what both need; tls_server.c certificates and whoever comes to us, tls_client.c
 * those to whom we go. Nobody else includes this.
 */
#ifndef IO_TLS_INNER_H
#define IO_TLS_INNER_H

#include <openssl/ssl.h>

#include "io/hello.h"
#include "io/tls.h"
#include "spec/limits.h"

/* A name that a certificate is good for: "mx.example.org", or "*.example.org". */
struct name {
	char *text;
	SSL_CTX *use; /* borrowed from the certificates */
};

/* What belongs to one connection. */
struct of_ssl {
	struct tls *tls;
	struct hello hello; /* of a client of ours */
};

struct tls {
	size_t holders; /* whoever opened it, and each connection */
	struct tls_setup setup;
	char ciphers[TEXT_MAX];
	SSL_CTX *client; /* made when it is first needed */
	size_t count;
	SSL_CTX *certificates[CERTIFICATES_MAX];
	size_t name_count;
	struct name *names;
};

/* What OpenSSL says about it. */
bool tls_failed(struct err *err, const char *what);
/* The oldest version that is spoken, as OpenSSL numbers them. */
int tls_oldest(const struct tls *t);
/* NULL: it cannot be made. */
SSL_CTX *tls_make_context(const struct tls *t, const SSL_METHOD *method, struct err *err);
SSL *tls_make_ssl(struct tls *t, SSL_CTX *c, int fd);

#endif
