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

/* Of the attackers together; of everybody if a scenario has none. */
void result_figures(const struct result *r, struct figures *out);

/*
 * Fill judged[] from the scenario's promises (judge.c). What a run that did not come to its end
 * cannot tell is VERDICT_UNKNOWN, as is everything that was not measured; `found` says why.
 */
void result_judge(struct result *r);

/*
 * The words of promises, for whoever reads scenario files:
 *
 *	served             per honest actor: `limit` per cent (99) of what was due in the attack was
 *	                   done, at a p99 of at most twice that of the quiet phase and 50 ms
 *	no-breach          nothing was heard that the dialogues call a breach
 *	falls              visits begin at no more than `limit` per cent of the rate of the attack's
 *	                   first tenth, in its last three quarters
 *	refused-at-connect at most `limit` visits of each attacker with one address (of the actor
 *	                   named: of all its addresses together) got past the greeting
 *	alive              the processes given by --server-pid are still the same
 *	memory             at most `limit` KiB more than before the attack for each session held
 *	log-budget         the log grows by no more than --log-budget an hour
 *	log-most           the log grows by no more than `limit` KiB, from the attack to the end
 *	held               `limit` per cent (100) of what the attackers hold open at once was open
 *	not-accepted       no message of an attacker was accepted
 */
enum promise_takes {
	PROMISE_TAKES_NOTHING, /* no limit may be given */
	PROMISE_MAY_TAKE,
	PROMISE_MUST_TAKE,
};

bool promise_known(const char *word);
enum promise_takes promise_takes(const char *word); /* of a known word */

/*
 * Word, limit and actor of a promise at once. about: the actor that it names, NULL if it names
 * none. e says what is wrong, and for an unknown word lists those there are.
 */
MUST bool promise_check(const struct promise *p, const struct actor *about, struct err *e);

/* Everything, for programs; docs/rehearse.md describes it. NULL if out of memory. */
json_t *result_json(const struct result *r);

/* This machine: the object `machine` of it. */
json_t *result_machine(void);

/* The table. Its own words only: nothing a server said is printed unescaped. */
void result_table(const struct result *r, FILE *out);

#endif
