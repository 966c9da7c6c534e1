/*
 * explain_account - what happens to an account, since when, on what evidence, what lifts it
 *
 * A function of what the guard remembers of accounts at that moment, as explain.h is of
 * what it remembers of clients, and of what auth and the store know (watch/inquiry.h).
 * `part` says what a row is about:
 *
 *     verdict    what happens to who logs in as this user now, and what lifts that
 *     disabled   nobody can: since when, what enables it
 *     held-mail  what it sent and is held: how much, since when, what releases it
 *     unknown    what could not be found out in time
 *     diagnosis  what it is, in a sentence (says), how sure that is, and why
 *     history    logins and failures, first of all the last ones
 *     stale      a device that has an old password: from where, since when
 *     storm      who comes without end: with which program, how often, for how long
 *     campaign   who tries it together
 *
 * Keys are stable: programs read them.
 */
#ifndef WATCH_EXPLAIN_ACCOUNT_H
#define WATCH_EXPLAIN_ACCOUNT_H

#include "watch/explain.h"

/* What other roles know of it; those that did not answer (says) are told to be silent. */
struct account_facts {
	bool auth_says, store_says;
	bool disabled;
	int64_t disabled_since; /* wall clock */
	int64_t held;		/* messages */
	int64_t held_since;	/* the oldest */
	int64_t incident;	/* that holds all of them; 0: none, or several */
};

/* user: in lower case, with its domain, as logged. */
void explain_account(const struct view *v, struct span user,
		     const struct account_facts *facts, ms_t now, int64_t wall,
		     const struct explain_to *to);

/* One row for each campaign; their number. */
size_t explain_campaigns(const struct view *v, ms_t now, int64_t wall,
			 const struct explain_to *to);

#endif
