/*
 * tally - what a run counts, in memory that all its processes share
 *
 * Each worker writes its own cells only, so nobody waits; the conductor reads them all.
 */
#ifndef REHEARSE_TALLY_H
#define REHEARSE_TALLY_H

#include "base/attr.h"
#include "base/err.h"
#include "base/time.h"
#include "rehearse/limits.h"
#include "rehearse/words.h"

#define TALLY_LATENCIES 1728 /* 27 octaves of 64 parts: 1 us to more than an hour */

/* One point in time of one actor in one worker. */
struct tally_bucket {
	uint32_t skipped; /* visits that were due and not begun: `parallel` were open */
	uint32_t begun;	  /* connections tried */
	uint32_t done;	  /* visits that got what they came for */
	uint32_t open;	  /* connections open when it was last looked at */
	uint32_t ended[STAGE_COUNT][END_COUNT]; /* visits, by stage reached (END_DONE: last stage) */
	uint32_t heard[STAGE_COUNT][3]; /* replies: yes, later, no */
};

/* Over a phase. */
struct tally_phase {
	uint64_t begun, done;
	uint64_t due;	  /* open loop: visits whose time came, begun or not */
	uint64_t skipped; /* of them: not begun, because `parallel` were open already */
	uint64_t no_port; /* of these: because we had no port, descriptor or memory left */
	uint64_t again;	  /* of those that ended: refused, and they will be tried again */
	uint64_t ended[STAGE_COUNT][END_COUNT];
	uint64_t heard[STAGE_COUNT][3];
	uint64_t breaches;
	uint64_t bytes_out, bytes_in;
	uint64_t open_most;  /* of one worker; summed up: see tally_sum_phase() */
	double latency_sum;  /* ms, of done visits */
	double latency_most; /* ms */
	uint32_t latency[TALLY_LATENCIES]; /* done visits, by tally_slot() */
};

/* A visit of an honest actor, kept whole. */
struct tally_sample {
	uint32_t due_ms;     /* since the run began: when it should have begun */
	uint32_t latency_us; /* from then to done, or to its end */
	uint8_t end, stage, phase, retry;
};

struct tally_actor {
	struct tally_bucket buckets[BUCKETS_MAX];
	struct tally_phase phases[PHASE_COUNT];
	uint32_t left;		      /* addresses that left for good */
	char breach[120];	      /* the first one */
	uint32_t samples_n;	      /* of samples; more are only counted in phases */
	struct tally_sample *samples; /* also shared; NULL unless honest */
};

struct tally {
	ms_t began;  /* monotonic ms; now, unless set before the workers start */
	ms_t bucket; /* ms of one bucket */
	ms_t ends[PHASE_COUNT]; /* since began: when each phase is over */
	unsigned workers, actors;
	struct tally_actor *cells;  /* [worker * actors + actor] */
	double *cpu;		    /* [worker]: CPU-seconds used so far, written by it */
	uint32_t *refused_connects; /* [worker]: ECONNREFUSED in a row, all actors */
	volatile int *stop;	    /* everybody should end */
	size_t size; /* of the shared memory, which begins with the cells */
};

/*
 * workers: all processes that will write, honest ones included. honest[i]: actor i keeps
 * samples. Durations by phase in ms. A bucket is so long that the phases and twelve seconds
 * after them fit.
 */
MUST bool tally_open(struct tally *t, unsigned workers, unsigned actors,
		     const bool *honest, const ms_t phases[PHASE_COUNT], struct err *e);
void tally_close(struct tally *t);

struct tally_actor *tally_at(const struct tally *t, unsigned worker, unsigned actor);

/*
 * Which bucket, which phase a time since the beginning is in. What is later than all buckets is
 * in the last one. PHASE_COUNT: all is over.
 */
unsigned tally_bucket_of(const struct tally *t, ms_t since);
enum phase tally_phase_of(const struct tally *t, ms_t since);

/* Latencies: which slot, and the longest of a slot, in microseconds: at most 1.6 % too long. */
unsigned tally_slot(uint64_t us);
uint64_t tally_slot_us(unsigned slot);

/*
 * The sums over workers. *out is overwritten. open_most is what all workers together had at the
 * end of a bucket of this phase, or what one of them had at any time, whichever is more: so it
 * was surely reached.
 */
void tally_sum_phase(const struct tally *t, unsigned actor, enum phase p,
		     struct tally_phase *out);
void tally_sum_bucket(const struct tally *t, unsigned actor, unsigned bucket,
		      struct tally_bucket *out);
/* The q-quantile (0 to 1) of a phase in ms: this share of the done visits took no longer. NAN if
 * nothing was done. */
double tally_quantile(const struct tally_phase *p, double q);

#endif
