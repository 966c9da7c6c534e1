/*
 * rcptmap - who gets mail here, as a map of keyed hashes in shared memory
 *
 * The store builds one and publishes it; edges look up. Only hashes are in it: an edge
 * that was broken into cannot list the users. Look-ups try, in order: the whole address;
 * the address without its detail (user+detail); the domain's catch-all. Case does not
 * matter (ASCII). About addresses of our domains that are made for bounces (SRS0=, SRS1=,
 * prvs=) the store is asked, which has the key.
 *
 * The store keeps its mapping writable: it may set and clear FULL in place, and say that the
 * map is stale, for there is somebody whom it does not know yet.
 */
#ifndef BASE_RCPTMAP_H
#define BASE_RCPTMAP_H

#include "base/attr.h"
#include "base/span.h"

enum rcpt_flag {
	RCPT_EXISTS = 1u << 0, /* an address */
	RCPT_DOMAIN = 1u << 1, /* a domain of ours; keyed by "@domain" */
	RCPT_ANY = 1u << 2,    /* a domain whose every user is accepted (catch-all) */
	RCPT_ASK = 1u << 3,    /* a domain with call-ahead: the store knows how to ask */
	RCPT_FULL = 1u << 4,   /* an address over quota */
};

struct rcptmap_head {
	uint32_t magic;
	uint32_t slots; /* a power of two */
	uint64_t key[2];
	uint64_t generation;
	char detail[8]; /* each byte of it separates user and detail; "" for none */
	uint32_t stale; /* 1: a newer one could not be made yet */
	uint32_t spare;
};

struct rcptmap_slot {
	uint64_t hash; /* 0: free */
	uint32_t flags;
	uint32_t spare;
};

/* How many bytes a map for that many entries takes. */
size_t rcptmap_size(size_t entries);
/* Make an empty map in zeroed memory of that size. */
void rcptmap_init(void *mem, size_t n, const uint64_t key[2], uint64_t generation,
		  struct span detail);
/* Add, or add flags to, "user@domain" or "@domain". False: the map is full. */
MUST bool rcptmap_put(void *mem, size_t n, struct span address, unsigned flags);
/* Set or clear RCPT_FULL of an address that is in it; safe while others look up. */
void rcptmap_mark_full(void *mem, size_t n, struct span address, bool full);

/* There is a newer list of which no map could be made; safe while others look up. */
void rcptmap_mark_stale(void *mem);
/* Then its "unknown" and "foreign" mean: ask again later. rcptmap_ok() must have said yes. */
bool rcptmap_is_stale(const void *mem);

/* Where in a local part the detail begins, its separator included; local.n: it has none. */
size_t rcptmap_detail(struct span local, struct span detail);

/* Is this a whole map? Check once when it is mapped. */
bool rcptmap_ok(const void *mem, size_t n);

/* What the map says about a recipient. rcptmap_ok() must have said yes. */
enum rcpt_answer {
	RCPT_IS_FOREIGN,
	RCPT_IS_UNKNOWN,
	RCPT_IS_KNOWN,
	RCPT_IS_FULL,
	RCPT_IS_ASK,
};

enum rcpt_answer rcptmap_look_up(const void *mem, size_t n, struct span address);

#endif
