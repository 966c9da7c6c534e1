/*
 * cache - what was checked lately is not hashed again
 *
 * Wrong pairs of user and secret are remembered as 64 bits of a keyed hash, right ones as
 * 256 bits of another, whose key is new with each start of the process. Nothing of this is
 * ever on disk. Both are bound to the stored hash (or to the source that has no hash to
 * show), so that a new password makes both void.
 *
 * Of right ones there are few and for minutes, of wrong ones many and for hours. Rows are
 * fixed in number: a full bucket gives up what ends first.
 */
#ifndef AUTH_CACHE_H
#define AUTH_CACHE_H

#include "base/attr.h"
#include "base/span.h"
#include "base/time.h"

struct cache;

struct cache_pair {
	struct span user, secret, stored;
};

enum cache_says { CACHE_NOTHING, CACHE_RIGHT, CACHE_WRONG };

/* NULL: out of memory. */
struct cache *cache_open(void);
void cache_close(struct cache **c);

enum cache_says cache_ask(const struct cache *c, const struct cache_pair *p, ms_t now);
/* life: 0 remembers nothing */
void cache_right(struct cache *c, const struct cache_pair *p, ms_t now, ms_t life);
void cache_wrong(struct cache *c, const struct cache_pair *p, ms_t now, ms_t life);
/* Forget everything. */
void cache_reset(struct cache *c);

#endif
