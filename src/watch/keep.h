/*
 * keep - what watch must not forget when it dies
 *
 * A small file in its own directory, mapped shared: what is written there outlives the
 * process at once, kill -9 included. So a watch that is restarted neither starts the
 * hour's byte budget anew, nor loses the counts of roles that ended before. (A power cut
 * may lose it. Then counting starts anew, as it does with each start of the server.)
 */
#ifndef WATCH_KEEP_H
#define WATCH_KEEP_H

#include "base/err.h"
#include "link/pulse.h"
#include "spec/limits.h"

/* Counts of roles that have ended. */
struct keep_counts {
	uint64_t events[EVENT_COUNT];
	uint64_t ends[END_COUNT];
	uint64_t records[RECORD_COUNT];
	int64_t gauges[ROLE_COUNT][GAUGE_COUNT]; /* those that only go up */
};

/* When we first heard of a process. */
struct keep_born {
	uint32_t pid; /* 0: free */
	int64_t since;
};

struct keep {
	uint32_t magic, bytes;
	int64_t life;  /* which start of the server the counts belong to */
	int64_t began; /* when that was, wall clock */
	int64_t budget_left, budget_wall;
	uint64_t notes_at; /* how far the guard's notes of bans were read */
	bool orders_read;  /* from their file, in this life */
	struct keep_counts past;
	struct keep_born born[2 * ROLES_MAX];
};

/*
 * Map DIR/log/watch.state; life: a number that is another one for each start of the
 * server. What cannot be used starts empty. If the file cannot be had, err says why and
 * the memory is private: everything works but outliving this process.
 */
struct keep *keep_open(const char *directory, int64_t life, int64_t wall, struct err *err);
void keep_close(struct keep **k);

/* Since when that process is known: wall, if it is new. */
int64_t keep_since(struct keep *k, uint32_t pid, int64_t wall);
void keep_forget(struct keep *k, uint32_t pid);

#endif
