/*
 * result - all that a run found out; as JSON, and as a table for people
 */
#ifndef REHEARSE_RESULT_H
#define REHEARSE_RESULT_H

#include <jansson.h>
#include <stdio.h>

#include "rehearse/scenario.h"
#include "rehearse/server.h"
#include "rehearse/tally.h"

enum verdict { VERDICT_KEPT, VERDICT_BROKEN, VERDICT_UNKNOWN };

/* One promise, judged. */
struct judged {
	const char *word;
	char says[160];	 /* "at least 99 % of honest deliveries" */
	char found[160]; /* "99.7 % of 312; p99 14 ms, quiet 6 ms" */
	enum verdict verdict;
};

/* A server look and when it was taken (ms since the run began). */
struct timed_look {
	ms_t at;
	struct server_look look;
};

struct ceiling {
	bool measured;
	double seconds;
	double visits;	/* ended per second: done or refused by a reply */
	double replies; /* heard per second */
	double opened;	/* connections per second */
	double held;	/* most open at once */
	double generator_cpu, canned_cpu; /* CPU-seconds */
};

struct result {
	const struct scenario *scenario;
	const struct tally *tally; /* complete */
	char server_name[64];	   /* --name */
	char target[64];
	char started[32]; /* UTC, ISO 8601 */
	uint64_t seed;
	double scale;
	unsigned workers;
	char cores[64];
	bool complete;			   /* all phases ran to their end */
	char why_not[200];		   /* else */
	double generator_cpu[PHASE_COUNT]; /* CPU-seconds of all generator processes */
	bool has_server;
	char kernel_from[80], cpu_from[80];
	struct timed_look edges[PHASE_COUNT + 1]; /* at the beginning of each phase, and the end */
	struct timed_look *looks;		  /* over time */
	size_t looks_n;
	bool server_alive; /* at the end */
	struct ceiling ceiling;
	int64_t log_budget; /* bytes per hour; 0: none was said */
	struct judged judged[PROMISES_MAX];
	size_t judged_n;
};

/* The figure of an actor in the attack phase, as compared with the ceiling. */
struct figures {
	double begun, ended, replies, done; /* per second */
	double held;			    /* most open at once */
	double of_ceiling; /* share of the ceiling that limits most; NAN if not measured */
	bool generator_limited; /* 0.8 of the ceiling or more */
};

void result_figures(const struct result *r, struct figures *out);

/* Fill judged[] from the scenario's promises (judge.c). */
void result_judge(struct result *r);

/* Everything, for programs; docs/rehearse.md describes it. NULL if out of memory. */
json_t *result_json(const struct result *r);

/* The table. Its own words only: nothing a server said is printed unescaped. */
void result_table(const struct result *r, FILE *out);

#endif
