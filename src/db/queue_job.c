#include "db/queue_job.h"

#include "base/bug.h"
#include "db/queue_job_inner.h"

#define STEP_CHANGES QUEUE_STEP_MOST
#define STEP_LOOKS   4000

uint32_t queue_job_reserve(struct queue *q)
{
	return __atomic_add_fetch(&q->job_last, 1, __ATOMIC_RELAXED);
}

/* ---- making one ------------------------------------------------------------------------------- */

bool queue_job_make(struct queue *q, const struct queue_job_wish *wish, int64_t wall,
		    struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_JOB_PUT);
	bool brake = wish->kind == JOB_BRAKE;
	uint64_t newest;

	BUG_IF(wish->kind >= JOB_KINDS || wish->number == 0);
	if (!queue_newest(q, &newest, err))
		return false;
	sql_bind(st, 1, wish->number);
	sql_bind(st, 2, wish->kind);
	sql_bind(st, 3, brake ? JOB_FINAL : JOB_RUNS);
	sql_bind(st, 4, wish->standing);
	sql_bind(st, 5, wall);
	sql_bind(st, 6, wish->standing ? wish->until : 0);
	sql_bind(st, 7, brake ? wall : 0);
	sql_bind_text(st, 8, wish->condition);
	sql_bind_text(st, 9, wish->why);
	sql_bind(st, 10, queue_key(newest));
	if (!sql_run(&q->sql, st, "noting an order", err))
		return false;
	if (brake)
		return true;
	q->orders_touched = true;
	return queue_order_begin(q, wish->number, wish->kind,
				 wish->standing ? wish->until : MS_NEVER, wish->condition,
				 err);
}

/* ---- its rows --------------------------------------------------------------------------------- */

bool queue_job_get(struct queue *q, uint32_t number, struct queue_job_row *j, bool *found,
		   struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_JOB_GET);

	sql_bind(st, 1, number);
	*j = (struct queue_job_row){ .number = number };
	if (!sql_row(&q->sql, st, found, "reading an order", err))
		return false;
	if (!*found)
		return true;
	j->kind = (enum queue_job_kind)sqlite3_column_int(st, 0);
	j->state = (enum queue_job_state)sqlite3_column_int(st, 1);
	j->standing = sqlite3_column_int(st, 2) != 0;
	j->position = sqlite3_column_int64(st, 3);
	j->last = sqlite3_column_int64(st, 4);
	j->messages = sqlite3_column_int64(st, 5);
	j->bytes = sqlite3_column_int64(st, 6);
	sqlite3_reset(st);
	return true;
}

bool queue_job_note(struct queue *q, const struct queue_job_row *j, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_JOB_SET);

	sql_bind(st, 1, j->number);
	sql_bind(st, 2, j->state);
	sql_bind(st, 3, j->position);
	sql_bind(st, 4, j->messages);
	sql_bind(st, 5, j->bytes);
	sql_bind(st, 6, j->ended);
	return sql_run(&q->sql, st, "noting an order", err);
}

/* The ids to change, first: what they are found by changes. */
struct found {
	size_t count;
	uint64_t id[STEP_CHANGES];
	int64_t bytes;
	bool over; /* there are no more */
};

/* Up to which id is looked at in one step? That of the last message if there are few. */
static bool bound(struct queue *q, const struct queue_job_row *j, int64_t *out,
		  struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_JOB_BOUND);
	bool row;

	sql_bind(st, 1, j->position);
	sql_bind(st, 2, STEP_LOOKS - 1);
	if (!sql_row(&q->sql, st, &row, "looking for messages", err))
		return false;
	*out = row ? sqlite3_column_int64(st, 0) : j->last;
	*out = *out < j->last ? *out : j->last;
	sqlite3_reset(st);
	return true;
}

static bool find_some(struct queue *q, const struct in_force *o, struct queue_job_row *j,
		      size_t most, int64_t wall, struct found *f, struct err *err)
{
	bool row = true;
	int64_t until;

	if (!bound(q, j, &until, err))
		return false;
	sqlite3_reset(o->st);
	sql_bind(o->st, 1, j->position);
	sql_bind(o->st, 2, until);
	sql_bind(o->st, 3, o->number);
	queue_ask_bind(o->st, &o->where, wall);
	while (f->count < most) {
		if (!sql_row(&q->sql, o->st, &row, "looking for messages", err))
			return false;
		if (!row)
			break;
		f->id[f->count++] = (uint64_t)sqlite3_column_int64(o->st, 0);
		f->bytes += sqlite3_column_int64(o->st, 1);
	}
	j->position = row ? (int64_t)f->id[f->count - 1] : until;
	f->over = j->position >= j->last;
	sqlite3_reset(o->st);
	return true;
}

static bool step_on(struct queue *q, struct queue_job_row *j, size_t most, int64_t wall,
		    struct queue_job_step *out, struct err *err)
{
	const struct in_force *o = queue_order_find(q, j->number);
	struct found f = { 0 };

	BUG_IF(!o);
	if (!find_some(q, o, j, most, wall, &f, err))
		return false;
	for (size_t i = 0; i < f.count; i++)
		if (!queue_order_apply(q, o, f.id[i], false, wall, err))
			return false;
	out->messages = (uint32_t)f.count;
	out->gone = j->kind == JOB_PURGE ? (int64_t)f.count : 0;
	out->hurry = f.count && (j->kind == JOB_RELEASE || j->kind == JOB_RETRY);
	out->over = f.over;
	j->messages += (int64_t)f.count;
	j->bytes += f.bytes;
	if (!f.over)
		return queue_job_note(q, j, err);
	j->state = j->standing ? JOB_STANDS : JOB_DONE;
	j->ended = wall;
	if (!j->standing)
		queue_order_end(q, j->number);
	return queue_job_note(q, j, err);
}

/* ---- and back ---------------------------------------------------------------------------------- */

struct back {
	uint64_t id;
	enum queue_state state, was;
	int64_t size;
};

/* What was in somebody's hands when it was purged may have failed for good meanwhile. */
static bool bury_the_dead(struct queue *q, uint64_t id, struct err *err)
{
	struct queue_left left;

	return queue_left(q, id, &left, err) &&
	       (left.waiting || queue_mark(q, id, QUEUE_DEAD, err));
}

/* Only what is still as the order left it; the others have another story by now. */
static bool give_back(struct queue *q, const struct queue_job_row *j, const struct back *b,
		      int64_t wall, struct queue_job_step *out, struct err *err)
{
	static const enum queue_state left_as[JOB_KINDS] = {
		[JOB_HOLD] = QUEUE_HELD,    [JOB_RELEASE] = QUEUE_OPEN,
		[JOB_PURGE] = QUEUE_PURGED, [JOB_RETRY] = QUEUE_GONE,
		[JOB_BRAKE] = QUEUE_GONE,
	};

	if (b->state != left_as[j->kind])
		return queue_job_set(q, Q_JOB_LEAVE, b->id, 0, err);
	out->messages++;
	out->gone -= j->kind == JOB_PURGE;
	if (!queue_job_set_at(q, Q_JOB_RESTORE, b->id, j->number, wall, err))
		return false;
	if (b->was == QUEUE_HELD)
		return j->kind != JOB_RELEASE || queue_job_stop(q, b->id, false, err);
	if (b->was != QUEUE_OPEN)
		return true;
	out->hurry = true;
	return queue_job_set(q, Q_RELEASE, b->id, wall, err) &&
	       bury_the_dead(q, b->id, err);
}

static bool read_back(struct queue *q, uint32_t number, size_t most, struct back *list,
		      size_t *count, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_JOB_ROWS);
	bool row;

	*count = 0;
	sql_bind(st, 1, number);
	sql_bind(st, 2, (int64_t)most);
	for (;;) {
		if (!sql_row(&q->sql, st, &row, "looking for messages", err))
			return false;
		if (!row)
			return true;
		BUG_IF(*count == STEP_CHANGES);
		list[(*count)++] = (struct back){
			.id = (uint64_t)sqlite3_column_int64(st, 0),
			.state = (enum queue_state)sqlite3_column_int(st, 1),
			.was = (enum queue_state)sqlite3_column_int(st, 2),
			.size = sqlite3_column_int64(st, 3),
		};
	}
}

static bool step_back(struct queue *q, struct queue_job_row *j, size_t most, int64_t wall,
		      struct queue_job_step *out, struct err *err)
{
	struct back list[STEP_CHANGES];
	size_t count;

	if (!read_back(q, j->number, most, list, &count, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!give_back(q, j, &list[i], wall, out, err))
			return false;
	out->over = count < most;
	if (out->over)
		j->state = JOB_UNDONE;
	j->ended = wall;
	return queue_job_note(q, j, err);
}

bool queue_job_step(struct queue *q, uint32_t number, size_t most, int64_t wall,
		    struct queue_job_step *out, struct err *err)
{
	struct queue_job_row j;
	bool found;

	BUG_IF(most == 0 || most > QUEUE_STEP_MOST);
	*out = (struct queue_job_step){ 0 };
	if (!queue_job_get(q, number, &j, &found, err))
		return false;
	if (found && j.state == JOB_RUNS)
		return step_on(q, &j, most, wall, out, err);
	if (found && j.state == JOB_UNDOING)
		return step_back(q, &j, most, wall, out, err);
	out->over = true;
	return true;
}

/* ---- ending one --------------------------------------------------------------------------------- */

bool queue_job_undo(struct queue *q, uint32_t number, int64_t wall,
		    enum queue_job_answer *out, struct err *err)
{
	struct queue_job_row j;
	bool found;

	if (!queue_job_get(q, number, &j, &found, err))
		return false;
	*out = !found					    ? JOB_ANSWER_NONE
	       : j.kind == JOB_RETRY || j.kind == JOB_BRAKE ? JOB_ANSWER_CANNOT
	       : j.state >= JOB_UNDOING			    ? JOB_ANSWER_TOO_LATE
							    : JOB_ANSWER_OK;
	if (*out != JOB_ANSWER_OK)
		return true;
	queue_order_end(q, number);
	j.state = JOB_UNDOING;
	j.ended = wall;
	return queue_job_note(q, &j, err);
}

bool queue_job_lift(struct queue *q, uint32_t number, int64_t wall,
		    enum queue_job_answer *out, struct err *err)
{
	struct queue_job_row j;
	bool found;

	if (!queue_job_get(q, number, &j, &found, err))
		return false;
	found = found && j.standing && j.state <= JOB_STANDS;
	*out = found ? JOB_ANSWER_OK : JOB_ANSWER_NONE;
	if (!found)
		return true;
	queue_order_end(q, number);
	j.state = JOB_DONE;
	j.ended = wall;
	return queue_job_note(q, &j, err);
}

bool queue_jobs_at_work(struct queue *q, void (*each)(void *arg, uint32_t number),
			void *arg, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_JOBS_AT_WORK);
	bool row;

	for (;;) {
		if (!sql_row(&q->sql, st, &row, "reading orders", err))
			return false;
		if (!row)
			return true;
		each(arg, (uint32_t)sqlite3_column_int64(st, 0));
	}
}
