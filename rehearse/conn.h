/*
 * conn - one TCP connection of a client, plain or with TLS
 *
 * Never blocks. It is watched for both directions at once, by edges: who is told to wait has
 * read or written all there is, and will be told again.
 */
#ifndef REHEARSE_CONN_H
#define REHEARSE_CONN_H

#include <openssl/ssl.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "base/err.h"
#include "rehearse/target.h"

struct conn {
	int fd;	  /* owned; -1: none */
	SSL *ssl; /* owned; NULL: plain */
};

enum conn_went {
	CONN_OK,
	CONN_WAIT,
	CONN_EOF,
	CONN_LOST,
	CONN_REFUSED,	/* ECONNREFUSED: nobody listens */
	CONN_NO_ROOM,	/* no port, descriptor or memory on our side */
	CONN_FORBIDDEN, /* not a target (target.h), or not an address of ours */
};

/* Certificates are not checked. NULL: OpenSSL cannot. */
SSL_CTX *conn_tls(void);

/*
 * Begin to connect: CONN_WAIT, or why not. An event is due in `poller` with `tag` when it is made
 * or has failed. A connection that could not be begun needs no closing.
 */
enum conn_went conn_open(struct conn *c, int poller, uint64_t tag,
			 const struct sockaddr_storage *from, socklen_t from_n,
			 const struct target *to);

/* After the first event: CONN_OK: it is made, or was and has been reset already. */
enum conn_went conn_made(const struct conn *c);

/* CONN_OK: *n is how many; CONN_WAIT: none now; CONN_EOF, CONN_LOST: none any more. */
enum conn_went conn_read(struct conn *c, void *to, size_t room, size_t *n);
/* CONN_OK: *n is how many were taken. */
enum conn_went conn_write(struct conn *c, const void *from, size_t len, size_t *n);

/*
 * Shake hands, or go on with it: CONN_OK, CONN_WAIT or CONN_LOST. If TLS is there already, once more:
 * a renegotiation, which fails with TLS 1.3. old: TLS 1.2 at most.
 */
enum conn_went conn_shake(struct conn *c, SSL_CTX *tls, bool old);

/* Our port of it, 0 if it has none. */
uint16_t conn_port(const struct conn *c);

/* With FIN, or with RST. */
void conn_close(struct conn *c, bool reset);

#endif
