/*
 * walk - long work in slices, so that the loop is never held up
 *
 * A walk takes steps until it is done; after a few milliseconds of them, the others have
 * their turn. It answers for itself in on_end, which is called once, and frees it.
 */
#ifndef WATCH_WALK_H
#define WATCH_WALK_H

#include "io/loop.h"

enum walk_end {
	WALK_DONE,
	WALK_LATE,    /* its time was up */
	WALK_DROPPED, /* watch ends: answer nobody */
};

/* Embed it. */
struct walk {
	struct timer timer;
	struct walk *next, **here; /* in the list of all */
	ms_t until;
	/* One step: some dozens of rows. False: there are no more. */
	bool (*step)(struct walk *w);
	void (*on_end)(struct walk *w, enum walk_end how);
};

/*
 * step and on_end are set. It takes its first steps at once, and may be over, and freed,
 * when this returns. within: for how long at most.
 */
void walk_start(struct walk *w, struct walk **all, struct loop *loop, ms_t within);
/* Drop all of them. */
void walks_drop(struct walk **all);

#endif
