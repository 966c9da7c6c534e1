#include "db/queue_inner.h"

#include "base/bug.h"
#include "base/id.h"

#define CHANGE_WINDOW 1024

struct subject {
	enum queue_state state;
	uint64_t nonce;
	bool spooled;
};

static bool look_up(struct queue *q, uint64_t id, struct subject *out, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_STATE_OF);
	bool row;

	sql_bind(st, 1, queue_key(id));
	if (!sql_row(&q->sql, st, &row, "looking up a message", err))
		return false;
	*out = (struct subject){ .state = QUEUE_GONE };
	if (row) {
		out->state = (enum queue_state)sqlite3_column_int(st, 0);
		out->nonce = (uint64_t)sqlite3_column_int64(st, 1);
		out->spooled = sqlite3_column_int(st, 2) != 0;
		sqlite3_reset(st);
	}
	return true;
}

/* Recipients of one message, by a query that takes (id) or (id, wall). */
static bool recipients(struct queue *q, enum query which, uint64_t id,
		       const int64_t *wall, int64_t *changed, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, which);

	sql_bind(st, 1, queue_key(id));
	if (wall)
		sql_bind(st, 2, *wall);
	if (!sql_run(&q->sql, st, "changing recipients", err))
		return false;
	*changed = sql_changes(&q->sql);
	return true;
}

static bool retry(struct queue *q, uint64_t id, const struct subject *m, int64_t wall,
		  uint32_t *count, struct err *err)
{
	int64_t revived, hurried;

	if (m->state == QUEUE_HELD)
		return true;
	if (!recipients(q, Q_REVIVE, id, &wall, &revived, err) ||
	    !recipients(q, Q_RETRY, id, &wall, &hurried, err))
		return false;
	*count += revived + hurried > 0;
	return (revived == 0 && m->state == QUEUE_OPEN) || queue_anew(q, id, wall, err);
}

/* What is in hand while we hold it stays there; if it fails, it is held then. */
static bool hold(struct queue *q, uint64_t id, const struct subject *m, uint32_t *count,
		 struct err *err)
{
	int64_t changed;

	if (m->state != QUEUE_OPEN)
		return true;
	*count += 1;
	return recipients(q, Q_HOLD, id, NULL, &changed, err) &&
	       queue_mark(q, id, QUEUE_HELD, err);
}

/* No order that is in force now is about it any more. */
static bool exempt(struct queue *q, uint64_t id, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_JOB_LEAVE);

	if (q->order_count == 0)
		return true;
	sql_bind(st, 1, queue_key(id));
	sql_bind(st, 2, queue_job_reserve(q));
	return sql_run(&q->sql, st, "releasing a message", err);
}

static bool release(struct queue *q, uint64_t id, const struct subject *m, int64_t wall,
		    uint32_t *count, struct err *err)
{
	int64_t changed;

	if (m->state != QUEUE_HELD)
		return true;
	*count += 1;
	return recipients(q, Q_RELEASE, id, &wall, &changed, err) &&
	       queue_anew(q, id, wall, err) && exempt(q, id, err);
}

bool queue_change(struct queue *q, enum queue_order order, uint64_t id, int64_t wall,
		  struct queue_changed *out, queue_on_gone *gone, void *arg,
		  struct err *err)
{
	struct subject m;

	*out = (struct queue_changed){ 0 };
	if (!look_up(q, id, &m, err))
		return false;
	/* what was purged is as good as gone, but for `queue undo` */
	if (m.state == QUEUE_GONE || m.state == QUEUE_PURGED)
		return true;
	switch (order) {
	case QUEUE_RETRY:
		return retry(q, id, &m, wall, &out->count, err);
	case QUEUE_HOLD:
		return hold(q, id, &m, &out->count, err);
	case QUEUE_RELEASE:
		return release(q, id, &m, wall, &out->count, err);
	case QUEUE_DELETE:
		if (!queue_drop(q, id, m.nonce, wall, err))
			return false;
		out->count = 1;
		gone(arg, id, m.spooled);
		return true;
	}
	return true;
}

static bool read_ids(struct queue *q, sqlite3_stmt *st, uint64_t *ids, size_t *count,
		     struct err *err)
{
	bool row;

	*count = 0;
	for (;;) {
		if (!sql_row(&q->sql, st, &row, "reading ids", err))
			return false;
		if (!row)
			return true;
		BUG_IF(*count == CHANGE_WINDOW);
		ids[(*count)++] = (uint64_t)sqlite3_column_int64(st, 0);
	}
}

static size_t window(size_t limit)
{
	return limit < CHANGE_WINDOW ? limit : CHANGE_WINDOW;
}

bool queue_change_all(struct queue *q, enum queue_order order, enum queue_state state,
		      uint64_t after, size_t limit, int64_t wall,
		      struct queue_changed *out, queue_on_gone *gone, void *arg,
		      struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_AFTER);
	struct queue_changed sum = { 0 }, one;
	uint64_t ids[CHANGE_WINDOW];
	size_t count;

	sql_bind(st, 1, queue_key(after));
	sql_bind(st, 2, state);
	sql_bind(st, 3, (int64_t)window(limit));
	if (!read_ids(q, st, ids, &count, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!queue_change(q, order, ids[i], wall, &one, gone, arg, err))
			return false;
		sum.count += one.count;
	}
	sum.last = count == window(limit) ? ids[count - 1] : 0;
	*out = sum;
	return true;
}

bool queue_prune_dead(struct queue *q, int64_t before, size_t limit, uint32_t *count,
		      queue_on_gone *gone, void *arg, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_OLD_DEAD);
	struct queue_changed one;
	uint64_t ids[CHANGE_WINDOW];
	size_t n;

	sql_bind(st, 1, before);
	sql_bind(st, 2, (int64_t)window(limit));
	if (!read_ids(q, st, ids, &n, err))
		return false;
	*count = 0;
	for (size_t i = 0; i < n; i++) {
		if (!queue_change(q, QUEUE_DELETE, ids[i], before, &one, gone, arg, err))
			return false;
		*count += one.count;
	}
	return true;
}

static bool expire(struct queue *q, uint64_t id, int64_t *changed, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_EXPIRE);
	struct queue_left left;

	sql_bind(st, 1, queue_key(id));
	sql_bind_text(st, 2, SPAN("000 never tried: the next hop was not reachable"));
	if (!sql_run(&q->sql, st, "giving up on recipients", err))
		return false;
	*changed = sql_changes(&q->sql);
	if (*changed == 0)
		return true;
	return queue_left(q, id, &left, err) &&
	       (left.waiting || queue_mark(q, id, QUEUE_DEAD, err));
}

bool queue_expire(struct queue *q, int64_t before, size_t limit, uint64_t *after,
		  bool (*soon)(void *arg, uint64_t id, struct err *err),
		  void (*each)(void *arg, uint64_t id, uint32_t recipients), void *arg,
		  struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_EXPIRED);
	uint64_t ids[CHANGE_WINDOW];
	size_t count;

	/* ids begin with the time, so old messages are found without an index for it */
	sql_bind(st, 1, queue_key(*after));
	sql_bind(st, 2, before);
	sql_bind(st, 3, queue_key(id_at(before)));
	sql_bind(st, 4, (int64_t)window(limit));
	if (!read_ids(q, st, ids, &count, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		int64_t changed;

		if (!soon(arg, ids[i], err) || !expire(q, ids[i], &changed, err))
			return false;
		if (changed)
			each(arg, ids[i], (uint32_t)changed);
	}
	*after = count == window(limit) ? ids[count - 1] : 0;
	return true;
}
