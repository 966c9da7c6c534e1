/*
 * gather - when to begin the next commit
 *
 * A commit costs a sync, whatever is in it. Those who were just answered are likely to be
 * back in a moment, and who is not in this commit waits for the whole of the next: so
 * where a sync takes long it pays to wait a little until as many are there as lately.
 * Whether it paid is noticed, and where it did not it is not done for a while. What
 * nobody waits for goes with what somebody does. No I/O here, and the time is told.
 */
#ifndef STORE_GATHER_H
#define STORE_GATHER_H

#include <stdbool.h>

#include "base/time.h"

#define GATHER_MOST ((ms_t)2)  /* so long the first waits for others at most */
#define GATHER_LAZY ((ms_t)50) /* so long what nobody waits for waits */
#define GATHER_MANY 2000       /* unless there is much of it */
#define GATHER_REST 50	       /* commits without waiting after it did not pay */

struct gather {
	unsigned urgent, lazy; /* in what is being filled */
	ms_t lazy_since;
	unsigned expected; /* so many urgent ones are likely to come */
	unsigned before;   /* so many were there when the last commit ended */
	ms_t until;	   /* they are waited for until then */
	bool waiting;	   /* which may be so long that it has to pay */
	unsigned rest;	   /* commits to come without waiting */
};

void gather_put(struct gather *g, bool urgent, ms_t now);
/* A commit of so many urgent ones has ended, after so long. */
void gather_ended(struct gather *g, unsigned urgent, ms_t took, ms_t now);
/* When to begin, if nothing more comes; MS_NEVER: there is nothing to commit. */
ms_t gather_when(const struct gather *g);
/* It begins now; how many urgent ones are in it. */
unsigned gather_begin(struct gather *g);

#endif
