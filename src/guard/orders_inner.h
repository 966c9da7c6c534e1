/*
 * orders_inner - the mapping of orders, for who reads it (orders.c) and the one who writes
 * (orders_write.c)
 */
#ifndef GUARD_ORDERS_INNER_H
#define GUARD_ORDERS_INNER_H

#include <stdatomic.h>

#include "guard/orders.h"

#define INDEX	    4096       /* twice ORDERS_MAX, a power of two */
#define GONE	    UINT16_MAX /* of the index: was in use; look further */
#define LENGTHS	    129	       /* of prefixes: 0 to 128 */
#define BITS	    ((LENGTHS + 63) / 64)
#define WORDS	    (sizeof(struct order) / 8)
#define KICK_WORDS  (sizeof(struct kick) / 8)
#define DRAIN_WORDS (sizeof(struct drained) / 8)

_Static_assert(sizeof(struct order) % 8 == 0, "orders are copied word by word");
_Static_assert(sizeof(struct kick) % 8 == 0, "kicks are copied word by word");
_Static_assert(sizeof(struct drained) % 8 == 0, "names are copied word by word");
_Static_assert(ORDERS_MAX * 2 <= INDEX && ORDERS_MAX < GONE, "the index has room");

/* How many orders there are of each prefix length, and a bit for each length in use. */
struct lengths {
	_Atomic uint64_t used[BITS];
	uint16_t count[LENGTHS]; /* the writer's */
};

/*
 * Whatever a reader looks at is a word that is read at once. While the writer is at work
 * `turn` is odd; it grows by two with every change.
 */
struct orders {
	uint64_t magic, size;
	_Atomic uint64_t turn;
	_Atomic int64_t lockdown;
	_Atomic uint64_t serial; /* of the last kick */
	struct lengths found, pardons;
	uint32_t n, gone;	       /* the writer's: orders; marks in the index */
	_Atomic uint16_t index[INDEX]; /* slot + 1; 0: free */
	_Atomic uint64_t slots[ORDERS_MAX][WORDS];
	_Atomic uint64_t kicks[KICKS_MAX][KICK_WORDS];
	_Atomic uint64_t drained[BACKENDS_MAX][DRAIN_WORDS]; /* all zero: free */
};

/* ---- words ---------------------------------------------------------------------------- */

static inline void copy_out(const _Atomic uint64_t *from, void *to, size_t words)
{
	uint64_t w;

	for (size_t i = 0; i < words; i++) {
		w = atomic_load_explicit(&from[i], memory_order_relaxed);
		memcpy((uint8_t *)to + 8 * i, &w, 8);
	}
}

static inline uint64_t look(const struct orders *o)
{
	return atomic_load_explicit(&o->turn, memory_order_acquire);
}

/* Was nothing written since look()? */
static inline bool still(const struct orders *o, uint64_t turn)
{
	atomic_thread_fence(memory_order_acquire);
	return !(turn & 1) && atomic_load_explicit(&o->turn, memory_order_relaxed) == turn;
}

/* ---- nets ------------------------------------------------------------------------------ */

static inline struct net cut(const struct addr *a, unsigned bits)
{
	struct net n = { .addr = *a, .bits = (uint8_t)bits };
	size_t whole = bits / 8;

	if (bits % 8) {
		n.addr.ip[whole] &= (uint8_t)(0xff00u >> bits % 8);
		whole++;
	}
	memset(n.addr.ip + whole, 0, sizeof(n.addr.ip) - whole);
	return n;
}

/*
 * The place in the index of exactly this net. Also right about what it finds when the
 * writer is at work, so that the worst is to miss one that moves.
 */
bool orders_find_place(const struct orders *o, const struct net *n, uint32_t *place,
		       struct order *out);
/* Where to look for it first. */
uint32_t orders_home_of(const struct net *n);

#endif
