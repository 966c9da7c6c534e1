/*
 * crowd - when the next visit of an actor is due, and from which address
 *
 * Pure: time is told, chance comes from the seed. One crowd is one worker's share of an actor: the
 * addresses i with i % workers == worker (or all of them if there are fewer addresses than
 * workers: then the visits are shared out instead, and an address leaves each worker by itself).
 *
 * In an open loop, the visits of all workers together are the same, however many workers there
 * are: their numbers, their addresses and when they are due. Only as many workers take part as
 * the actor has visits in parallel.
 */
#ifndef REHEARSE_CROWD_H
#define REHEARSE_CROWD_H

#include "rehearse/scenario.h"

struct crowd_address;
struct crowd_retry;

struct crowd_visit {
	uint64_t number; /* over all workers, unique; a retry has that of the first try */
	unsigned address; /* index */
	double due;    /* ms, the clock of `now`: when its first try should have begun */
	uint8_t retry; /* how often it was tried before */
};

struct crowd {
	const struct actor *actor; /* borrowed */
	unsigned index;		   /* of the actor */
	unsigned worker, workers;  /* of those that take part; worker >= workers: idle */
	uint64_t seed;
	struct crowd_address *addresses; /* owned */
	unsigned addresses_n;
	unsigned parallel; /* this worker's share */
	double rate;	   /* this worker's share, visits per second; 0: closed loop */
	double ramp;	   /* this worker's share; 0: no bound */
	unsigned open;
	unsigned left; /* addresses; those that several workers have count at one of them */
	bool over;     /* set by the caller: nobody begins any more */
	/* the rest belongs to crowd.c */
	double began, ends;	 /* ms */
	struct crowd_visit next; /* open loop: the next one that is ours; due NEVER: none */
	uint64_t counter;	 /* open loop: of all workers; closed loop: our own */
	uint64_t limit;
	double counter_due, gap; /* ms */
	uint32_t *present;	 /* owned: addresses that have not left */
	unsigned present_n;
	uint32_t *queue; /* owned: addresses by when they come next, a heap */
	unsigned queue_n;
	struct crowd_retry *retries; /* owned: a heap by time */
	unsigned retries_n, retries_cap;
	unsigned slots; /* closed loop: that have not begun at all */
	unsigned turn;
	double ramp_credit, ramp_at;
};

/* began, ends: on the clock of `now`, between these visits begin. */
MUST bool crowd_open(struct crowd *c, const struct actor *a, unsigned index,
		     unsigned worker, unsigned workers, uint64_t seed, ms_t began,
		     ms_t ends, struct err *e);
void crowd_close(struct crowd *c);

enum crowd_next { CROWD_VISIT, CROWD_SKIPPED, CROWD_WAIT };

/*
 * CROWD_VISIT: *out begins now; it counts as open until crowd_ended(). CROWD_SKIPPED: *out was
 * due, but `parallel` are open; it will not be made up for (attackers), or is still due (honest
 * ones wait: CROWD_WAIT is returned, and their time runs from when they were due). CROWD_WAIT:
 * nothing before *until (MS_NEVER: nothing any more, or only after a visit has ended).
 *
 * Nothing is due from `ends` on. Attackers that are late then are skipped; honest ones that were
 * due before may still begin, until the caller says that it is over, and then they are skipped.
 */
enum crowd_next crowd_next(struct crowd *c, double now, struct crowd_visit *out,
			   double *until);

/*
 * How it ended: decides whether the address leaves, retries, or goes on. A refusal (END_LATER,
 * END_NO, END_DROPPED) asks on_stage first, then on_end, all others on_end only; END_OVER asks
 * nothing. True: it was refused, and the same visit will be tried again before all is over.
 */
bool crowd_ended(struct crowd *c, const struct crowd_visit *v, enum end end,
		 enum stage stage, double now);

#endif
