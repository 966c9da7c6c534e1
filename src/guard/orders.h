/*
 * orders - what the administrator has ordered, in memory that watch writes and edges read
 *
 * A mapping made by the supervisor, so that an order holds at the next decision of every
 * edge, also of one that is busy, and outlives them all. No pointers; a reader checks what
 * it reads, and tries again a few times when it met the writer.
 *
 * Times are wall clock ms: an order is for hours and days, and is told to people.
 */
#ifndef GUARD_ORDERS_H
#define GUARD_ORDERS_H

#include "base/addr.h"
#include "base/err.h"
#include "base/time.h"
#include "spec/limits.h"

enum order_kind {
	ORDER_NONE,
	ORDER_BAN,    /* refuse it */
	ORDER_ALLOW,  /* let it in, whatever it does */
	ORDER_PARDON, /* bans that the guard put on it before `since` are lifted, and its
			 points forgotten (`unban`); for as long as such a ban can last */
	ORDER_KINDS
};

struct order {
	uint8_t kind;
	struct net net;
	int64_t since, until; /* until INT64_MAX: for good */
	char why[ORDER_WHY_MAX];
};

struct kick {
	uint64_t serial;  /* counts kicks; 0: none */
	uint64_t session; /* this one; 0: all of user, or of net */
	uint64_t user;	  /* as in struct seat; 0: all of net */
	struct net net;
};

/* A mailbox server that gets no new sessions, by its name in the configuration. */
struct drained {
	char name[BACKEND_NAME_MAX]; /* NUL-terminated */
};

struct orders; /* the mapping */

size_t orders_size(void);
void orders_init(void *mem);
MUST bool orders_ok(const void *mem, size_t n);

/* ---- watch --------------------------------------------------------------------------------- */

/* Replaces an order of the same net, of whatever kind. False: ORDERS_MAX are there. */
MUST bool orders_put(struct orders *o, const struct order *order, int64_t wall);
/* False: there is none for exactly that net. */
MUST bool orders_drop(struct orders *o, const struct net *net);
/* Free what has run out. How many. */
size_t orders_expire(struct orders *o, int64_t wall);
void orders_lockdown(struct orders *o, bool on, int64_t wall);
void orders_kick(struct orders *o, const struct kick *kick);
/* False: BACKENDS_MAX are drained already, or on is what it is. */
MUST bool orders_drain(struct orders *o, struct span name, bool on);
/* All, one after another; *at begins as 0. */
MUST bool orders_next(const struct orders *o, size_t *at, struct order *out);

/* ---- edges ----------------------------------------------------------------------------------- */

/*
 * The order for this address: an allow before a ban, then the longest prefix; orders that
 * have run out do not count. False: there is none. Pardons are found by orders_pardoned()
 * only.
 */
MUST bool orders_find(const struct orders *o, const struct addr *a, int64_t wall,
		      struct order *out);
/* Is there any order or any pardon? If not, nobody needs to ask further. */
bool orders_any(const struct orders *o);
bool orders_any_pardon(const struct orders *o);
/* Was what is held against this address or prefix forgiven? When, else 0. */
int64_t orders_pardoned(const struct orders *o, const struct net *n);
/* Since when; 0: there is none. */
int64_t orders_in_lockdown(const struct orders *o);
/* All mailbox servers that are drained, one after another; *at begins as 0. */
MUST bool orders_next_drained(const struct orders *o, size_t *at, struct drained *out);
bool orders_is_drained(const struct orders *o, struct span name);
/* Counts changes: while it is the same, nothing has changed. */
uint64_t orders_version(const struct orders *o);
/* Kicks since *serial (0: none yet; then only *serial is set). */
MUST bool orders_next_kick(const struct orders *o, uint64_t *serial, struct kick *out);

#endif
