/*
 * budget - how many bytes the log may still take
 *
 * A leaky bucket that holds half of an hour's bytes and is refilled with the other half
 * over the hour. Whatever happens, the bytes let through in any 60 minutes are at most
 * what the bucket held at their start and what came in meanwhile: half and half. So a
 * burst can use up the bucket, but never silence the log for the rest of the hour.
 *
 * Three ranks drink from it. What peers cause leaves an eighth of the hour's bytes alone;
 * summaries and what is our own doing may use that, but leave a little for the last
 * rank: the lines that say that the budget is used up.
 */
#ifndef WATCH_BUDGET_H
#define WATCH_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/time.h"

enum budget_rank {
	BUDGET_PEER, /* what somebody outside can make us write */
	BUDGET_OURS, /* summaries, roles, reloads, troubles */
	BUDGET_LAST, /* "the budget is used up" */
};

struct budget {
	int64_t per_hour;
	int64_t level; /* bytes times MS_HOUR, so that a millisecond's refill is exact */
	ms_t then;
};

/* A full bucket. per_hour: 1 byte to 100 GiB. */
void budget_init(struct budget *b, int64_t per_hour, ms_t now);
/* Another size; what was used stays used. */
void budget_change(struct budget *b, int64_t per_hour, ms_t now);

/* Take n bytes, or say that there is no room for them and take nothing. */
MUST bool budget_take(struct budget *b, enum budget_rank rank, size_t n, ms_t now);

/* Bytes in the bucket now. */
int64_t budget_left(const struct budget *b);

/*
 * Go on where an earlier process stopped: with so many bytes left, so long ago. Never
 * more than a full bucket; with nonsense, an empty one.
 */
void budget_resume(struct budget *b, int64_t left, ms_t ago);

#endif
