/*
 * batch - what nft reads, and what it answers
 *
 * One table of our own, family inet. For each group of ports a set with them, a chain, and
 * a set for each prefix length that is in use:
 *
 *     table inet holdfast {
 *             counter dropped { }
 *             chain made_by_holdfast { }
 *             set smtp_ports { type inet_service; elements = { 25 } }
 *             set smtp_v4_21 { type ipv4_addr; size 202001; flags timeout; }
 *             chain smtp {
 *                     ip saddr & 255.255.248.0 @smtp_v4_21 counter name dropped drop
 *             }
 *             chain input {
 *                     type filter hook input priority raw; policy accept;
 *                     tcp dport @smtp_ports jump smtp
 *             }
 *     }
 *
 * Hash sets with masked look-ups, not interval sets: there one element that overlaps
 * another has a whole batch refused. Hook input, not prerouting: there ports are what our
 * listeners have (after redirects), and what is only forwarded is not ours to drop; it
 * comes before all filters of that hook, so that neither they nor the tracking of
 * connections (which confirms at its end) are kept busy. No look at the state of
 * connections: those that a banned client has open are dropped, too.
 *
 * Each set has an element that nobody sends from (0.0.0.0, 100::), which is how somebody
 * else's flush is noticed without reading the sets, which nft takes seconds for.
 *
 * All functions write into a buf; one that is too small is marked full. Pure.
 */
#ifndef FIREWALL_BATCH_H
#define FIREWALL_BATCH_H

#include "conf/conf.h"

/* What a batch of FIREWALL_BATCH items needs, renewals of long prefixes and new sets included. */
#define BATCH_BYTES 524288

#define BATCH_LENGTHS 168 /* 0 to 32 of IPv4, 0 to 128 of IPv6, and room */

enum batch_op {
	BATCH_ADD,   /* it is not there */
	BATCH_RENEW, /* it may be there, with another time */
	BATCH_DROP,  /* it may be there */
};

struct batch_item {
	struct net net;
	enum batch_op op;
	uint32_t seconds; /* 0: for good */
};

/* The table: what it is called, which lengths have a set and a rule by now, which ports. */
struct table {
	const char *name; /* borrowed */
	int64_t max;	  /* prefixes of one length */
	size_t port_count;
	uint16_t ports[LISTENERS_MAX];
	bool has[BATCH_LENGTHS];
	size_t rules; /* how many lengths that is */
};

/* Letters, digits, _ and -, a letter or _ first, at most 31. */
bool table_name_ok(const char *name);
/* The ports that clients connect to themselves: not those of proxies. */
void table_ports(struct table *t, const struct conf *conf);

/* Succeeds if there is no such table (only checked, like the three that follow). */
void batch_absent(const struct table *t, struct buf *out);
/* Succeeds if there is one, and we made it. */
void batch_ours(const struct table *t, struct buf *out);
/* Succeeds if we may make tables at all, whether there is one or not. */
void batch_may(const struct table *t, struct buf *out);
/* Succeeds if it is all there: sets with their marks, ports, rules. */
void batch_whole(const struct table *t, struct buf *out);

/* Make it, without lengths; take an old one of ours away before. */
void batch_make(const struct table *t, bool replace, struct buf *out);
/* Fails, with nothing done, if there is none, or one that we did not make. */
void batch_remove(const struct table *t, struct buf *out);
/* The ports are others. */
void batch_ports(const struct table *t, struct buf *out);
/*
 * Change elements, in one transaction; for a length that is new, make set and rule first.
 * Those are marked in *t only by batch_done().
 */
void batch_items(const struct table *t, const struct batch_item *items, size_t n,
		 struct buf *out);
void batch_done(struct table *t, const struct batch_item *items, size_t n);
/* Ask for the packets that were dropped since the last time. */
void batch_count(const struct table *t, struct buf *out);
/* The answer. False: that is not one. */
MUST bool batch_counted(struct span text, uint64_t *packets);

/* The first line of what nft complains of, without its place in the batch. */
struct span batch_complaint(struct span text);

#endif
