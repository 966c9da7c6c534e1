/*
 * pace - how much one next hop is given at once, and when it is tried again
 *
 * A window begins small and grows by one after as many successes as it is wide; what says
 * that there is too much halves it. So a server gets what it can take, whatever that is,
 * and nobody has to configure it. No I/O here, and the time is told.
 */
#ifndef STORE_PACE_H
#define STORE_PACE_H

#include <stdint.h>

#include "base/time.h"

#define WINDOW_FIRST 2

struct window {
	unsigned size; /* 0: nothing is known yet */
	unsigned won;  /* successes since it grew */
};

/* Never 0, never more than `most`. */
unsigned window_size(const struct window *w, unsigned most);
void window_won(struct window *w, unsigned most);
void window_lost(struct window *w);

/*
 * How long a recipient waits after that many failed tries, the last one included: `first`,
 * doubled each time, at most `longest`; less up to an eighth, so that what failed together
 * is not tried together.
 */
ms_t pace_pause(uint32_t tries, ms_t first, ms_t longest, uint64_t seed);
/* How long a next hop that did not answer is left alone: the same, from a tenth of `first`. */
ms_t pace_back_off(uint32_t fails, ms_t first, ms_t longest, uint64_t seed);

#endif
