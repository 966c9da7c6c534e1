/*
 * fade - how points decay: half of them are left after each half-life
 *
 * Without libm, so that the pure folders need nothing; off by less than a millionth.
 */
#ifndef GUARD_FADE_H
#define GUARD_FADE_H

#include <stdint.h>

/* What is left after `age`, in the unit of half_life. Time never adds: an age below 0 is 0. */
double fade(double points, int64_t age, int64_t half_life);

#endif
