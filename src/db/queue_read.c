#include "db/queue_read.h"

#include <stdio.h>
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

/* ---- looking ------------------------------------------------------------------------------ */

static void put_head(const struct queue_look *look, char *out, size_t n)
{
	snprintf(out, n,
		 "select m.id, m.state, m.flags, m.size, m.wall, %s, m.port, %s, %s,"
		 " m.rcpt_total, m.incident, m.destination",
		 look->without & LOOK_NO_PEER ? "null" : "m.peer",
		 look->without & LOOK_NO_LOGIN ? "null" : "m.login",
		 look->without & LOOK_NO_SENDER ? "null" : "m.sender");
}

static const char *base_of(const struct queue_look *look)
{
	bool states = look->where && where_asks_state(look->where);

	switch (look->scope) {
	case SCOPE_ALL:
		return states ? "1" : "m.state <> 3";
	case SCOPE_HOLD:
		return queue_base(JOB_HOLD, look->where);
	case SCOPE_RELEASE:
		return queue_base(JOB_RELEASE, look->where);
	case SCOPE_PURGE:
		return queue_base(JOB_PURGE, look->where);
	case SCOPE_RETRY:
		return queue_base(JOB_RETRY, look->where);
	}
	return "0";
}

static void get_looked_at(sqlite3_stmt *st, struct queue_message *m)
{
	*m = (struct queue_message){
		.id = (uint64_t)sqlite3_column_int64(st, 0),
		.state = (enum queue_state)sqlite3_column_int(st, 1),
		.flags = (uint32_t)sqlite3_column_int64(st, 2),
		.size = (uint64_t)sqlite3_column_int64(st, 3),
		.wall = sqlite3_column_int64(st, 4),
		.login = sql_text(st, 7),
		.sender = sql_text(st, 8),
		.rcpt_total = (uint32_t)sqlite3_column_int64(st, 9),
		.incident = (uint32_t)sqlite3_column_int64(st, 10),
	};
	get_peer(st, 5, &m->peer);
}

/* Up to which id is looked at in one turn? */
static bool look_bound(struct queue_reader *r, const struct queue_look *look,
		       int64_t *out, struct err *err)
{
	sqlite3_stmt *st = sql_start(&r->sql, Q_LOOK_BOUND);
	bool row;

	sql_bind(st, 1, queue_key(look->after));
	sql_bind(st, 2, (int64_t)look->looks - 1);
	if (!sql_row(&r->sql, st, &row, "looking through the queue", err))
		return false;
	*out = row ? sqlite3_column_int64(st, 0) : INT64_MAX;
	sqlite3_reset(st);
	return true;
}

static bool look_on(struct queue_reader *r, sqlite3_stmt *st, struct queue_look *look,
		    int64_t until,
		    void (*each)(void *arg, const struct queue_message *m,
				 int64_t destination),
		    void *arg, struct err *err)
{
	struct queue_message m;
	size_t given = 0;
	bool row;

	for (; given < look->most; given++) {
		if (!sql_row(&r->sql, st, &row, "looking through the queue", err))
			return false;
		if (!row) {
			look->over = until == INT64_MAX;
			look->after = look->over ? look->after : (uint64_t)until;
			return true;
		}
		get_looked_at(st, &m);
		look->after = m.id;
		each(arg, &m, sqlite3_column_int64(st, 11));
	}
	return true;
}

bool queue_look(struct queue_reader *r, struct queue_look *look,
		void (*each)(void *arg, const struct queue_message *m, int64_t destination),
		void *arg, struct err *err)
{
	sqlite3_stmt *st = NULL;
	char head[256];
	int64_t until;
	bool good;

	put_head(look, head, sizeof(head));
	if (!look_bound(r, look, &until, err) ||
	    !queue_ask(&r->sql, head, base_of(look), look->where, &st, err))
		return false;
	sql_bind(st, 1, queue_key(look->after));
	sql_bind(st, 2, until);
	/* as an order that is made now: whatever older ones did */
	if (look->scope != SCOPE_ALL)
		sql_bind(st, 3, INT64_MAX);
	queue_ask_bind(st, look->where, look->wall);
	good = look_on(r, st, look, until, each, arg, err);
	sqlite3_finalize(st);
	return good;
}

bool queue_look_to(struct queue_reader *r, uint64_t id, size_t max,
		   void (*each)(void *arg, const struct queue_line *line), void *arg,
		   struct err *err)
{
	sqlite3_stmt *st = sql_start(&r->sql, Q_MAILQ_TO);
	bool row;

	sql_bind(st, 1, queue_key(id));
	sql_bind(st, 2, (int64_t)max);
	for (;;) {
		struct queue_line line = { 0 };

		if (!sql_row(&r->sql, st, &row, "reading recipients", err))
			return false;
		if (!row)
			return true;
		line.to.address = sql_text(st, 0);
		line.state = (enum to_state)sqlite3_column_int(st, 1);
		line.to.attempts = (uint32_t)sqlite3_column_int64(st, 2);
		line.to.due = or_never(st, 3);
		line.answer = sql_text(st, 4);
		each(arg, &line);
	}
}

/* Does the query, of this message, say anything but 0? */
static bool says_yes(struct queue_reader *r, enum query query, uint64_t id, bool *out,
		     struct err *err)
{
	sqlite3_stmt *st = sql_start(&r->sql, query);
	bool row;

	sql_bind(st, 1, queue_key(id));
	if (!sql_row(&r->sql, st, &row, "looking up a message", err))
		return false;
	*out = row && sqlite3_column_int(st, 0) != 0;
	sqlite3_reset(st);
	return true;
}

bool queue_is_deferred(struct queue_reader *r, uint64_t id, bool *out, struct err *err)
{
	return says_yes(r, Q_DEFERRED, id, out, err);
}

bool queue_look_hops(struct queue_reader *r, uint64_t id,
		     void (*each)(void *arg, int64_t destination), void *arg,
		     struct err *err)
{
	sqlite3_stmt *st = sql_start(&r->sql, Q_LOOK_HOPS);
	bool row;

	sql_bind(st, 1, queue_key(id));
	for (;;) {
		if (!sql_row(&r->sql, st, &row, "reading recipients", err))
			return false;
		if (!row)
			return true;
		each(arg, sqlite3_column_int64(st, 0));
	}
}

bool queue_each_target(struct queue_reader *r,
		       void (*each)(void *arg, int64_t id, int hop, struct span target),
		       void *arg, struct err *err)
{
	sqlite3_stmt *st = sql_start(&r->sql, Q_TARGETS);
	bool row;

	for (;;) {
		if (!sql_row(&r->sql, st, &row, "reading destinations", err))
			return false;
		if (!row)
			return true;
		each(arg, sqlite3_column_int64(st, 0), sqlite3_column_int(st, 1),
		     sql_text(st, 2));
	}
}

bool queue_each_job(struct queue_reader *r, uint32_t before, bool standing, size_t limit,
		    void (*each)(void *arg, const struct queue_job *j), void *arg,
		    struct err *err)
{
	sqlite3_stmt *st = sql_start(&r->sql, Q_JOBS);
	bool row;

	sql_bind(st, 1, before);
	sql_bind(st, 2, standing);
	sql_bind(st, 3, (int64_t)limit);
	for (;;) {
		struct queue_job j;

		if (!sql_row(&r->sql, st, &row, "reading orders", err))
			return false;
		if (!row)
			return true;
		j = (struct queue_job){
			.number = (uint32_t)sqlite3_column_int64(st, 0),
			.kind = (enum queue_job_kind)sqlite3_column_int(st, 1),
			.state = (enum queue_job_state)sqlite3_column_int(st, 2),
			.standing = sqlite3_column_int(st, 3) != 0,
			.made = sqlite3_column_int64(st, 4),
			.until = sqlite3_column_int64(st, 5),
			.ended = sqlite3_column_int64(st, 6),
			.condition = sql_text(st, 7),
			.why = sql_text(st, 8),
			.messages = sqlite3_column_int64(st, 9),
			.bytes = sqlite3_column_int64(st, 10),
		};
		each(arg, &j);
	}
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
	line->to.origin = sql_text(st, 12);
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

bool queue_held_of(struct queue_reader *r, struct span login, struct queue_held *out,
		   struct err *err)
{
	sqlite3_stmt *st = sql_start(&r->sql, Q_HELD_OF);
	int64_t first, last;
	bool row;

	*out = (struct queue_held){ 0 };
	sql_bind_text(st, 1, login);
	if (!sql_row(&r->sql, st, &row, "counting what is held", err))
		return false;
	if (row && sqlite3_column_int64(st, 0) > 0) {
		first = sqlite3_column_int64(st, 2);
		last = sqlite3_column_int64(st, 3);
		out->messages = sqlite3_column_int64(st, 0);
		out->oldest = sqlite3_column_int64(st, 1);
		out->incident = first == last ? first : 0;
	}
	sqlite3_reset(st);
	return true;
}

bool queue_is_spooled(struct queue_reader *r, uint64_t id, bool *out, struct err *err)
{
	return says_yes(r, Q_SPOOLED, id, out, err);
}
