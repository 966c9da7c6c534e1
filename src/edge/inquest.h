/*
 * inquest - what the DNS says about one address
 *
 * All sessions of that address share it, and it is kept for as long as its records are good.
 * What zones say is kept as bits, and weighed when a session asks: a zone that has turned out
 * to be broken meanwhile counts for nothing. Part of facts.c: nobody else includes this.
 */
#ifndef EDGE_INQUEST_H
#define EDGE_INQUEST_H

#include "edge/inside.h"
#include "edge/zones.h"

#define INQUEST_BUCKETS 16384

struct asking;

struct inquest {
	struct inquiry *inquiry;
	struct addr addr;
	struct inquest *next;		 /* in its bucket */
	struct inquest *older, *younger; /* in the order of their use */
	bool kept;			 /* in a bucket */
	size_t holders;			 /* sessions */
	struct conn *askers;		 /* of them, those that were not told yet */
	struct zones *zones;		 /* held */
	struct asking *asking;		 /* NULL: all is known */
	ms_t good_until;
	uint32_t ttl; /* the shortest so far */
	bool no_ptr, has_names, failed;
	uint32_t listed; /* bits: zones */
	struct dns_name name;
};

struct inquiry {
	struct edge *edge;
	struct dns *dns;
	struct zones *zones; /* in force; NULL: there is no configuration yet */
	struct inquest *bucket[INQUEST_BUCKETS];
	struct inquest *oldest, *youngest;
	size_t count, asking;
	struct inquest refused; /* for those who are too many */
};

/* The one about this address; NULL: there is none, or no longer. */
struct inquest *inquest_find(struct inquiry *q, const struct addr *about);
/* Another one. NULL: too many are under way, or there is no memory. */
struct inquest *inquest_begin(struct inquiry *q, const struct addr *about);
/* Once a session holds it: answers may come while we ask. */
void inquest_ask(struct inquest *i);
/* Is there nothing more to come? */
bool inquest_is_known(const struct inquest *i);
/*
 * Can what is still asked refuse anything? A name that nobody has a list for is good to
 * know, and not worth a wait: where the DNS is dead, mail goes on as if there were none.
 * Who is listed waits for it, though: only when all is known is a listing weighed.
 */
bool inquest_is_awaited(const struct inquest *i);
/* Find it no more. The last session that holds it frees it. */
void inquest_unkeep(struct inquest *i);
void inquest_free_unless_held(struct inquest *i);

#endif
