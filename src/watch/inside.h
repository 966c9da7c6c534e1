/*
 * inside - what the guard knows inside a prefix, gathered client by client
 */
#ifndef WATCH_INSIDE_H
#define WATCH_INSIDE_H

#include "watch/view.h"

#define INSIDE_WORST 10

struct inside {
	struct net net;
	uint64_t clients, offenders, known_good, banned, sessions, connects, refused;
	bool partial; /* there was no time for all rows */
	size_t worst_count;
	struct guard_hot worst[INSIDE_WORST]; /* those with the most points */
	double points[INSIDE_WORST];
};

/* Count a client that is inside (watch/among.h finds them). */
void inside_add(struct inside *in, const struct view *v, const struct guard_hot *row,
		ms_t now, int64_t wall);

#endif
