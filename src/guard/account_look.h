/*
 * account_look - what the guard of accounts knows, for those who only look
 *
 * Times are of the monotonic clock, 0: never. A reader may be in another process than the
 * writer; what it meets half written is read again, a limited number of times.
 */
#ifndef GUARD_ACCOUNT_LOOK_H
#define GUARD_ACCOUNT_LOOK_H

#include "guard/accounts.h"
#include "spec/limits.h"

/* What a program does without end. */
enum storm_kind {
	STORM_OVER, /* logs in with the right secret, but has as many sessions as it may */
	STORM_SAME, /* gives the same wrong secret */
	STORM_KINDS
};

struct account_run {
	enum storm_kind kind;
	uint32_t count;		  /* 0: there is none */
	uint32_t lasted, seconds; /* in seconds; and in how many of them it came */
	uint32_t clients; /* different programs, as far as they were told apart: 3 is many */
	uint32_t even;	  /* of them, so many after the same time as the one before */
	uint32_t open;	  /* sessions that it has, of STORM_OVER */
	bool observed;	  /* it was refused nothing: it would have been */
	ms_t since, last;
	struct addr from;
	/* what it calls itself, and what its TLS hello looks like; printable, may be empty */
	uint8_t name_n, hello_n;
	char name[CLIENT_NAME_MAX], hello[HELLO_MAX];
};

/* Does it come by the clock, as only a program does? Every `*gap` seconds, about. */
bool account_run_steady(const struct account_run *r, uint32_t *gap);
/* How sure it is, of a hundred, that this is one program that runs away. */
unsigned account_run_sure(const struct account_run *r);

struct account_state {
	bool known;
	bool torn; /* it was being written all the time: numbers may not fit together */
	bool guarded;
	ms_t guarded_since, guarded_until;
	uint32_t places_wrong;	/* networks with wrong secrets within a week */
	uint32_t secrets_wrong; /* different ones, about */
	uint32_t failures, successes;
	uint32_t over;	      /* right, and refused for the number of sessions */
	uint32_t per_hour;    /* attempts, in this hour or the one before */
	uint32_t devices;     /* that are known */
	uint32_t new_devices; /* of them, those of the last day */
	uint32_t campaign;    /* that tries it; 0: none */
	bool sprayed;	      /* a secret was tried on it that many others were, too */
	bool stale;	      /* a device of its owner has an old password */
	struct addr stale_from;
	ms_t stale_since, last_failure, last_success;
	struct addr failed_from; /* the last time */
	uint32_t places_today;
	bool held;		/* too many of them: what it sends is held */
	struct account_run run; /* the worst of late */
};

void accounts_state(const struct accounts *a, struct span user, ms_t now, int64_t wall,
		    struct account_state *out);

/* How its attempts come. */
enum cadence { CADENCE_NONE, CADENCE_BURST, CADENCE_STEADY, CADENCE_SLOW, CADENCE_COUNT };

extern const char *const cadence_word[CADENCE_COUNT];

struct campaign_state {
	uint32_t number; /* 0: this place is free */
	uint32_t members, attempts, users, refused;
	ms_t since, last;
	uint64_t client;
	enum cadence cadence;
	const char *by;	 /* what its attempts have in common */
	char sample[64]; /* some users that it tried, with spaces between them */
};

/* i from 0 to shape.campaigns - 1. False: there is none in that place. */
MUST bool accounts_campaign(const struct accounts *a, size_t i, ms_t now,
			    struct campaign_state *out);

struct accounts_counts {
	uint32_t users, pairs, devices, prefixes, secrets, campaigns; /* rows in use */
};

/* Walks all of it: a millisecond. */
void accounts_counts(const struct accounts *a, struct accounts_counts *out);

#endif
