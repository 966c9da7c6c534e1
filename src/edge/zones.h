/*
 * zones - the DNS blocklists and allow lists of a configuration, and whether they are well
 *
 * A zone must list 127.0.0.2 and must not list 127.0.0.1 (RFC 5782, 5); it is asked for
 * both now and then, and at once when it falls silent. One that is ill, or that says that
 * it does not serve us (127.255.255.*), counts for nothing until it is well again, and is
 * reported. For facts.c only.
 */
#ifndef EDGE_ZONES_H
#define EDGE_ZONES_H

#include "conf/conf.h"
#include "io/dns.h"

struct edge;
struct zones;

enum health { HEALTH_UNKNOWN, HEALTH_WELL, HEALTH_ILL };

struct zone {
	/* to read */
	struct dnsbl is;
	enum health health;
	/* ---- */
	struct zones *zones;
	const char *why; /* it is ill */
	unsigned silences;
	struct timer timer;
	unsigned testing; /* answers that are awaited */
	struct dns_lookup listed, clean;
	enum dns_result listed_result, clean_result;
	bool listed_well;
};

/* The zones of one configuration. */
struct zones {
	struct edge *edge;
	struct dns *dns;
	void (*on_known)(struct edge *e);
	size_t holders;
	uint32_t count;
	struct zone zone[DNSBLS_MAX];
};

/*
 * Held once, by the caller. on_known: the health of one is known for the first time. NULL:
 * out of memory.
 */
struct zones *zones_open(struct edge *e, struct dns *dns, const struct conf *conf,
			 void (*on_known)(struct edge *e));
struct zones *zones_hold(struct zones *z);
/* Leaves NULL; NULL is fine. */
void zones_let_go(struct zones **z);
/* Are these the zones of that configuration? */
bool zones_are_of(const struct zones *z, const struct conf *conf);

/* Ask one about an address. */
void zone_ask(struct zone *z, const struct addr *about, struct dns_lookup *l,
	      void (*on_answer)(void *arg, const struct dns_answer *a), void *arg);

enum zone_says { ZONE_SAYS_NO, ZONE_LISTS, ZONE_FAILS };

/* What its answer about a client means. */
enum zone_says zone_heard(struct zone *z, const struct dns_answer *a);
/* It did not answer in time. */
void zone_is_silent(struct zone *z);

#endif
