/*
 * call - one connection to a mailbox server, from its address up to the login
 *
 * The shell around session/backend.h: looks the host up, tries its addresses one after the
 * other, shakes hands, and reports one result. A login and the question whether a server is
 * there are both calls.
 *
 * The stream is its owner's, who goes on with it after YES; what the server has said behind
 * its answer is in `in` then. After anything else it is closed.
 */
#ifndef EDGE_CALL_H
#define EDGE_CALL_H

#include "conf/conf.h"
#include "io/dns.h"
#include "io/stream.h"
#include "session/backend.h"

#define CALL_IN	 (MAILBOX_PEER_LINE + 1024)
#define CALL_OUT BACKEND_OUT

struct call_setup {
	struct loop *loop;
	struct dns *dns;
	struct tls *tls;
	const struct backend *backend; /* borrowed */
	size_t count;		       /* of its addresses, if they are known */
	const struct addr *addresses;
	struct backend_setup talk; /* pop3, probe, who, with what */
	ms_t connect_timeout;
	struct stream *stream;
	/* for the stream: has to come to call_ready() */
	void (*on_ready)(void *arg);
	/* once, possibly before call_begin() returns; the call may be freed in it */
	void (*on_over)(void *arg);
	void *arg; /* of both */
};

enum call_state { CALL_LOOKS_UP, CALL_CONNECTS, CALL_TALKS, CALL_SHAKES, CALL_OVER };

struct call {
	struct call_setup setup;
	enum call_state state;
	struct backend_talk talk; /* its result, for the owner to read when it is over */
	bool ours;		  /* it failed for want of something of ours, */
	bool theirs;		  /* and not because of any of its addresses */
	bool resolved;		  /* what is in query was asked for */
	struct dns_query query;
	char host[TEXT_MAX];
	uint16_t port;
	size_t count, tried;
	struct addr addresses[DNS_ADDRESSES];
	ms_t greeted_by; /* by any of them; each has its share of the time */
	struct timer timer;
	bool shake; /* hands, once the output is written */
	ms_t wake;
	size_t in_n;
	struct buf out;
	uint8_t in[CALL_IN], out_mem[CALL_OUT];
};

/* c: not zeroed. */
void call_begin(struct call *c, const struct call_setup *setup);
void call_ready(struct call *c);
/* setup.talk.hold holds no more. */
void call_go(struct call *c);
/* Break it off if it is under way; the stream is closed unless it has ended with YES. Wipes. */
void call_end(struct call *c);

#endif
