/*
 * trace - the Received field that we put before every message (RFC 5321, 4.4)
 *
 * What the peer said about itself is in it, so that is made harmless here: bytes that have
 * no place in a domain or an address literal become question marks.
 */
#ifndef SESSION_TRACE_H
#define SESSION_TRACE_H

#include "base/addr.h"
#include "session/session.h"

struct trace {
	struct span helo;	       /* as the peer said it */
	const struct addr *peer;       /* NULL: a program of this machine */
	const struct session_tls *tls; /* NULL: in the clear */
	struct span host;	       /* us */
	const char *with;	       /* ESMTP, ESMTPS, ... */
	uint64_t id;
	struct span rcpt; /* empty: none or several */
	int64_t wall;
};

/* At most TRACE_MAX bytes. */
void trace_print(const struct trace *t, struct buf *out);

/* "Fri, 16 Oct 2026 12:00:00 +0000" (RFC 5322, 3.3) */
void trace_print_date(int64_t wall, struct buf *out);

#endif
