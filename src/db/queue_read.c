#include "db/queue_read.h"

#include <stdlib.h>

#include "db/queue_inner.h"

#define READER_CACHE_KIB 4096

struct queue_reader {
	struct sql sql;
};

bool queue_reader_open(struct queue_reader **out, const char *path, struct err *err)
{
	struct sql_setup setup = {
		.database = DB_READER,
		.path = path,
		.cache_kib = READER_CACHE_KIB,
	};
	struct queue_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(err, "out of memory");
	if (!sql_open(&r->sql, &setup, err)) {
		free(r);
		return false;
	}
	*out = r;
	return true;
}

void queue_reader_close(struct queue_reader **r)
{
	if (!*r)
		return;
	sql_close(&(*r)->sql);
	free(*r);
	*r = NULL;
}

static void get_peer(sqlite3_stmt *st, int column, struct endpoint *out)
{
	struct span ip = sql_text(st, column);

	if (ip.n == sizeof(out->addr.ip))
		memcpy(out->addr.ip, ip.p, ip.n);
	out->port = (uint16_t)sqlite3_column_int(st, column + 1);
}

static int64_t or_never(sqlite3_stmt *st, int column)
{
	return sqlite3_column_type(st, column) == SQLITE_NULL
		       ? MS_NEVER
		       : sqlite3_column_int64(st, column);
}

/* ---- list --------------------------------------------------------------------------------- */

static bool first_line(struct queue_reader *r, uint64_t id, struct queue_line *out,
		       bool *found, struct err *err)
{
	sqlite3_stmt *st = sql_start(&r->sql, Q_LIST_FIRST);

	sql_bind(st, 1, queue_key(id));
	if (!sql_row(&r->sql, st, found, "reading a recipient", err))
		return false;
	*out = (struct queue_line){ 0 };
	if (!*found)
		return true;
	out->to.address = sql_text(st, 0);
	out->to.due = or_never(st, 1);
	out->answer = sql_text(st, 2);
	out->to.attempts = (uint32_t)sqlite3_column_int64(st, 3);
	return true;
}

static void get_listed(sqlite3_stmt *st, struct queue_message *m)
{
	*m = (struct queue_message){
		.id = (uint64_t)sqlite3_column_int64(st, 0),
		.state = (enum queue_state)sqlite3_column_int(st, 1),
		.size = (uint64_t)sqlite3_column_int64(st, 2),
		.wall = sqlite3_column_int64(st, 3),
		.sender = sql_text(st, 6),
		.rcpt_total = (uint32_t)sqlite3_column_int64(st, 7),
	};
	get_peer(st, 4, &m->peer);
}

bool queue_list(struct queue_reader *r, const struct queue_filter *filter, uint64_t after,
		size_t limit,
		void (*each)(void *arg, const struct queue_message *m,
			     const struct queue_line *first),
		void *arg, uint64_t *last, struct err *err)
{
	sqlite3_stmt *st = sql_start(&r->sql, Q_LIST);
	struct queue_message m = { 0 };
	struct queue_line line;
	size_t count = 0;
	bool row, found;

	sql_bind(st, 1, queue_key(after));
	sql_bind(st, 2, filter->state);
	sql_bind_text(st, 3, filter->sender);
	sql_bind_text(st, 4, filter->recipient);
	if (filter->by_peer)
		sql_bind_blob(st, 5, span_of(filter->peer.ip, sizeof(filter->peer.ip)));
	else
		sqlite3_bind_null(st, 5);
	sql_bind(st, 6, (int64_t)limit);
	for (;; count++) {
		if (!sql_row(&r->sql, st, &row, "listing the queue", err))
			return false;
		if (!row)
			break;
		get_listed(st, &m);
		if (!first_line(r, m.id, &line, &found, err)) {
			sqlite3_reset(st);
			return false;
		}
		each(arg, &m, found ? &line : NULL);
		sqlite3_reset(r->sql.query[Q_LIST_FIRST]);
	}
	*last = count == limit ? m.id : 0;
	return true;
}

/* ---- show ---------------------------------------------------------------------------------- */

bool queue_show(struct queue_reader *r, uint64_t id, size_t body_max,
		void (*each)(void *arg, const struct queue_message *m), void *arg,
		struct err *err)
{
	sqlite3_stmt *st = sql_start(&r->sql, Q_SHOW);
	sqlite3_stmt *body = sql_start(&r->sql, Q_SHOW_BODY);
	struct queue_message m = { .id = id };
	bool row, has_body;

	sql_bind(st, 1, queue_key(id));
	sql_bind(body, 1, queue_key(id));
	sql_bind(body, 2, (int64_t)body_max);
	if (!sql_row(&r->sql, st, &row, "reading a message", err))
		return false;
	if (!row)
		return true;
	queue_columns(st, &m);
	if (!sql_row(&r->sql, body, &has_body, "reading a body", err)) {
		sqlite3_reset(st);
		return false;
	}
	if (has_body)
		m.body = sql_text(body, 0);
	each(arg, &m);
	sqlite3_reset(body);
	sqlite3_reset(st);
	return true;
}

static void get_line(sqlite3_stmt *st, struct queue_line *line)
{
	*line = (struct queue_line){
		.to = {
			.number = (uint32_t)sqlite3_column_int64(st, 0),
			.address = sql_text(st, 1),
			.mailbox = sql_text(st, 2),
			.destination = sqlite3_column_int64(st, 3),
			.attempts = (uint32_t)sqlite3_column_int64(st, 5),
			.due = or_never(st, 6),
		},
		.state = (enum to_state)sqlite3_column_int(st, 4),
		.tried = sqlite3_column_int64(st, 7),
		.answer = sql_text(st, 8),
		.hop = sqlite3_column_int(st, 9),
		.target = sql_text(st, 10),
	};
	line->to.notify = sql_text(st, 11);
}

bool queue_show_lines(struct queue_reader *r, uint64_t id, int64_t after, size_t limit,
		      void (*each)(void *arg, const struct queue_line *line), void *arg,
		      int64_t *last, struct err *err)
{
	sqlite3_stmt *st = sql_start(&r->sql, Q_SHOW_TO);
	struct queue_line line = { 0 };
	size_t count = 0;
	bool row;

	sql_bind(st, 1, queue_key(id));
	sql_bind(st, 2, after);
	sql_bind(st, 3, (int64_t)limit);
	for (;; count++) {
		if (!sql_row(&r->sql, st, &row, "reading recipients", err))
			return false;
		if (!row)
			break;
		get_line(st, &line);
		each(arg, &line);
	}
	*last = count == limit ? (int64_t)line.to.number : -1;
	return true;
}

/* ---- numbers -------------------------------------------------------------------------------- */

bool queue_stats(struct queue_reader *r,
		 void (*each)(void *arg, const struct queue_stat *stat), void *arg,
		 struct err *err)
{
	sqlite3_stmt *st = sql_start(&r->sql, Q_STATS);
	bool row;

	for (;;) {
		struct queue_stat stat;

		if (!sql_row(&r->sql, st, &row, "counting the queue", err))
			return false;
		if (!row)
			return true;
		stat = (struct queue_stat){
			.hop = sqlite3_column_int(st, 0),
			.target = sql_text(st, 1),
			.state = (enum to_state)sqlite3_column_int(st, 2),
			.recipients = sqlite3_column_int64(st, 3),
			.next = or_never(st, 4),
			.tried = sqlite3_column_int64(st, 5),
		};
		each(arg, &stat);
	}
}

bool queue_is_spooled(struct queue_reader *r, uint64_t id, bool *out, struct err *err)
{
	sqlite3_stmt *st = sql_start(&r->sql, Q_SPOOLED);
	bool row;

	sql_bind(st, 1, queue_key(id));
	if (!sql_row(&r->sql, st, &row, "looking up a message", err))
		return false;
	*out = row && sqlite3_column_int(st, 0) != 0;
	sqlite3_reset(st);
	return true;
}
