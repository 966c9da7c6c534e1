/*
 * source - the addresses that an actor comes from
 *
 * To an IPv4 loopback target: 127.x.y.z. To ::1: only ::1. Inside a namespace of our own, to IPv4:
 * 198.18.0.0/15; to IPv6: addresses of 2001:db8::/32, each far one in a /48 of its own. Every actor
 * has a region that no other actor has.
 */
#ifndef REHEARSE_SOURCE_H
#define REHEARSE_SOURCE_H

#include <sys/socket.h>

#include "base/err.h"
#include "rehearse/scenario.h"
#include "rehearse/target.h"

/* False if that many addresses cannot be had towards this target; e says what can be done. */
MUST bool source_check(unsigned actor, const struct actor *a, const struct target *t,
		       struct err *e);

/* Address number i (below a->addresses) of actor number `actor`; port 0. */
void source_of(unsigned actor, const struct actor *a, const struct target *t, unsigned i,
	       struct sockaddr_storage *out, socklen_t *n);

#endif
