/* What time does to orders: they end, are forgotten, and what they purged is dropped. */
#include "base/bug.h"
#include "db/queue_job_inner.h"

#define DROPS_AT_ONCE QUEUE_STEP_MOST
#define KEEP_JOBS     (30 * MS_DAY)

static bool expire(struct queue *q, int64_t wall, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_JOBS_EXPIRE);

	sql_bind(st, 1, wall);
	if (!sql_run(&q->sql, st, "ending orders", err))
		return false;
	for (size_t i = 0; i < q->order_count;) {
		struct in_force *o = q->order[i];
		struct queue_job_row j;
		bool found;

		if (wall < o->until) {
			i++;
			continue;
		}
		if (!queue_job_get(q, o->number, &j, &found, err))
			return false;
		/* its rows may still follow; it catches nothing, for its time is over */
		if (found && j.state == JOB_RUNS)
			i++;
		else
			queue_order_end(q, o->number);
	}
	return true;
}

struct dropped {
	size_t count;
	struct {
		uint64_t id, nonce;
		bool spooled;
	} row[DROPS_AT_ONCE];
};

static bool read_drops(struct queue *q, uint32_t number, int64_t before,
		       struct dropped *d, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_JOB_DROPS);
	bool row;

	d->count = 0;
	sql_bind(st, 1, number);
	sql_bind(st, 2, before);
	sql_bind(st, 3, DROPS_AT_ONCE);
	for (;;) {
		if (!sql_row(&q->sql, st, &row, "looking for messages", err))
			return false;
		if (!row)
			return true;
		BUG_IF(d->count == DROPS_AT_ONCE);
		d->row[d->count].id = (uint64_t)sqlite3_column_int64(st, 0);
		d->row[d->count].nonce = (uint64_t)sqlite3_column_int64(st, 1);
		d->row[d->count++].spooled = sqlite3_column_int(st, 2) != 0;
	}
}

/* What one order purged, a day ago or longer. */
static bool drop_some(struct queue *q, uint32_t number, int64_t wall, size_t *count,
		      queue_on_gone *gone, void *arg, struct err *err)
{
	struct dropped d;

	if (!read_drops(q, number, wall - QUEUE_UNDO, &d, err))
		return false;
	for (size_t i = 0; i < d.count; i++) {
		if (!queue_drop(q, d.row[i].id, d.row[i].nonce, wall, err))
			return false;
		gone(arg, d.row[i].id, d.row[i].spooled);
	}
	*count = d.count;
	return true;
}

static bool read_old(struct queue *q, int64_t before, struct queue_job_row *list,
		     size_t *count, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_JOBS_OLD);
	bool row;

	*count = 0;
	sql_bind(st, 1, before);
	for (;;) {
		if (!sql_row(&q->sql, st, &row, "reading orders", err))
			return false;
		if (!row)
			return true;
		BUG_IF(*count == DROPS_AT_ONCE);
		list[(*count)++] = (struct queue_job_row){
			.number = (uint32_t)sqlite3_column_int64(st, 0),
			.kind = (enum queue_job_kind)sqlite3_column_int(st, 1),
			.state = (enum queue_job_state)sqlite3_column_int(st, 2),
			.ended = sqlite3_column_int64(st, 3),
		};
	}
}

/* All that it ever caught came before it ended. */
static bool finish_old(struct queue *q, uint32_t number, int64_t wall, struct err *err)
{
	struct queue_job_row j;
	bool found;

	if (!queue_job_get(q, number, &j, &found, err) || !found)
		return !found;
	j.state = JOB_FINAL;
	j.ended = wall;
	return queue_job_note(q, &j, err);
}

bool queue_jobs_tick(struct queue *q, int64_t wall, bool *more, queue_on_gone *gone,
		     void *arg, struct err *err)
{
	sqlite3_stmt *prune;
	struct queue_job_row list[DROPS_AT_ONCE];
	size_t count, dropped = 0;

	*more = false;
	if (!expire(q, wall, err) || !read_old(q, wall - QUEUE_UNDO, list, &count, err))
		return false;
	for (size_t i = 0; i < count && dropped < DROPS_AT_ONCE; i++) {
		dropped = 0;
		if (list[i].kind == JOB_PURGE &&
		    !drop_some(q, list[i].number, wall, &dropped, gone, arg, err))
			return false;
		if (dropped == 0 && list[i].state == JOB_DONE &&
		    list[i].ended < wall - QUEUE_UNDO &&
		    !finish_old(q, list[i].number, wall, err))
			return false;
	}
	*more = dropped == DROPS_AT_ONCE;
	prune = sql_start(&q->sql, Q_JOBS_PRUNE);
	sql_bind(prune, 1, wall - KEEP_JOBS);
	return sql_run(&q->sql, prune, "forgetting orders", err);
}
