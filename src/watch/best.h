/*
 * best - the few that matter most, out of very many
 *
 * A heap with a fixed place for each of the few: offering one more costs a comparison
 * unless it belongs to them.
 */
#ifndef WATCH_BEST_H
#define WATCH_BEST_H

#include <stddef.h>
#include <stdint.h>

struct best_one {
	double worth;
	uint64_t what; /* the caller's */
	uint32_t which;
};

struct best {
	struct best_one *one; /* borrowed: cap places */
	size_t n, cap;
	uint64_t offered;
};

void best_init(struct best *b, struct best_one *places, size_t cap);
void best_offer(struct best *b, const struct best_one *one);
/* Those with the most worth first. Nothing can be offered afterwards. */
void best_sort(struct best *b);

#endif
