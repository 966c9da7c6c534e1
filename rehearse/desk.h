/*
 * desk - one process of canned: it accepts, and serves those it has accepted
 *
 * One epoll. A peer costs little while it is silent, and what may wait for all of them together is
 * bounded: who would be too much is hung up on.
 */
#ifndef REHEARSE_DESK_H
#define REHEARSE_DESK_H

#include <openssl/ssl.h>
#include <signal.h>

#include "rehearse/answers.h"
#include "rehearse/letter.h"

#define DESK_READ (16 * 1024) /* of one peer at once; holds any TLS record */
#define DESK_OUT  (16 * 1024) /* answers that wait for one write */

struct peer;

struct desk {
	struct answers_kind kind;
	bool bare, implicit_tls; /* see canned.h */
	bool alone;		 /* no other process accepts from the listener */
	SSL_CTX *tls;		 /* owned; NULL: none */
	struct letters letters;
	int listener;	    /* owned; does not block */
	unsigned room;	    /* peers at once: descriptors */
	unsigned open;	    /* peers now */
	struct peer *peers; /* owned */
	int poller;
	bool listening; /* the listener is in the poller */
	size_t waiting; /* bytes that wait */
	uint8_t in[ANSWERS_LINE + DESK_READ];
	uint8_t out[DESK_OUT];
};

/*
 * Until *stopped. Signals are let in (this mask) only while it waits. False: errno says why it
 * could not begin.
 */
MUST bool desk_serve(struct desk *d, const volatile sig_atomic_t *stopped,
		     const sigset_t *let_in);

#endif
