/*
 * judge - what may never be given to the kernel
 *
 * watch decides who is blocked; this is the last look, by the one role that could cut the
 * machine off, which does not trust what it is told. Pure.
 */
#ifndef FIREWALL_JUDGE_H
#define FIREWALL_JUDGE_H

#include "conf/conf.h"

enum refusal {
	REFUSAL_NONE,
	REFUSAL_STRANGE, /* no address that a client can have */
	REFUSAL_OWN,	 /* this machine, or its loopback network, is in it */
	REFUSAL_WIDE,	 /* wider than firewall.widest-ipv4, -ipv6 */
	REFUSAL_ALLOWED, /* an access list permits it, or something inside */
	REFUSAL_RELAY,	 /* proxy-from or xclient-from: others come through there */
	REFUSAL_FULL,	 /* firewall.max prefixes of that length are there already */
	REFUSAL_COUNT
};

/* For the log: "is an address of this machine". */
extern const char *const refusal_text[REFUSAL_COUNT];

/* What is judged by; all borrowed. */
struct judge {
	const struct conf *conf;
	const void *access; /* guard/access.h; NULL: there are no lists */
	size_t access_n;
	const struct addr *own; /* addresses of this machine */
	size_t own_count;
	int64_t wall;
};

/* All but REFUSAL_FULL. */
enum refusal judge_net(const struct judge *j, const struct net *n);

/* 192.0.2.0/24 is 24, 2001:db8::/32 is 32. */
unsigned net_length(const struct net *n);
bool net_is_v4(const struct net *n);
bool net_eq(const struct net *a, const struct net *b);
/* "192.0.2.0/24"; a single address without its length. */
void net_print_short(const struct net *n, struct buf *out);

#endif
