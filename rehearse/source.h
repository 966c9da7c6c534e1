/*
 * source - the addresses that an actor comes from
 *
 * To an IPv4 loopback target: 127.x.y.z. To ::1: only ::1. Inside a namespace of our own, to IPv4:
 * 198.18.0.0/15; to IPv6: addresses of 2001:db8::/32, each far one in a /48 of its own. Every actor
 * has a region that no other actor has.
 *
 * The regions are made for servers that count by network: no two actors share a /24, /21 or /48;
 * honest actors share no /16 with attackers; and the first actor, who is the main attacker, has
 * the largest. Far addresses go through as many /16, then /21, /24 and /26 as there are before
 * they come back to one; near ones fill a /24 before the next.
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
