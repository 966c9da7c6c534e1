/*
 * worker - one process full of clients: sockets, handshakes, timers
 */
#ifndef REHEARSE_WORKER_H
#define REHEARSE_WORKER_H

#include "rehearse/scenario.h"
#include "rehearse/source.h"
#include "rehearse/tally.h"

struct plan {
	const struct scenario *scenario;
	const struct target *targets; /* by enum service */
	struct pool pool; /* lists; each actor's values are put in by the worker */
	struct tally *tally;
	uint64_t seed;
	unsigned workers;  /* that play attackers */
	bool honest_apart; /* worker number `workers` plays the honest, alone */
	const int *cores;  /* where workers may run; cores_n 0: anywhere */
	size_t cores_n;
	unsigned sessions_max;	   /* of one worker: descriptors */
	bool actor_on[ACTORS_MAX]; /* those that take part */
};

/*
 * Play until the last phase is over or *tally->stop. Called in a process of its own; returns its
 * exit status: 0, or 1 after a message on standard error. Handles SIGTERM and SIGINT as stop.
 */
int worker_run(const struct plan *p, unsigned worker);

#endif
