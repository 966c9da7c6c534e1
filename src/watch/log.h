/*
 * log - one line for each record that is worth one
 *
 * time=... level=... log=WORD role=... from=... and what the record says. Records below
 * log.level are only counted; the others fold (watch/fold.h) and drink from the hour's
 * budget (watch/budget.h). What is not written is summed up in lines that say so:
 * log=folded for one kind and source, log=log-budget for want of budget, log=log-lost for
 * records that were overwritten before they could be read or lines that could not be
 * written. Together the lines account for every record.
 */
#ifndef WATCH_LOG_H
#define WATCH_LOG_H

#include "conf/conf.h"
#include "io/loop.h"
#include "link/pulse.h"
#include "watch/keep.h"

struct log;

/* conf and keep: borrowed; a new conf comes by log_conf(). */
MUST bool log_open(struct log **out, struct loop *loop, const struct conf *conf,
		   struct keep *keep, struct err *err);
void log_conf(struct log *l, const struct conf *conf);

/* A record that a role wrote. */
void log_record(struct log *l, enum role role, unsigned number,
		const struct pulse_record *r);
/* So many were overwritten before they could be read. */
void log_overwritten(struct log *l, uint64_t count);
/*
 * A record of watch about a client or prefix, by its first address; it folds and drinks
 * from the budget as one that an edge wrote. NULL: about nobody.
 */
void log_about(struct log *l, enum record kind, const struct addr *from,
	       struct span fields);
/* A record of watch itself. */
void log_own(struct log *l, enum record kind, struct span fields);

/* Why the log cannot be written now; empty if it can. */
const char *log_trouble(const struct log *l);
/* Bytes that may be written at once. */
int64_t log_budget_left(const struct log *l);
/* How many records were written as lines, and how many were only counted. */
uint64_t log_written(const struct log *l);
uint64_t log_unwritten(const struct log *l);

/* Sum up and write what is left. False: the writing thread hangs; exit without waiting. */
MUST bool log_finish(struct log *l);
/* After log_finish() said true, and after the loop is closed. */
void log_close(struct log **l);

#endif
