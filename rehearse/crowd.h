/*
 * crowd - when the next visit of an actor is due, and from which address
 *
 * Pure: time is told, chance comes from the seed. One crowd is one worker's share of an actor: the
 * addresses i with i % workers == worker (or all of them if there are fewer addresses than
 * workers: then the visits are shared out instead).
 */
#ifndef REHEARSE_CROWD_H
#define REHEARSE_CROWD_H

#include "rehearse/scenario.h"

struct crowd_address;

struct crowd {
	const struct actor *actor; /* borrowed */
	unsigned index;		   /* of the actor */
	unsigned worker, workers;
	uint64_t seed;
	struct crowd_address *addresses; /* owned */
	unsigned addresses_n;
	unsigned parallel; /* this worker's share */
	double rate;	   /* this worker's share, visits per second; 0: closed loop */
	double ramp;	   /* this worker's share; 0: no bound */
	unsigned open;
	unsigned left;
	/* the rest belongs to crowd.c */
	uint64_t next_number;
	double next_due; /* ms */
	double ramp_credit;
	ms_t ramp_at;
	ms_t began, ends;
	struct crowd_retry *retries; /* owned: a heap by time */
	unsigned retries_n, retries_cap;
	unsigned turn;
};

struct crowd_visit {
	uint64_t number;  /* over all workers, unique */
	unsigned address; /* index */
	double due;	  /* ms, the clock of `now`: when it should have begun */
	uint8_t retry;	  /* how often it was tried before */
};

/* began, ends: on the clock of `now`, between these visits begin. phase_length in ms for `visits`. */
MUST bool crowd_open(struct crowd *c, const struct actor *a, unsigned index,
		     unsigned worker, unsigned workers, uint64_t seed, ms_t began,
		     ms_t ends, struct err *e);
void crowd_close(struct crowd *c);

enum crowd_next { CROWD_VISIT, CROWD_SKIPPED, CROWD_WAIT };

/*
 * CROWD_VISIT: *out begins now; it counts as open until crowd_ended(). CROWD_SKIPPED: a visit was
 * due, but `parallel` are open; it will not be made up for (attackers), or is still due (honest
 * ones wait: CROWD_WAIT is returned, and their time runs from when they were due). CROWD_WAIT:
 * nothing before *until (MS_NEVER: nothing any more, or only after a visit has ended).
 */
enum crowd_next crowd_next(struct crowd *c, double now, struct crowd_visit *out,
			   double *until);

/* How it ended: decides whether the address leaves, retries, or goes on. */
void crowd_ended(struct crowd *c, const struct crowd_visit *v, enum end end,
		 enum stage stage, double now);

#endif
