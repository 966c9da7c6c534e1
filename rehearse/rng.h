/*
 * rng - numbers that look random and are the same again with the same seed
 *
 * Every draw of a rehearsal belongs to something with a number (a visit, an address), and
 * its generator is made from the seed and that number: so a run does not depend on how
 * many workers share it, or who came first. The numbers are the same on every machine; to
 * change how they are made is to change what every seed plays.
 */
#ifndef REHEARSE_RNG_H
#define REHEARSE_RNG_H

#include <stdint.h>

struct rng {
	uint64_t state;
};

/* what: which kind of thing (a constant of the caller); n: which of them. */
struct rng rng_of(uint64_t seed, uint64_t what, uint64_t n);
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); /* 0 to n-1; 0 if n is 0 */
double rng_fraction(struct rng *r);	       /* 0 <= f < 1 */
/* A gap between events that come at random, with this mean (exponential). */
double rng_gap(struct rng *r, double mean);

#endif
