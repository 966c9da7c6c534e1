/*
 * timers - who is to be woken next
 *
 * A heap. Those that are put off, as a deadline is with every byte that comes, cost nothing: they
 * stay where they are, are woken early, and are put in anew by whoever finds their time is not
 * up.
 */
#ifndef REHEARSE_TIMERS_H
#define REHEARSE_TIMERS_H

#include "base/attr.h"
#include "base/err.h"
#include "base/time.h"

struct timer {
	ms_t at;
	uint32_t who;
};

struct timers {
	struct timer *heap; /* owned */
	uint32_t *place;    /* owned, by who: index in heap + 1; 0: not there */
	uint32_t n;
};

/* For who from 0 to most - 1. */
MUST bool timers_open(struct timers *t, uint32_t most, struct err *e);
void timers_close(struct timers *t);

/* Wake `who` at this time or before. MS_NEVER changes nothing. */
void timers_put(struct timers *t, uint32_t who, ms_t at);
void timers_drop(struct timers *t, uint32_t who);

/* The time of the first one; MS_NEVER if there is none. */
ms_t timers_next(const struct timers *t);

/* The next one whose time has come is taken out. False: nobody's has. */
bool timers_take(struct timers *t, ms_t now, uint32_t *who);

#endif
