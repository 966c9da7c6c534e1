/*
 * pulses - the pulses of all roles, as watch reads them
 *
 * Each role's process has one. Its records go to the log; its counts stay readable while
 * it lives, and are added to those of the past when it has ended, so that totals are
 * exact since the start of the server.
 */
#ifndef WATCH_PULSES_H
#define WATCH_PULSES_H

#include "link/start.h"
#include "watch/journal.h"
#include "watch/keep.h"
#include "watch/log.h"

struct pulses;

/* log, keep: borrowed. */
MUST bool pulses_open(struct pulses **out, struct loop *loop, struct log *log,
		      struct keep *keep, struct err *err);
void pulses_close(struct pulses **p);

/* One more process; takes over the descriptors. */
MUST bool pulses_add(struct pulses *p, const struct start_pulse *pulse, struct err *err);
/* A process of that role has ended: the oldest one, if there are several. */
void pulses_drop(struct pulses *p, enum role role, unsigned number);
/* Who hears each record besides the log. */
struct pulses_tap {
	void (*on_record)(void *arg, enum role role, unsigned number,
			  const struct pulse_record *r);
	void *arg;
};

void pulses_tap(struct pulses *p, const struct pulses_tap *tap);
/* Deeds go to this journal as well; borrowed. */
void pulses_journal(struct pulses *p, struct journal *journal);
/* Read all there is: before the end. */
void pulses_drain(struct pulses *p);

/* Totals over all processes, those that have ended included. */
uint64_t pulses_events(const struct pulses *p, enum event e);
uint64_t pulses_ends(const struct pulses *p, enum end e);
uint64_t pulses_records(const struct pulses *p, enum record kind);
/* Over all living processes of a role; those that only go up, over the ended ones, too. */
int64_t pulses_gauge(const struct pulses *p, enum role role, enum gauge g);

/* The i-th process; false if there are not so many. */
struct pulses_one {
	enum role role;
	unsigned number;
	uint32_t pid;
	int64_t since; /* wall clock, when we heard of it */
	const struct pulse_reader *reader;
};

MUST bool pulses_get(const struct pulses *p, size_t i, struct pulses_one *out);

#endif
