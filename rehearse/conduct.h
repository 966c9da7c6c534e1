/*
 * conduct - one rehearsal from beginning to end
 */
#ifndef REHEARSE_CONDUCT_H
#define REHEARSE_CONDUCT_H

#include "rehearse/result.h"
#include "rehearse/target.h"

struct conduct_options {
	struct target targets[SERVICE_COUNT];
	const char *name; /* of the server in tables */
	const char *domain;
	struct span *recipients;
	size_t recipients_n;
	struct span *logins;
	size_t logins_n;
	uint64_t seed;
	double scale;	  /* for the report; already applied */
	unsigned workers; /* 0: as many as sessions and descriptors ask for */
	int cores[64];
	size_t cores_n;
	bool launched; /* pids[0] is a child of ours that has just been started */
	pid_t pids[SERVER_PIDS_MAX];
	unsigned pids_n;
	const char *logs[LOGS_MAX];
	unsigned logs_n;
	int64_t log_budget;
	double ceiling; /* seconds; 0: do not measure */
	bool progress;	/* a line on standard error */
};

/* How it went; also the exit status of the program. */
enum outcome {
	OUTCOME_OK = 0,
	OUTCOME_BROKEN = 1,	 /* a promise was broken (--strict) */
	OUTCOME_WRONG = 2,	 /* the call or the scenario */
	OUTCOME_UNREACHABLE = 3, /* nobody answers at the target */
	OUTCOME_DIED = 4,	 /* the server went away in the middle */
	OUTCOME_NO_ROOM = 5,	 /* descriptors, memory */
	OUTCOME_STOPPED = 130,	 /* Ctrl-C */
};

/*
 * Checks everything first (targets, addresses, descriptors, that the server answers), then plays.
 * *out is filled as far as it went, also for OUTCOME_DIED and OUTCOME_STOPPED; result_release() it
 * in any case. e is set unless OUTCOME_OK.
 */
MUST enum outcome conduct(struct scenario *s, const struct conduct_options *o,
			  struct result *out, struct tally *tally, struct err *e);
void result_release(struct result *r);

#endif
