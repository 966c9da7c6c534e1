/*
 * ring - one of several, always the same for a name, each as often as its weight says
 *
 * A consistent hash: when one leaves or comes, only the names that were or will be its own
 * move. It is not laid out as a ring of points but reckoned anew for each name (weighted
 * rendezvous hashing), which for some dozens costs less than a table that has to be kept.
 */
#ifndef BASE_RING_H
#define BASE_RING_H

#include <stdint.h>

#include "base/span.h"

#define RING_WEIGHT_MAX 65535

/*
 * How far that member is from this name, 0: nearest; the nearest of all is the one. weight:
 * at least 1.
 */
uint64_t ring_distance(struct span member, struct span name, uint32_t weight);

#endif
