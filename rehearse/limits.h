/*
 * limits - the ceilings of a rehearsal, all of them
 */
#ifndef REHEARSE_LIMITS_H
#define REHEARSE_LIMITS_H

#define ACTORS_MAX     16	  /* of one scenario, honest ones included */
#define STEPS_MAX      200	  /* of one dialogue */
#define STEP_TEXT_MAX  2000	  /* bytes of one step as written */
#define LISTS_MAX      32	  /* named lists of words of one scenario */
#define WORDS_MAX      100000	  /* of one list */
#define VALUES_MAX     16	  /* named values of one actor */
#define CHOICES_MAX    32	  /* of one value */
#define PROMISES_MAX   16	  /* of one scenario */
#define LOOPS_MAX      3	  /* repeats inside each other */
#define EXPAND_MAX     8192	  /* bytes of one step, values put in */
#define LINE_MAX_HEARD 4096	  /* of a reply's line, more is cut */
#define FILL_MAX       (64 << 20) /* bytes of one `fill` or `body` */

#define WORKERS_MAX	32	/* processes that hold sessions */
#define SESSIONS_MAX	500000	/* open at once, over all workers */
#define ADDRESSES_MAX	1000000 /* of one actor */
#define SECONDS_MAX	3600	/* of one phase */
#define RATE_MAX	200000	/* visits per second of one actor */
#define BUCKETS_MAX	600	/* points in time of one run */
#define SAMPLES_MAX	200000	/* visits of one honest actor, each kept */
#define SPARE_FDS	64	/* descriptors of a worker that are no session */
#define TARGETS_MAX	8
#define RECIPIENTS_MAX	10000
#define LOGS_MAX	16
#define SERVER_PIDS_MAX 16

#endif
