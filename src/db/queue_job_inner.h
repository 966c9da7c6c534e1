/*
 * queue_job_inner - what the files of orders over many messages share
 */
#ifndef DB_QUEUE_JOB_INNER_H
#define DB_QUEUE_JOB_INNER_H

#include "db/queue_inner.h"

/* ---- queue_job.c: an order as a row ---- */

struct queue_job_row {
	uint32_t number;
	enum queue_job_kind kind;
	enum queue_job_state state;
	bool standing;
	int64_t position, last, messages, bytes, ended;
};

MUST bool queue_job_get(struct queue *q, uint32_t number, struct queue_job_row *j,
			bool *found, struct err *err);
MUST bool queue_job_note(struct queue *q, const struct queue_job_row *j, struct err *err);

/* ---- queue_orders.c: an order in force ---- */

struct in_force *queue_order_find(const struct queue *q, uint32_t number);
/* False: there are too many, or the condition is none. */
MUST bool queue_order_begin(struct queue *q, uint32_t number, enum queue_job_kind kind,
			    int64_t until, struct span condition, struct err *err);
/* A rollback puts it back. */
void queue_order_end(struct queue *q, uint32_t number);
/* Do to that message what the order says. */
MUST bool queue_order_apply(struct queue *q, const struct in_force *o, uint64_t id,
			    bool fresh, int64_t wall, struct err *err);

/* A query about one message, with one more number. */
MUST bool queue_job_set(struct queue *q, enum query which, uint64_t id, int64_t number,
			struct err *err);
/* Likewise, and when: ordered. */
MUST bool queue_job_set_at(struct queue *q, enum query which, uint64_t id,
			   uint32_t number, int64_t wall, struct err *err);
/* What waits of it waits no more. What is fresh is in nobody's hands yet. */
MUST bool queue_job_stop(struct queue *q, uint64_t id, bool fresh, struct err *err);

#endif
