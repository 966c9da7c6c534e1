#include "base/ring.h"

#include "base/bug.h"
#include "base/siphash.h"

#define FRACTION 24 /* bits */

/*
 * -log2(h / 2^64), in 1/2^24: exponentially distributed if h is evenly, so that divided by
 * the weights the least of several is each with the chance that its weight gives it.
 */
static uint64_t minus_log2(uint64_t h)
{
	unsigned zeros;
	uint64_t x, log = 0;

	h |= 1; /* 0 has none */
	zeros = (unsigned)__builtin_clzll(h);
	x = h << zeros >> 32; /* 1 to 2, with 31 bits behind the point */
	for (unsigned i = 0; i < FRACTION; i++) {
		x = x * x >> 31;
		log <<= 1;
		if (x >> 32) {
			x >>= 1;
			log |= 1;
		}
	}
	return ((uint64_t)(zeros + 1) << FRACTION) - log;
}

/* Not secret: all edges, and those of tomorrow, must come to the same. */
uint64_t ring_distance(struct span member, struct span name, uint32_t weight)
{
	static const uint64_t key[2] = { UINT64_C(0x6d61696c626f78),
					 UINT64_C(0x72696e67) };
	uint64_t both[2] = { siphash(key, member), siphash(key, name) };

	BUG_IF(weight == 0 || weight > RING_WEIGHT_MAX);
	return (minus_log2(siphash(key, span_of(both, sizeof(both)))) << 16) / weight;
}
