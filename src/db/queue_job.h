/*
 * queue_job - orders over many messages of the queue: in force at once, done in batches
 *
 * An order is a row. From the commit that puts it there on it is in force: what it is about is
 * not delivered any more (queue_take) and is caught when it arrives (queue_put), although the
 * rows of the messages follow in steps, between other work. It stays in force until all of
 * them have been looked at, or, if it is a standing order, until its time is over or it is
 * lifted. A purged message is kept for a day, so that every order but retry can be undone.
 *
 * A message that was changed by a later order is not touched by an earlier one: what was
 * released stays released.
 *
 * All but queue_job_reserve() and queue_jobs_at_work() inside a transaction.
 */
#ifndef DB_QUEUE_JOB_H
#define DB_QUEUE_JOB_H

#include "db/queue.h"

#define QUEUE_ORDERS_MAX 64 /* in force at once */
#define QUEUE_UNDO	 MS_DAY

enum queue_job_kind {
	JOB_HOLD,
	JOB_RELEASE,
	JOB_PURGE,
	JOB_RETRY,
	JOB_BRAKE, /* only a number and a reason: the messages come held (queue_message.incident) */
	JOB_KINDS
};

enum queue_job_state {
	JOB_RUNS,   /* its rows follow */
	JOB_STANDS, /* all rows are done; what arrives is caught */
	JOB_DONE,
	JOB_UNDOING, /* its rows go back */
	JOB_UNDONE,
	JOB_FINAL, /* it cannot be undone any more */
	JOB_STATES
};

struct queue_job_wish {
	uint32_t number; /* of queue_job_reserve() */
	enum queue_job_kind kind;
	bool standing;
	int64_t until;	       /* of a standing one; else 0 */
	struct span condition; /* where.h; of a brake: for people */
	struct span why;
};

/* The next number, used once; from any thread. */
uint32_t queue_job_reserve(struct queue *q);
/* Put an order in force; false also if there are too many, or the condition is none. */
MUST bool queue_job_make(struct queue *q, const struct queue_job_wish *wish, int64_t wall,
			 struct err *err);

#define QUEUE_STEP_MOST	 1000 /* messages changed in one transaction */
#define QUEUE_STEP_LEAST 100

struct queue_job_step {
	bool over;	   /* nothing is left to do */
	bool hurry;	   /* something is due now */
	uint32_t messages; /* changed in this step */
	int64_t gone;	   /* by so many there are fewer in the queue; may be negative */
};

/* The next rows of an order that runs or is being undone, so many at most. */
MUST bool queue_job_step(struct queue *q, uint32_t number, size_t most, int64_t wall,
			 struct queue_job_step *out, struct err *err);

/*
 * How many messages were purged when they were put or taken, since this was asked last. Not
 * while a transaction is under way.
 */
int64_t queue_purged(struct queue *q);

enum queue_job_answer {
	JOB_ANSWER_OK,
	JOB_ANSWER_NONE,     /* there is no such order */
	JOB_ANSWER_TOO_LATE, /* or it was undone, or is being undone */
	JOB_ANSWER_CANNOT,   /* retry, a brake: there is nothing to undo */
};

/* Out of force at once; the rows go back in steps. */
MUST bool queue_job_undo(struct queue *q, uint32_t number, int64_t wall,
			 enum queue_job_answer *out, struct err *err);
/* A standing order catches nothing any more; what it caught stays so. */
MUST bool queue_job_lift(struct queue *q, uint32_t number, int64_t wall,
			 enum queue_job_answer *out, struct err *err);
/* Standing orders whose time is over; purged messages that were kept long enough; old orders. */
MUST bool queue_jobs_tick(struct queue *q, int64_t wall, bool *more, queue_on_gone *gone,
			  void *arg, struct err *err);

/* Those that have steps to do: after a start. */
MUST bool queue_jobs_at_work(struct queue *q, void (*each)(void *arg, uint32_t number),
			     void *arg, struct err *err);

#endif
