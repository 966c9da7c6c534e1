/*
 * tally - counts by key, the largest of them, in bounded memory
 *
 * While there are no more keys than rows, all counts are exact. When the rows are used up,
 * those that are not above the average go, and what they had counted is in `others`; a key that
 * comes back begins anew. So what is large stays, wherever it begins.
 */
#ifndef BASE_TALLY_H
#define BASE_TALLY_H

#include <stdint.h>

#include "base/attr.h"
#include "base/span.h"

#define TALLY_KEY     96 /* bytes of a key that count */
#define TALLY_COLUMNS 10
#define TALLY_ROWS    2048
#define TALLY_SLOTS   (2 * TALLY_ROWS)

struct tally_row {
	uint8_t key[TALLY_KEY];
	uint8_t n;
	int64_t sum; /* of the columns */
	int64_t bytes;
	int64_t column[TALLY_COLUMNS];
};

struct tally {
	uint64_t seed[2];
	size_t used;
	struct tally_row others; /* without a key */
	struct tally_row row[TALLY_ROWS];
	uint16_t slot[TALLY_SLOTS]; /* number of a row, plus 1 */
};

void tally_init(struct tally *t, const uint64_t seed[2]);
void tally_add(struct tally *t, struct span key, unsigned column, int64_t bytes);
/* The largest sums first. */
void tally_sort(struct tally *t);

static inline struct span tally_key(const struct tally_row *r)
{
	return span_of(r->key, r->n);
}

#endif
