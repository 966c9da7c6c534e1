/*
 * pool - blocks of one size, lent and given back
 *
 * For what many connections need now and then but never all at once: an idle one holds no
 * block. A few that were given back are kept for the next, the others are freed.
 */
#ifndef IO_POOL_H
#define IO_POOL_H

#include <stddef.h>

#include "base/attr.h"

struct pool {
	size_t size;  /* of a block */
	size_t keep;  /* how many spare ones to keep at most */
	size_t spare; /* how many there are */
	size_t lent;  /* how many are out */
	void *first;  /* of the spare ones; each holds the next */
};

/* size is at least that of a pointer. */
void pool_init(struct pool *p, size_t size, size_t keep);
/* Free the spare ones. */
void pool_close(struct pool *p);

/* NULL: out of memory. Not zeroed. */
void *pool_take(struct pool *p);
/* NULL is fine. */
void pool_give(struct pool *p, void *block);

#endif
