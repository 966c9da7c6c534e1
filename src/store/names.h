/*
 * names - things that are found by name
 *
 * A table of pointers that grows as needed; hashes are keyed, so nobody can choose names
 * that collide. A thing embeds a struct name as its first member and belongs to whoever
 * made it.
 */
#ifndef STORE_NAMES_H
#define STORE_NAMES_H

#include "base/attr.h"
#include "base/span.h"

struct name {
	struct span text; /* lives with the thing */
	uint64_t hash;
};

struct names {
	struct name **slots; /* NULL: free */
	size_t cap;	     /* a power of two, or 0 */
	size_t count;
	uint64_t key[2];
};

void names_init(struct names *t, const uint64_t key[2]);
/* Forgets the things; it does not free them. */
void names_close(struct names *t);

/* NULL: there is none of that name. */
struct name *names_find(const struct names *t, struct span text);
/* Put one whose text is set and not in yet. False: out of memory. */
MUST bool names_put(struct names *t, struct name *n);
void names_drop(struct names *t, struct name *n);

/* Visit each: `for (i = 0; (n = names_each(t, &i)); )`. Do not put or drop meanwhile. */
struct name *names_each(const struct names *t, size_t *at);

#endif
