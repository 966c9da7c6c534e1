/*
 * distinct - how many different things somebody tried, in 33 bytes
 *
 * Exact up to eight (their hashes are kept), then a sketch (HyperLogLog, 64 registers of
 * 4 bits, about 13 % off). The same thing again changes nothing: a client that repeats one
 * wrong name is one that tried one name. Feed it a keyed hash.
 */
#ifndef GUARD_DISTINCT_H
#define GUARD_DISTINCT_H

#include <stdbool.h>
#include <stdint.h>

#define DISTINCT_EXACT 8

struct distinct {
	uint8_t n;	   /* so many hashes of 4 bytes; 255: the sketch */
	uint8_t bytes[32]; /* either */
};

/* All zero is the empty set. True: it was new (always exact up to eight). */
bool distinct_add(struct distinct *d, uint64_t hash);
uint32_t distinct_count(const struct distinct *d);
bool distinct_is_exact(const struct distinct *d);
void distinct_merge(struct distinct *into, const struct distinct *from);

#endif
