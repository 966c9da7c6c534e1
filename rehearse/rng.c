#include "rehearse/rng.h"

#include <math.h>

#include "base/siphash.h"

/*
 * Neighbours in what and n must not resemble each other, and splitmix64 (below) would let them:
 * its states are a walk that all generators share. So where each begins is a hash.
 */
struct rng rng_of(uint64_t seed, uint64_t what, uint64_t n)
{
	const uint64_t key[2] = { seed, what };
	uint8_t bytes[8];

	/* the same on any machine */
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(n >> (8 * i));
	return (struct rng){ .state = siphash(key, span_of(bytes, sizeof(bytes))) };
}

/* splitmix64 (Steele, Lea, Flood 2014) */
uint64_t rng_next(struct rng *r)
{
	uint64_t z = (r->state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* The upper half of a product: no number is likelier than another by more than n in 2^64. */
uint64_t rng_below(struct rng *r, uint64_t n)
{
	__extension__ typedef unsigned __int128 wide;

	return (uint64_t)((wide)rng_next(r) * n >> 64);
}

double rng_fraction(struct rng *r)
{
	return (double)(rng_next(r) >> 11) * 0x1p-53;
}

double rng_gap(struct rng *r, double mean)
{
	return -mean * log1p(-rng_fraction(r));
}
