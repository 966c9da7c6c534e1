/*
 * scenario - who does what, from how many addresses, at what rate, with what reaction
 *
 * Read from files in libconfig's format; docs/rehearse.md describes them, and
 * rehearse/scenarios and rehearse/honest are examples.
 */
#ifndef REHEARSE_SCENARIO_H
#define REHEARSE_SCENARIO_H

#include "base/attr.h"
#include "base/err.h"
#include "rehearse/script.h"

/* How the addresses of an actor lie: each in a /16 of its own as far as that goes, or side by side. */
enum spread { SPREAD_FAR, SPREAD_NEAR };

/* What a client does after it was refused. */
enum reaction_kind { REACT_NEXT, REACT_LEAVE, REACT_RETRY };

struct reaction {
	enum reaction_kind kind;
	double chance;	/* of leaving; otherwise as REACT_NEXT */
	ms_t after;	/* of retrying, from the same address */
	bool elsewhere; /* from another one */
	bool set;
};

struct actor {
	const char *name;
	const char *title;
	bool honest;
	enum service service;
	unsigned addresses;
	enum spread spread;
	struct script script;
	struct value *values;
	size_t values_n;

	/*
	 * Pace. rate > 0: open loop, visits per second over all addresses, whatever happens to
	 * them. visits > 0: each address comes that often, spread at random over the phase; rate
	 * is 0 here and follows from the length of the phase. Neither: closed loop, `parallel`
	 * visits at once, a new one `pause` after one has ended. parallel always bounds what is
	 * open at once; ramp bounds new connections per second (0: no bound).
	 */
	double rate;
	unsigned visits;
	unsigned parallel;
	double ramp;
	ms_t pause;
	ms_t patience; /* for each reply, and for the connection */
	bool even;     /* open loop at even gaps instead of random ones */

	/* By stage for a refusal there, else by how the visit ended. */
	struct reaction on_stage[STAGE_COUNT];
	struct reaction on_end[END_COUNT];
};

/* What must hold; judge.c knows the words. */
struct promise {
	const char *word; /* "served", "alive", "no-breach", ... */
	double limit;	  /* its number, if it takes one */
	bool has_limit;
	const char *actor; /* the name of one; NULL: all that it can be about */
};

struct scenario {
	const char *path;
	const char *id;	   /* "A4" */
	const char *title; /* "Relay bots" */
	const char *about;
	const char *ends; /* what must come out */
	ms_t phase[PHASE_COUNT];
	struct words lists[LISTS_MAX];
	size_t lists_n;
	struct actor actors[ACTORS_MAX]; /* attackers first, then those beside */
	size_t actors_n;
	struct promise promises[PROMISES_MAX];
	size_t promises_n;
	void *memory; /* owned: everything that is pointed to */
};

/*
 * Read the scenario in `path`, and from `honest` (a directory) the files NAME.conf of those that
 * are to be beside it: its own list, or `beside` (names, NULL-terminated) instead if not NULL.
 * e says file, line, and what to do. Unknown settings are errors.
 */
MUST bool scenario_open(struct scenario **out, const char *path, const char *honest,
			const char *const *beside, struct err *e);
void scenario_close(struct scenario **s);

/*
 * Make the attackers `factor` times as large or small: addresses, rates, parallel visits. At
 * least one of each stays. The honest stay as they are, because they are the measure. False, and
 * nothing has changed, if that is above a limit.
 */
MUST bool scenario_scale(struct scenario *s, double factor, struct err *e);

/*
 * Where NAME is: a path if it has a slash or ends in .conf, else NAME.conf in dir, without regard
 * to case, also by the beginning of the file name up to a dash ("A4" finds a4-relay-bots.conf) if
 * only one file begins so. e lists what there is.
 */
MUST bool scenario_find(const char *name, const char *dir, char *path, size_t cap,
			struct err *e);

#endif
