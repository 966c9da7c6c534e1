/*
 * proxy - the PROXY header that a load balancer puts before a connection
 *
 * Versions 1 and 2 of the specification by HAProxy. The header has a ceiling, so that
 * whoever claims to be a proxy cannot make us wait for ever; extensions (TLVs) are
 * skipped. A header that says nothing about the client (LOCAL, UNKNOWN, unix sockets) is
 * good too: then the addresses of the connection itself count. proxy_print() is the other
 * side of it, for servers behind us.
 */
#ifndef WIRE_PROXY_H
#define WIRE_PROXY_H

#include "base/addr.h"

#define PROXY_HEADER_MAX 4096

enum proxy_got {
	PROXY_MORE, /* not whole yet; *in is untouched */
	PROXY_OK,   /* *in is behind the header */
	PROXY_BAD,  /* this is no PROXY header */
};

struct proxy {
	bool told; /* it says who the client is */
	struct endpoint peer, local;
};

MUST enum proxy_got proxy_next(struct span *in, struct proxy *out);

/*
 * Say for whom we come, in version 1 or 2. peer NULL: for nobody, to look whether the server
 * lives. Both ends of one connection; where the families differ, both are said as IPv6.
 */
void proxy_print(unsigned version, const struct endpoint *peer,
		 const struct endpoint *local, struct buf *out);

#endif
