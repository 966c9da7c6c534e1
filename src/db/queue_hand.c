#include "db/queue_inner.h"

#include <stdlib.h>

#define TAKE_MESSAGES	1024
#define TAKE_RECIPIENTS 256

/* ---- taking ----------------------------------------------------------------------------- */

/* Ids first: the index that they are read from changes as they are taken. */
static bool due_ids(struct queue *q, const struct queue_want *want, uint64_t *ids,
		    size_t *count, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_DUE);
	/* orders may catch some of them on the way */
	size_t max = want->messages < TAKE_MESSAGES && q->order_count == 0
			     ? want->messages
			     : TAKE_MESSAGES;
	bool row;

	*count = 0;
	sql_bind(st, 1, want->destination);
	sql_bind(st, 2, want->wall);
	sql_bind(st, 3, (int64_t)max);
	for (;;) {
		uint64_t id;

		if (!sql_row(&q->sql, st, &row, "looking for what is due", err))
			return false;
		if (!row)
			return true;
		id = (uint64_t)sqlite3_column_int64(st, 0);
		if (*count == 0 || ids[*count - 1] != id)
			ids[(*count)++] = id;
	}
}

void queue_columns(sqlite3_stmt *st, struct queue_message *m)
{
	struct span ip = sql_text(st, 5);

	m->nonce = (uint64_t)sqlite3_column_int64(st, 0);
	m->state = (enum queue_state)sqlite3_column_int(st, 1);
	m->flags = (uint32_t)sqlite3_column_int64(st, 2);
	m->size = (uint64_t)sqlite3_column_int64(st, 3);
	m->wall = sqlite3_column_int64(st, 4);
	if (ip.n == sizeof(m->peer.addr.ip))
		memcpy(m->peer.addr.ip, ip.p, ip.n);
	m->peer.port = (uint16_t)sqlite3_column_int(st, 6);
	m->listener = (uint16_t)sqlite3_column_int(st, 7);
	m->helo = sql_text(st, 8);
	m->login = sql_text(st, 9);
	m->sender = sql_text(st, 10);
	m->rcpt_total = (uint32_t)sqlite3_column_int64(st, 11);
	m->spooled = sqlite3_column_int(st, 12) != 0;
	m->envid = sql_text(st, 13);
	m->incident = (uint32_t)sqlite3_column_int64(st, 14);
	m->since = sqlite3_column_int64(st, 15);
}

static bool get_message(struct queue *q, struct queue_message *m, bool *found,
			struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_MESSAGE_GET);

	sql_bind(st, 1, queue_key(m->id));
	*found = false;
	if (!sql_row(&q->sql, st, found, "reading a message", err))
		return false;
	if (*found)
		queue_columns(st, m);
	return true;
}

static bool get_body(struct queue *q, struct queue_message *m, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_BODY_GET);
	bool row;

	sql_bind(st, 1, queue_key(m->id));
	if (!sql_row(&q->sql, st, &row, "reading a body", err))
		return false;
	m->body = row ? sql_text(st, 0) : SPAN_NONE;
	m->prefix = row ? sql_text(st, 1) : SPAN_NONE;
	return true;
}

/* The texts of the rows that are being taken, until each() has seen them. */
struct hand {
	struct queue_to to[TAKE_RECIPIENTS];
	size_t at[TAKE_RECIPIENTS][4]; /* of the texts, while they may move */
	size_t count;
	uint8_t *text;
	size_t used, cap;
};

static bool keep(struct hand *h, struct span s, size_t *at)
{
	if (!h->text || s.n > h->cap - h->used) {
		size_t cap = (h->cap + s.n) * 2 + 256;
		uint8_t *text = realloc(h->text, cap);

		if (!text)
			return false;
		h->text = text;
		h->cap = cap;
	}
	if (s.n)
		memcpy(h->text + h->used, s.p, s.n);
	*at = h->used;
	h->used += s.n;
	return true;
}

static bool keep_row(struct hand *h, sqlite3_stmt *st)
{
	struct queue_to *to = &h->to[h->count];

	to->address = sql_text(st, 1);
	if (!keep(h, to->address, &h->at[h->count][0]))
		return false;
	to->mailbox = sql_text(st, 2);
	if (!keep(h, to->mailbox, &h->at[h->count][1]))
		return false;
	to->notify = sql_text(st, 3);
	if (!keep(h, to->notify, &h->at[h->count][2]))
		return false;
	to->origin = sql_text(st, 4);
	if (!keep(h, to->origin, &h->at[h->count][3]))
		return false;
	to->number = (uint32_t)sqlite3_column_int64(st, 0);
	to->attempts = (uint32_t)sqlite3_column_int64(st, 5);
	h->count++;
	return true;
}

static bool take_rows(struct queue *q, const struct queue_want *want, uint64_t id,
		      struct hand *h, struct err *err)
{
	size_t max = want->recipients < TAKE_RECIPIENTS ? want->recipients
							: TAKE_RECIPIENTS;
	sqlite3_stmt *st = sql_start(&q->sql, Q_TAKE);
	bool row;

	h->count = 0;
	h->used = 0;
	sql_bind(st, 1, queue_key(id));
	sql_bind(st, 2, want->destination);
	sql_bind(st, 3, want->wall);
	sql_bind(st, 4, (int64_t)max);
	for (;;) {
		if (!sql_row(&q->sql, st, &row, "taking recipients", err))
			return false;
		if (!row)
			break;
		if (h->count < max && !keep_row(h, st)) {
			sqlite3_reset(st);
			return err_set(err, "out of memory");
		}
	}
	for (size_t i = 0; i < h->count; i++) {
		h->to[i].destination = want->destination;
		h->to[i].due = QUEUE_IN_HAND;
		h->to[i].address.p = h->text + h->at[i][0];
		h->to[i].mailbox.p = h->text + h->at[i][1];
		h->to[i].notify.p = h->text + h->at[i][2];
		h->to[i].origin.p = h->text + h->at[i][3];
	}
	return true;
}

bool queue_take(struct queue *q, const struct queue_want *want,
		void (*each)(void *arg, const struct queue_message *m,
			     const struct queue_to *to, size_t to_count),
		void *arg, struct err *err)
{
	uint64_t ids[TAKE_MESSAGES];
	struct hand *h = calloc(1, sizeof(*h));
	size_t count, bytes = 0, given = 0;
	bool good;

	if (!h)
		return err_set(err, "out of memory");
	good = due_ids(q, want, ids, &count, err);
	for (size_t i = 0;
	     good && i < count && given < want->messages && bytes < want->bytes; i++) {
		struct queue_message m = { .id = ids[i] };
		bool found, caught = false;

		if (q->order_count)
			good = queue_catch(q, ids[i], false, want->wall, &caught, err);
		if (!good || caught)
			continue;
		good = get_message(q, &m, &found, err) &&
		       take_rows(q, want, ids[i], h, err) &&
		       (!found || get_body(q, &m, err));
		if (!good || !found || h->count == 0)
			continue;
		each(arg, &m, h->to, h->count);
		bytes += m.body.n;
		given++;
	}
	free(h->text);
	free(h);
	return good;
}

bool queue_next(struct queue *q, int64_t destination, int64_t *due, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_NEXT);
	bool row;

	sql_bind(st, 1, destination);
	if (!sql_row(&q->sql, st, &row, "looking for the next one due", err))
		return false;
	*due = row && sqlite3_column_type(st, 0) != SQLITE_NULL
		       ? sqlite3_column_int64(st, 0)
		       : MS_NEVER;
	sqlite3_reset(st);
	return true;
}

bool queue_pull_in(struct queue *q, int64_t latest, int64_t *count, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_PULL_IN);

	sql_bind(st, 1, latest);
	if (!sql_run(&q->sql, st, "correcting times", err))
		return false;
	*count = sql_changes(&q->sql);
	return true;
}

/* ---- what came of it ----------------------------------------------------------------------- */

static bool is_stopped(enum queue_state state)
{
	return state == QUEUE_HELD || state == QUEUE_PURGED;
}

static bool set_to(struct queue *q, uint64_t id, const struct queue_answer *a, bool held,
		   int64_t wall, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_TO_SET);
	bool waits = a->state == TO_WAITING;

	sql_bind(st, 1, queue_key(id));
	sql_bind(st, 2, a->number);
	sql_bind(st, 3, waits && held ? TO_HELD : a->state);
	if (waits && !held)
		sql_bind(st, 4, a->due);
	else
		sqlite3_bind_null(st, 4);
	sql_bind(st, 5, a->answer.n > 0);
	sql_bind(st, 6, wall);
	sql_bind_text(st, 7, a->answer);
	return sql_run(&q->sql, st, "noting an answer", err);
}

bool queue_left(struct queue *q, uint64_t id, struct queue_left *out, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_TO_LEFT);
	bool row;

	*out = (struct queue_left){ 0 };
	sql_bind(st, 1, queue_key(id));
	for (;;) {
		int state;

		if (!sql_row(&q->sql, st, &row, "counting recipients", err))
			return false;
		if (!row)
			return true;
		state = sqlite3_column_int(st, 0);
		out->waiting |= state == TO_WAITING || state == TO_HELD;
		out->dead |= state == TO_DEAD;
	}
}

bool queue_mark(struct queue *q, uint64_t id, enum queue_state state, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_MESSAGE_STATE);

	sql_bind(st, 1, queue_key(id));
	sql_bind(st, 2, state);
	return sql_run(&q->sql, st, "marking a message", err);
}

bool queue_anew(struct queue *q, uint64_t id, int64_t wall, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_MESSAGE_ANEW);

	sql_bind(st, 1, queue_key(id));
	sql_bind(st, 2, wall);
	return sql_run(&q->sql, st, "reviving a message", err);
}

bool queue_answers(struct queue *q, uint64_t id, const struct queue_answer *answers,
		   size_t count, int64_t wall, struct queue_settled *out, struct err *err)
{
	struct queue_message m = { .id = id };
	struct queue_left left;
	enum queue_state now;
	bool found;

	*out = (struct queue_settled){ .state = QUEUE_GONE };
	if (!get_message(q, &m, &found, err))
		return false;
	if (!found)
		return true;
	for (size_t i = 0; i < count; i++)
		if (!set_to(q, id, &answers[i], is_stopped(m.state), wall, err))
			return false;
	if (!queue_left(q, id, &left, err))
		return false;
	if (left.waiting)
		now = is_stopped(m.state) ? m.state : QUEUE_OPEN;
	else if (left.dead)
		now = m.state == QUEUE_PURGED ? m.state : QUEUE_DEAD;
	else
		now = QUEUE_GONE;
	out->state = now;
	if (now == QUEUE_GONE) {
		out->left = m.state != QUEUE_PURGED;
		out->spooled = m.spooled;
		return queue_drop(q, id, m.nonce, wall, err);
	}
	return now == m.state || queue_mark(q, id, now, err);
}
