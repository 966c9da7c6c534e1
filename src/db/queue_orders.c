/*
 * Which orders are in force, and what they do to a message. Each is kept with its question,
 * prepared: so one is asked of each message that arrives or is taken, without a parser.
 */
#include "db/queue_job_inner.h"

#include <stdlib.h>

static void close_order(struct in_force *o)
{
	if (o)
		sqlite3_finalize(o->st);
	free(o);
}

void queue_orders_close(struct queue *q)
{
	while (q->order_count > 0)
		close_order(q->order[--q->order_count]);
}

struct in_force *queue_order_find(const struct queue *q, uint32_t number)
{
	for (size_t i = 0; i < q->order_count; i++)
		if (q->order[i]->number == number)
			return q->order[i];
	return NULL;
}

void queue_order_end(struct queue *q, uint32_t number)
{
	for (size_t i = 0; i < q->order_count; i++) {
		if (q->order[i]->number != number)
			continue;
		close_order(q->order[i]);
		q->order[i] = q->order[--q->order_count];
		q->orders_touched = true;
		return;
	}
}

bool queue_order_begin(struct queue *q, uint32_t number, enum queue_job_kind kind,
		       int64_t until, struct span condition, struct err *err)
{
	struct in_force *o;

	if (q->order_count == QUEUE_ORDERS_MAX)
		return err_set(err,
			       "%d orders are in force already: `holdfast queue orders`",
			       QUEUE_ORDERS_MAX);
	o = calloc(1, sizeof(*o));
	if (!o)
		return err_set(err, "out of memory");
	o->number = number;
	o->kind = kind;
	o->until = until;
	if (!where_parse(&o->where, condition, err) ||
	    !queue_ask(&q->sql, "select m.id, m.size", queue_base(kind, &o->where),
		       &o->where, &o->st, err)) {
		close_order(o);
		return false;
	}
	q->order[q->order_count++] = o;
	return true;
}

static bool load_rows(struct queue *q, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_JOBS_IN_FORCE);
	bool row;

	for (;;) {
		int64_t until;

		if (!sql_row(&q->sql, st, &row, "reading orders", err))
			return false;
		if (!row)
			return true;
		until = sqlite3_column_int64(st, 2);
		if (queue_order_begin(q, (uint32_t)sqlite3_column_int64(st, 0),
				      (enum queue_job_kind)sqlite3_column_int(st, 1),
				      until ? until : MS_NEVER, sql_text(st, 3), err))
			continue;
		sqlite3_reset(st);
		return false;
	}
}

bool queue_orders_load(struct queue *q, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_JOB_NEWEST);
	uint32_t newest;
	bool row;

	queue_orders_close(q);
	q->orders_touched = false;
	if (!sql_row(&q->sql, st, &row, "reading orders", err))
		return false;
	newest = row ? (uint32_t)sqlite3_column_int64(st, 0) : 0;
	sqlite3_reset(st);
	if (newest > q->job_last)
		__atomic_store_n(&q->job_last, newest, __ATOMIC_RELAXED);
	return load_rows(q, err);
}

/* ---- one message ------------------------------------------------------------------------------ */

/* A query about one message, with one more number. */
bool queue_job_set(struct queue *q, enum query which, uint64_t id, int64_t number,
		   struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, which);

	sql_bind(st, 1, queue_key(id));
	sql_bind(st, 2, number);
	return sql_run(&q->sql, st, "changing a message", err);
}

bool queue_job_set_at(struct queue *q, enum query which, uint64_t id, uint32_t number,
		      int64_t wall, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, which);

	sql_bind(st, 1, queue_key(id));
	sql_bind(st, 2, number);
	sql_bind(st, 3, wall);
	return sql_run(&q->sql, st, "changing a message", err);
}

/* What waits of it waits no more. What is fresh is in nobody's hands yet. */
bool queue_job_stop(struct queue *q, uint64_t id, bool fresh, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, fresh ? Q_JOB_FRESH : Q_HOLD);

	sql_bind(st, 1, queue_key(id));
	return sql_run(&q->sql, st, "stopping recipients", err);
}

bool queue_order_apply(struct queue *q, const struct in_force *o, uint64_t id, bool fresh,
		       int64_t wall, struct err *err)
{
	struct queue_changed changed;

	switch (o->kind) {
	case JOB_HOLD:
		return queue_job_set(q, Q_JOB_HOLD, id, o->number, err) &&
		       queue_job_stop(q, id, fresh, err);
	case JOB_PURGE:
		return queue_job_set_at(q, Q_JOB_PURGE, id, o->number, wall, err) &&
		       queue_job_stop(q, id, fresh, err);
	case JOB_RELEASE:
		return queue_job_set_at(q, Q_JOB_RELEASE, id, o->number, wall, err) &&
		       queue_job_set(q, Q_RELEASE, id, wall, err);
	case JOB_RETRY:
		return queue_change(q, QUEUE_RETRY, id, wall, &changed, NULL, NULL, err);
	case JOB_BRAKE:
	case JOB_KINDS:
		break;
	}
	return true;
}

static bool ask_one(struct queue *q, const struct in_force *o, uint64_t id, int64_t wall,
		    bool *hit, int64_t *size, struct err *err)
{
	bool row;

	sqlite3_reset(o->st);
	sql_bind(o->st, 1, queue_key(id) - 1);
	sql_bind(o->st, 2, queue_key(id));
	sql_bind(o->st, 3, o->number);
	queue_ask_bind(o->st, &o->where, wall);
	if (!sql_row(&q->sql, o->st, &row, "asking an order", err))
		return false;
	*hit = row;
	*size = row ? sqlite3_column_int64(o->st, 1) : 0;
	sqlite3_reset(o->st);
	return true;
}

bool queue_catch(struct queue *q, uint64_t id, bool fresh, int64_t wall, bool *caught,
		 struct err *err)
{
	int64_t size;

	*caught = false;
	for (size_t i = 0; !*caught && i < q->order_count; i++) {
		const struct in_force *o = q->order[i];

		if ((o->kind != JOB_HOLD && o->kind != JOB_PURGE) || wall >= o->until)
			continue;
		if (!ask_one(q, o, id, wall, caught, &size, err))
			return false;
		if (*caught && (!queue_order_apply(q, o, id, fresh, wall, err) ||
				!queue_job_set(q, Q_JOB_CAUGHT, o->number, size, err)))
			return false;
		q->purged_now += *caught && o->kind == JOB_PURGE;
	}
	return true;
}

int64_t queue_purged(struct queue *q)
{
	int64_t n = q->purged;

	q->purged = 0;
	return n;
}
