#include "db/queue_job.h"

#include <stdlib.h>

#include "base/bug.h"
#include "db/queue_inner.h"

#define STEP_CHANGES QUEUE_STEP_MOST
#define STEP_LOOKS   4000
#define KEEP_JOBS    (30 * MS_DAY)

uint32_t queue_job_reserve(struct queue *q)
{
	return __atomic_add_fetch(&q->job_last, 1, __ATOMIC_RELAXED);
}

/* ---- what is in force ------------------------------------------------------------------------ */

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

static struct in_force *find_order(const struct queue *q, uint32_t number)
{
	for (size_t i = 0; i < q->order_count; i++)
		if (q->order[i]->number == number)
			return q->order[i];
	return NULL;
}

static void take_out(struct queue *q, uint32_t number)
{
	for (size_t i = 0; i < q->order_count; i++) {
		if (q->order[i]->number != number)
			continue;
		close_order(q->order[i]);
		q->order[i] = q->order[--q->order_count];
		return;
	}
}

static bool put_in(struct queue *q, uint32_t number, enum queue_job_kind kind,
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
		if (put_in(q, (uint32_t)sqlite3_column_int64(st, 0),
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
static bool set(struct queue *q, enum query which, uint64_t id, int64_t number,
		struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, which);

	sql_bind(st, 1, queue_key(id));
	sql_bind(st, 2, number);
	return sql_run(&q->sql, st, "changing a message", err);
}

/* What waits of it waits no more. What is fresh is in nobody's hands yet. */
static bool stop(struct queue *q, uint64_t id, bool fresh, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, fresh ? Q_JOB_FRESH : Q_HOLD);

	sql_bind(st, 1, queue_key(id));
	return sql_run(&q->sql, st, "stopping recipients", err);
}

static bool carry_out(struct queue *q, const struct in_force *o, uint64_t id, bool fresh,
		      int64_t wall, struct err *err)
{
	struct queue_changed changed;

	switch (o->kind) {
	case JOB_HOLD:
		return set(q, Q_JOB_HOLD, id, o->number, err) && stop(q, id, fresh, err);
	case JOB_PURGE:
		return set(q, Q_JOB_PURGE, id, o->number, err) && stop(q, id, fresh, err);
	case JOB_RELEASE:
		return set(q, Q_JOB_RELEASE, id, o->number, err) &&
		       set(q, Q_RELEASE, id, wall, err);
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
		if (*caught && (!carry_out(q, o, id, fresh, wall, err) ||
				!set(q, Q_JOB_CAUGHT, o->number, size, err)))
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
	return put_in(q, wish->number, wish->kind,
		      wish->standing ? wish->until : MS_NEVER, wish->condition, err);
}

/* ---- its rows --------------------------------------------------------------------------------- */

struct job {
	uint32_t number;
	enum queue_job_kind kind;
	enum queue_job_state state;
	bool standing;
	int64_t position, last, messages, bytes, ended;
};

static bool get_job(struct queue *q, uint32_t number, struct job *j, bool *found,
		    struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_JOB_GET);

	sql_bind(st, 1, number);
	*j = (struct job){ .number = number };
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

static bool set_job(struct queue *q, const struct job *j, struct err *err)
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
static bool bound(struct queue *q, const struct job *j, int64_t *out, struct err *err)
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

static bool find_some(struct queue *q, const struct in_force *o, struct job *j,
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

static bool step_on(struct queue *q, struct job *j, size_t most, int64_t wall,
		    struct queue_job_step *out, struct err *err)
{
	const struct in_force *o = find_order(q, j->number);
	struct found f = { 0 };

	BUG_IF(!o);
	if (!find_some(q, o, j, most, wall, &f, err))
		return false;
	for (size_t i = 0; i < f.count; i++)
		if (!carry_out(q, o, f.id[i], false, wall, err))
			return false;
	out->messages = (uint32_t)f.count;
	out->gone = j->kind == JOB_PURGE ? (int64_t)f.count : 0;
	out->hurry = f.count && (j->kind == JOB_RELEASE || j->kind == JOB_RETRY);
	out->over = f.over;
	j->messages += (int64_t)f.count;
	j->bytes += f.bytes;
	if (!f.over)
		return set_job(q, j, err);
	j->state = j->standing ? JOB_STANDS : JOB_DONE;
	j->ended = wall;
	if (!j->standing) {
		q->orders_touched = true;
		take_out(q, j->number);
	}
	return set_job(q, j, err);
}

/* ---- and back ---------------------------------------------------------------------------------- */

struct back {
	uint64_t id;
	enum queue_state state, was;
	int64_t size;
};

/* Only what is still as the order left it; the others have another story by now. */
static bool give_back(struct queue *q, const struct job *j, const struct back *b,
		      int64_t wall, struct queue_job_step *out, struct err *err)
{
	static const enum queue_state left_as[JOB_KINDS] = {
		[JOB_HOLD] = QUEUE_HELD,    [JOB_RELEASE] = QUEUE_OPEN,
		[JOB_PURGE] = QUEUE_PURGED, [JOB_RETRY] = QUEUE_GONE,
		[JOB_BRAKE] = QUEUE_GONE,
	};

	if (b->state != left_as[j->kind])
		return set(q, Q_JOB_LEAVE, b->id, 0, err);
	out->messages++;
	out->gone -= j->kind == JOB_PURGE;
	if (!set(q, Q_JOB_RESTORE, b->id, j->number, err))
		return false;
	if (b->was == QUEUE_HELD)
		return j->kind != JOB_RELEASE || stop(q, b->id, false, err);
	if (b->was != QUEUE_OPEN)
		return true;
	out->hurry = true;
	return set(q, Q_RELEASE, b->id, wall, err);
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

static bool step_back(struct queue *q, struct job *j, size_t most, int64_t wall,
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
	return set_job(q, j, err);
}

bool queue_job_step(struct queue *q, uint32_t number, size_t most, int64_t wall,
		    struct queue_job_step *out, struct err *err)
{
	struct job j;
	bool found;

	BUG_IF(most == 0 || most > QUEUE_STEP_MOST);
	*out = (struct queue_job_step){ 0 };
	if (!get_job(q, number, &j, &found, err))
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
	struct job j;
	bool found;

	if (!get_job(q, number, &j, &found, err))
		return false;
	*out = !found					    ? JOB_ANSWER_NONE
	       : j.kind == JOB_RETRY || j.kind == JOB_BRAKE ? JOB_ANSWER_CANNOT
	       : j.state >= JOB_UNDOING			    ? JOB_ANSWER_TOO_LATE
							    : JOB_ANSWER_OK;
	if (*out != JOB_ANSWER_OK)
		return true;
	q->orders_touched = true;
	take_out(q, number);
	j.state = JOB_UNDOING;
	j.ended = wall;
	return set_job(q, &j, err);
}

bool queue_job_lift(struct queue *q, uint32_t number, int64_t wall,
		    enum queue_job_answer *out, struct err *err)
{
	struct job j;
	bool found;

	if (!get_job(q, number, &j, &found, err))
		return false;
	found = found && j.standing && j.state <= JOB_STANDS;
	*out = found ? JOB_ANSWER_OK : JOB_ANSWER_NONE;
	if (!found)
		return true;
	q->orders_touched = true;
	take_out(q, number);
	j.state = JOB_DONE;
	j.ended = wall;
	return set_job(q, &j, err);
}

/* ---- time ----------------------------------------------------------------------------------------- */

static bool expire(struct queue *q, int64_t wall, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_JOBS_EXPIRE);

	sql_bind(st, 1, wall);
	if (!sql_run(&q->sql, st, "ending orders", err))
		return false;
	for (size_t i = 0; i < q->order_count;) {
		struct in_force *o = q->order[i];
		struct job j;
		bool found;

		if (wall < o->until) {
			i++;
			continue;
		}
		if (!get_job(q, o->number, &j, &found, err))
			return false;
		q->orders_touched = true;
		/* its rows may still follow; it catches nothing, for its time is over */
		if (found && j.state == JOB_RUNS)
			i++;
		else
			take_out(q, o->number);
	}
	return true;
}

struct dropped {
	size_t count;
	struct {
		uint64_t id, nonce;
		bool spooled;
	} row[STEP_CHANGES];
};

static bool read_drops(struct queue *q, uint32_t number, int64_t before,
		       struct dropped *d, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_JOB_DROPS);
	bool row;

	d->count = 0;
	sql_bind(st, 1, number);
	sql_bind(st, 2, before);
	sql_bind(st, 3, STEP_CHANGES);
	for (;;) {
		if (!sql_row(&q->sql, st, &row, "looking for messages", err))
			return false;
		if (!row)
			return true;
		BUG_IF(d->count == STEP_CHANGES);
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

static bool read_old(struct queue *q, int64_t before, struct job *list, size_t *count,
		     struct err *err)
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
		BUG_IF(*count == STEP_CHANGES);
		list[(*count)++] = (struct job){
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
	struct job j;
	bool found;

	if (!get_job(q, number, &j, &found, err) || !found)
		return !found;
	j.state = JOB_FINAL;
	j.ended = wall;
	return set_job(q, &j, err);
}

bool queue_jobs_tick(struct queue *q, int64_t wall, bool *more, queue_on_gone *gone,
		     void *arg, struct err *err)
{
	sqlite3_stmt *prune;
	struct job list[STEP_CHANGES];
	size_t count, dropped = 0;

	*more = false;
	if (!expire(q, wall, err) || !read_old(q, wall - QUEUE_UNDO, list, &count, err))
		return false;
	for (size_t i = 0; i < count && dropped < STEP_CHANGES; i++) {
		dropped = 0;
		if (list[i].kind == JOB_PURGE &&
		    !drop_some(q, list[i].number, wall, &dropped, gone, arg, err))
			return false;
		if (dropped == 0 && list[i].state == JOB_DONE &&
		    list[i].ended < wall - QUEUE_UNDO &&
		    !finish_old(q, list[i].number, wall, err))
			return false;
	}
	*more = dropped == STEP_CHANGES;
	prune = sql_start(&q->sql, Q_JOBS_PRUNE);
	sql_bind(prune, 1, wall - KEEP_JOBS);
	return sql_run(&q->sql, prune, "forgetting orders", err);
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
