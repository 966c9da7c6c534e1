#include "db/queue_route.h"

#include "base/buf.h"
#include "db/queue_inner.h"

/* ---- destinations ---------------------------------------------------------------------------- */

static bool id_of(struct queue *q, int hop, struct span target, int64_t *id,
		  struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_DESTINATION_OF);
	bool row;

	sql_bind(st, 1, hop);
	sql_bind_text(st, 2, target);
	if (!sql_row(&q->sql, st, &row, "looking up a destination", err))
		return false;
	*id = row ? sqlite3_column_int64(st, 0) : 0;
	sqlite3_reset(st);
	return true;
}

static bool replace_id(struct queue *q, enum query which, int64_t old, int64_t id,
		       struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, which);

	sql_bind(st, 1, old);
	sql_bind(st, 2, id);
	return sql_run(&q->sql, st, "renaming a destination", err);
}

bool queue_put_destination(struct queue *q, int64_t id, int hop, struct span target,
			   struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_DESTINATION);
	int64_t old;

	sql_bind(st, 1, id);
	sql_bind(st, 2, hop);
	sql_bind_text(st, 3, target);
	if (!sql_run(&q->sql, st, "storing a destination", err))
		return false;
	if (sql_changes(&q->sql) > 0)
		return true;
	if (!id_of(q, hop, target, &old, err))
		return false;
	/* it comes from an older program, or the key that ids are made with was lost */
	return old == id || old == 0 ||
	       (replace_id(q, Q_DESTINATION_ID, old, id, err) &&
		replace_id(q, Q_TO_MOVE_ALL, old, id, err));
}

bool queue_waiting_destinations(struct queue *q, int64_t *after, size_t limit,
				void (*each)(void *arg, const struct queue_destination *d),
				void *arg, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_WAITING);
	size_t count = 0;
	bool row;

	sql_bind(st, 1, *after);
	sql_bind(st, 2, (int64_t)limit);
	for (;; count++) {
		struct queue_destination d;

		if (!sql_row(&q->sql, st, &row, "looking for destinations", err))
			return false;
		if (!row)
			break;
		d = (struct queue_destination){
			.id = sqlite3_column_int64(st, 0),
			.hop = sqlite3_column_int(st, 1),
			.target = sql_text(st, 2),
			.due = sqlite3_column_int64(st, 3),
		};
		*after = d.id;
		if (sqlite3_column_type(st, 3) != SQLITE_NULL)
			each(arg, &d);
	}
	if (count < limit)
		*after = 0;
	return true;
}

bool queue_prune_destinations(struct queue *q, int64_t most, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_DESTINATIONS);
	bool row;
	int64_t count;

	if (!sql_row(&q->sql, st, &row, "counting destinations", err))
		return false;
	count = row ? sqlite3_column_int64(st, 0) : 0;
	sqlite3_reset(st);
	return count <= most || sql_run(&q->sql, sql_start(&q->sql, Q_DESTINATIONS_PRUNE),
					"forgetting destinations", err);
}

/* ---- routing ------------------------------------------------------------------------------------ */

bool queue_unrouted(struct queue *q, int64_t wall, size_t limit,
		    void (*each)(void *arg, const struct queue_routed *r), void *arg,
		    struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_UNROUTED);
	bool row;

	sql_bind(st, 1, wall);
	sql_bind(st, 2, (int64_t)limit);
	for (;;) {
		struct queue_routed r = { 0 };

		if (!sql_row(&q->sql, st, &row, "looking for what is not routed", err))
			return false;
		if (!row)
			return true;
		r.message = (uint64_t)sqlite3_column_int64(st, 0);
		r.number = (uint32_t)sqlite3_column_int64(st, 1);
		r.address = sql_text(st, 2);
		each(arg, &r);
	}
}

static bool last_number(struct queue *q, uint64_t id, uint32_t *out, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_TO_LAST);
	bool row;

	sql_bind(st, 1, queue_key(id));
	if (!sql_row(&q->sql, st, &row, "counting recipients", err))
		return false;
	*out = row ? (uint32_t)sqlite3_column_int64(st, 0) : 0;
	sqlite3_reset(st);
	return true;
}

static bool drop_unrouted(struct queue *q, uint64_t id, uint32_t number, bool *was,
			  struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_TO_DROP_ONE);

	sql_bind(st, 1, queue_key(id));
	sql_bind(st, 2, number);
	if (!sql_run(&q->sql, st, "routing a recipient", err))
		return false;
	*was = sql_changes(&q->sql) > 0;
	return true;
}

static bool set_total(struct queue *q, uint64_t id, int64_t destination, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_RCPT_TOTAL);

	sql_bind(st, 1, queue_key(id));
	sql_bind(st, 2, destination);
	return sql_run(&q->sql, st, "counting recipients", err);
}

static bool bury(struct queue *q, uint64_t id, uint32_t number, int64_t wall,
		 struct err *err)
{
	struct queue_answer a = {
		.number = number,
		.state = TO_DEAD,
		.answer = SPAN("000 nobody of that name gets mail here"),
	};
	struct queue_settled settled;

	return queue_answers(q, id, &a, 1, wall, &settled, err);
}

bool queue_route(struct queue *q, uint64_t message, uint32_t number, struct queue_to *to,
		 size_t count, int64_t wall, struct err *err)
{
	uint32_t last;
	bool was;

	if (count == 0)
		return bury(q, message, number, wall, err);
	if (!last_number(q, message, &last, err) ||
	    !drop_unrouted(q, message, number, &was, err))
		return false;
	for (size_t i = 0; was && i < count; i++) {
		to[i].number = i == 0 ? number : last + (uint32_t)i;
		if (!queue_put_to(q, message, &to[i], false, err))
			return false;
	}
	return !was || set_total(q, message, to[0].destination, err);
}

bool queue_page(struct queue *q, const struct queue_routed *after, size_t limit,
		void (*each)(void *arg, const struct queue_routed *r), void *arg,
		struct queue_routed *last, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_TO_PAGE);
	struct queue_routed r = { 0 };
	size_t count = 0;
	bool row;

	sql_bind(st, 1, queue_key(after->message));
	sql_bind(st, 2, after->number);
	sql_bind(st, 3, (int64_t)limit);
	for (;; count++) {
		if (!sql_row(&q->sql, st, &row, "reading recipients", err))
			return false;
		if (!row)
			break;
		r.message = (uint64_t)sqlite3_column_int64(st, 0);
		r.number = (uint32_t)sqlite3_column_int64(st, 1);
		r.address = sql_text(st, 2);
		r.destination = sqlite3_column_int64(st, 3);
		each(arg, &r);
	}
	r.address = SPAN_NONE;
	*last = count == limit ? r : (struct queue_routed){ 0 };
	return true;
}

bool queue_move(struct queue *q, const struct queue_routed *r, int64_t destination,
		struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_TO_MOVE);

	sql_bind(st, 1, queue_key(r->message));
	sql_bind(st, 2, r->number);
	sql_bind(st, 3, r->destination);
	sql_bind(st, 4, destination);
	return sql_run(&q->sql, st, "sending a recipient elsewhere", err);
}

/* ---- what became of one ----------------------------------------------------------------------------- */

static struct span copy(struct buf *out, struct span text)
{
	size_t at = out->len;

	buf_put(out, text);
	return span_skip(buf_span(out), at);
}

bool queue_about(struct queue *q, uint64_t id, struct queue_message *m, uint8_t *mem,
		 size_t n, bool *found, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_MESSAGE_GET);
	struct buf texts;

	sql_bind(st, 1, queue_key(id));
	if (!sql_row(&q->sql, st, found, "reading a message", err))
		return false;
	if (!*found)
		return true;
	*m = (struct queue_message){ .id = id };
	queue_columns(st, m);
	buf_init(&texts, mem, n);
	m->helo = copy(&texts, m->helo);
	m->login = copy(&texts, m->login);
	m->sender = copy(&texts, m->sender);
	m->envid = copy(&texts, m->envid);
	sqlite3_reset(st);
	return !texts.full || err_set(err, "the texts of a message are too long");
}

bool queue_with_body(struct queue *q, uint64_t id,
		     void (*with)(void *arg, struct span body), void *arg, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_BODY_GET);
	bool row;

	sql_bind(st, 1, queue_key(id));
	if (!sql_row(&q->sql, st, &row, "reading a body", err))
		return false;
	with(arg, row ? sql_text(st, 0) : SPAN_NONE);
	sqlite3_reset(st);
	return true;
}

bool queue_fate(struct queue *q, uint64_t id, uint32_t number,
		void (*each)(void *arg, const struct queue_fate *f), void *arg,
		struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_TO_GET);
	struct queue_fate f = { .number = number };
	bool row;

	sql_bind(st, 1, queue_key(id));
	sql_bind(st, 2, number);
	if (!sql_row(&q->sql, st, &row, "reading a recipient", err))
		return false;
	if (!row)
		return true;
	f.address = sql_text(st, 0);
	f.notify = sql_text(st, 1);
	f.origin = sql_text(st, 2);
	f.answer = sql_text(st, 3);
	f.tried = sqlite3_column_int64(st, 4);
	f.state = (enum to_state)sqlite3_column_int(st, 5);
	each(arg, &f);
	sqlite3_reset(st);
	return true;
}

bool queue_waits(struct queue *q, uint64_t id, bool in_hand, uint32_t *numbers,
		 size_t max, size_t *count, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, in_hand ? Q_TO_WAITING : Q_TO_EXPIRED);
	bool row;

	*count = 0;
	sql_bind(st, 1, queue_key(id));
	sql_bind(st, 2, (int64_t)max);
	for (;;) {
		if (!sql_row(&q->sql, st, &row, "reading recipients", err))
			return false;
		if (!row || *count == max)
			break;
		numbers[(*count)++] = (uint32_t)sqlite3_column_int64(st, 0);
	}
	sqlite3_reset(st);
	return true;
}

bool queue_delayed(struct queue *q, const struct queue_delayed *want, uint64_t *ids,
		   size_t max, size_t *count, uint64_t *last, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_DELAYED);
	size_t looked = 0;
	bool row;

	*count = 0;
	*last = 0;
	sql_bind(st, 1, queue_key(want->after));
	sql_bind(st, 2, queue_key(want->before));
	sql_bind(st, 3, want->with);
	sql_bind(st, 4, want->without);
	sql_bind(st, 5, (int64_t)max);
	for (;; looked++) {
		if (!sql_row(&q->sql, st, &row, "looking for what waits long", err))
			return false;
		if (!row)
			break;
		*last = (uint64_t)sqlite3_column_int64(st, 0);
		if (sqlite3_column_int(st, 1) && *count < max)
			ids[(*count)++] = *last;
	}
	if (looked < max)
		*last = 0;
	return true;
}

bool queue_set_flag(struct queue *q, uint64_t id, uint32_t flag, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_MESSAGE_FLAG);

	sql_bind(st, 1, queue_key(id));
	sql_bind(st, 2, flag);
	return sql_run(&q->sql, st, "marking a message", err);
}

bool queue_set_prefix(struct queue *q, uint64_t id, struct span prefix, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_BODY_PREFIX);

	sql_bind(st, 1, queue_key(id));
	sql_bind_blob(st, 2, prefix);
	return sql_run(&q->sql, st, "signing a message", err);
}
