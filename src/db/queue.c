#include "db/queue.h"

#include <stdlib.h>

#include "base/bug.h"
#include "db/queue_inner.h"

#define QUEUE_CACHE_KIB 32768
#define PAGE_BYTES	4096
#define QUEUE_LOG_PAGES 8192 /* 32 MiB: most pages are written several times until then */
#define QUEUE_LOG_LEAST 200

/*
 * Bodies have a table of their own: marking and deleting many messages then does not move
 * them. Recipients lie in the order of their messages, so one arriving message touches
 * one page of them.
 */
static const char schema[] =
	"create table message (id integer primary key, nonce integer not null,"
	" state integer not null, flags integer not null, size integer not null,"
	" wall integer not null, peer blob not null, port integer not null,"
	" listener integer not null, helo text not null, login text not null,"
	" sender text not null, rcpt_total integer not null, spooled integer not null);"
	"create index message_dead on message (wall) where state = 2;"
	"create table body (id integer primary key, bytes blob not null);"
	"create table recipient (message integer not null, number integer not null,"
	" address text not null, mailbox text not null, destination integer not null,"
	" state integer not null, attempts integer not null, due integer, tried integer,"
	" answer text, primary key (message, number)) without rowid;"
	"create index recipient_due on recipient (destination, due) where due is not null;"
	"create table destination (id integer primary key, hop integer not null,"
	" target text not null, unique (hop, target));"
	"create table done (id integer primary key, nonce integer not null, at integer not null);";

/*
 * What came later; a new database gets it, too. `destination` is that of a message's first
 * recipient, for counting; `job` the last order that changed it and `was` its state before,
 * so that the order can be undone. `ordered` is when it was purged, or else when an order
 * gave it a new start; 0: never.
 */
static const char *const upgrades[] = {
	/* to version 2: notices, incidents, orders */
	"alter table message add column envid text not null default '';"
	"alter table message add column incident integer not null default 0;"
	"alter table message add column job integer not null default 0;"
	"alter table message add column was integer not null default 0;"
	"alter table message add column destination integer not null default 0;"
	"update message set destination = coalesce((select destination from recipient"
	" where message = id order by number limit 1), 0);"
	"alter table body add column prefix blob;"
	"alter table recipient add column notify text not null default '';"
	"alter table recipient add column origin text not null default '';"
	"create index message_incident on message (incident) where incident > 0;"
	"create index message_job on message (job, wall) where job > 0;"
	"create table job (number integer primary key, kind integer not null,"
	" state integer not null, standing integer not null, made integer not null,"
	" until integer not null, ended integer not null, condition text not null,"
	" why text not null, position integer not null, last integer not null,"
	" messages integer not null, bytes integer not null);",
	/* to version 3: nobody knows when what is purged was, so all of it is kept for a day from now */
	"alter table message add column ordered integer not null default 0;"
	"update message set ordered = strftime('%s', 'now') * 1000 where state = 3;"
	"drop index message_job;"
	"create index message_job on message (job, ordered) where job > 0;"
	"drop index message_dead;"
	"create index message_dead on message (max(wall, ordered)) where state = 2;",
};

/* An index, so that nobody has to look through the queue for what is held: only that is in it. */
static const char additions[] =
	"create index if not exists message_held on message (login collate nocase, wall,"
	" incident, state) where state = 1;";

static bool recover(struct queue *q, int64_t wall, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_RECOVER);

	sql_bind(st, 1, wall);
	return sql_run(&q->sql, st, "recovering the queue", err);
}

bool queue_open(struct queue **out, const char *path, int64_t wall, struct err *err)
{
	struct sql_setup setup = {
		.database = DB_QUEUE,
		.path = path,
		.application = QUEUE_APPLICATION,
		.version = QUEUE_VERSION,
		.schema = schema,
		.upgrades = upgrades,
		.additions = additions,
		.cache_kib = QUEUE_CACHE_KIB,
	};
	struct queue *q = calloc(1, sizeof(*q));

	if (!q)
		return err_set(err, "out of memory");
	q->log_pages = QUEUE_LOG_PAGES;
	if (!sql_open(&q->sql, &setup, err)) {
		free(q);
		return false;
	}
	if (!recover(q, wall, err) || !queue_orders_load(q, err) ||
	    !sql_checkpoint(&q->sql, err)) {
		queue_close(&q);
		return false;
	}
	*out = q;
	return true;
}

void queue_close(struct queue **q)
{
	if (!*q)
		return;
	queue_orders_close(*q);
	sql_close(&(*q)->sql);
	free(*q);
	*q = NULL;
}

enum trouble queue_trouble(const struct queue *q)
{
	return q->sql.trouble;
}

bool queue_begin(struct queue *q, struct err *err)
{
	return sql_plain(&q->sql, Q_BEGIN, "begin", err);
}

bool queue_commit(struct queue *q, struct err *err)
{
	sql_end_all(&q->sql);
	if (!sql_plain(&q->sql, Q_COMMIT, "commit", err))
		return false;
	q->orders_touched = false;
	q->purged += q->purged_now;
	q->purged_now = 0;
	return true;
}

void queue_rollback(struct queue *q)
{
	enum trouble trouble = q->sql.trouble;
	struct err ignored;

	sql_end_all(&q->sql);
	/* after a full disk SQLite may have rolled back by itself */
	if (!sqlite3_get_autocommit(q->sql.db) &&
	    !sql_plain(&q->sql, Q_ROLLBACK, "rollback", &ignored))
		trouble = TROUBLE_BROKEN;
	q->purged_now = 0;
	if (q->orders_touched && !queue_orders_load(q, &ignored))
		trouble = TROUBLE_BROKEN;
	q->sql.trouble = trouble;
}

bool queue_wants_checkpoint(const struct queue *q, bool at_rest)
{
	return q->sql.wal_pages >= (at_rest ? q->log_pages / 10 : q->log_pages);
}

void queue_limit_log(struct queue *q, int64_t bytes)
{
	int64_t pages = bytes / PAGE_BYTES;

	q->log_pages = pages < QUEUE_LOG_LEAST	 ? QUEUE_LOG_LEAST
		       : pages < QUEUE_LOG_PAGES ? (int)pages
						 : QUEUE_LOG_PAGES;
}

bool queue_checkpoint(struct queue *q, struct err *err)
{
	return sql_checkpoint(&q->sql, err);
}

bool queue_count(struct queue *q, int64_t counts[QUEUE_GONE], struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_COUNT);
	bool row;

	for (int i = 0; i < QUEUE_GONE; i++)
		counts[i] = 0;
	for (;;) {
		int64_t state;

		if (!sql_row(&q->sql, st, &row, "counting the queue", err))
			return false;
		if (!row)
			return true;
		state = sqlite3_column_int64(st, 0);
		if (state >= 0 && state < QUEUE_GONE)
			counts[state] = sqlite3_column_int64(st, 1);
	}
}

bool queue_held(struct queue *q, int64_t *out, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_HELD);
	bool row;

	if (!sql_row(&q->sql, st, &row, "counting what is held", err))
		return false;
	*out = row ? sqlite3_column_int64(st, 0) : 0;
	sqlite3_reset(st);
	return true;
}

bool queue_newest(struct queue *q, uint64_t *out, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_NEWEST);
	bool row;

	if (!sql_row(&q->sql, st, &row, "reading ids", err))
		return false;
	*out = row ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
	sqlite3_reset(st);
	return true;
}

bool queue_known(struct queue *q, uint64_t id, uint64_t nonce, enum queue_put *out,
		 struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_NONCE);
	bool row;

	sql_bind(st, 1, queue_key(id));
	if (!sql_row(&q->sql, st, &row, "looking up an id", err))
		return false;
	*out = QUEUE_PUT;
	if (row)
		*out = sqlite3_column_int64(st, 0) == queue_key(nonce) ? QUEUE_SAME
								       : QUEUE_TAKEN;
	sqlite3_reset(st);
	return true;
}

static bool put_message(struct queue *q, const struct queue_message *m,
			int64_t destination, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_MESSAGE_PUT);

	sql_bind(st, 1, queue_key(m->id));
	sql_bind(st, 2, queue_key(m->nonce));
	sql_bind(st, 3, m->flags);
	sql_bind(st, 4, (int64_t)m->size);
	sql_bind(st, 5, m->wall);
	sql_bind_blob(st, 6, span_of(m->peer.addr.ip, sizeof(m->peer.addr.ip)));
	sql_bind(st, 7, m->peer.port);
	sql_bind(st, 8, m->listener);
	sql_bind_text(st, 9, m->helo);
	sql_bind_text(st, 10, m->login);
	sql_bind_text(st, 11, m->sender);
	sql_bind(st, 12, m->rcpt_total);
	sql_bind(st, 13, m->spooled);
	sql_bind(st, 14, m->state);
	sql_bind_text(st, 15, m->envid);
	sql_bind(st, 16, m->incident);
	sql_bind(st, 17, destination);
	return sql_run(&q->sql, st, "storing a message", err);
}

static bool put_body(struct queue *q, const struct queue_message *m, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_BODY_PUT);

	sql_bind(st, 1, queue_key(m->id));
	sql_bind_blob(st, 2, m->body);
	if (m->prefix.n)
		sql_bind_blob(st, 3, m->prefix);
	else
		sqlite3_bind_null(st, 3);
	return sql_run(&q->sql, st, "storing a body", err);
}

bool queue_put_to(struct queue *q, uint64_t id, const struct queue_to *to, bool held,
		  struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_TO_PUT);

	sql_bind(st, 1, queue_key(id));
	sql_bind(st, 2, to->number);
	sql_bind_text(st, 3, to->address);
	sql_bind_text(st, 4, to->mailbox);
	sql_bind(st, 5, to->destination);
	if (held || to->due == QUEUE_IN_HAND)
		sqlite3_bind_null(st, 6);
	else
		sql_bind(st, 6, to->due);
	sql_bind(st, 7, held ? TO_HELD : TO_WAITING);
	sql_bind_text(st, 8, to->notify);
	sql_bind_text(st, 9, to->origin);
	return sql_run(&q->sql, st, "storing a recipient", err);
}

bool queue_put(struct queue *q, const struct queue_message *m, const struct queue_to *to,
	       size_t to_count, enum queue_put *out, struct err *err)
{
	bool held = m->state == QUEUE_HELD, caught = false;
	enum queue_put got;

	if (!queue_known(q, m->id, m->nonce, &got, err))
		return false;
	if (got == QUEUE_PUT) {
		BUG_IF(!held && m->state != QUEUE_OPEN);
		if (!put_message(q, m, to_count ? to[0].destination : 0, err) ||
		    ((!m->spooled || m->prefix.n) && !put_body(q, m, err)))
			return false;
		for (size_t i = 0; i < to_count; i++)
			if (!queue_put_to(q, m->id, &to[i], held, err))
				return false;
		if (q->order_count && !queue_catch(q, m->id, true, m->wall, &caught, err))
			return false;
		if (held || caught)
			got = QUEUE_KEPT;
	}
	*out = got;
	return true;
}

static bool drop(struct queue *q, enum query which, uint64_t id, struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, which);

	sql_bind(st, 1, queue_key(id));
	return sql_run(&q->sql, st, "deleting a message", err);
}

/* All but the message's own row; id and nonce are remembered. */
static bool forget(struct queue *q, uint64_t id, uint64_t nonce, int64_t wall,
		   struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_DONE_PUT);

	sql_bind(st, 1, queue_key(id));
	sql_bind(st, 2, queue_key(nonce));
	sql_bind(st, 3, wall);
	return sql_run(&q->sql, st, "finishing a message", err) &&
	       drop(q, Q_BODY_DROP, id, err) && drop(q, Q_TO_DROP, id, err);
}

bool queue_drop(struct queue *q, uint64_t id, uint64_t nonce, int64_t wall,
		struct err *err)
{
	return drop(q, Q_MESSAGE_DROP, id, err) && forget(q, id, nonce, wall, err);
}

bool queue_finish(struct queue *q, uint64_t id, uint64_t nonce, int64_t wall, bool *left,
		  struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_MESSAGE_DROP);
	bool row;

	sql_bind(st, 1, queue_key(id));
	if (!sql_row(&q->sql, st, &row, "finishing a message", err))
		return false;
	/* what was purged meanwhile left the queue then */
	*left = row && sqlite3_column_int(st, 0) != QUEUE_PURGED;
	sqlite3_reset(st);
	return forget(q, id, nonce, wall, err);
}

bool queue_prune_done(struct queue *q, int64_t before, size_t limit, uint32_t *count,
		      struct err *err)
{
	sqlite3_stmt *st = sql_start(&q->sql, Q_DONE_PRUNE);

	sql_bind(st, 1, before);
	sql_bind(st, 2, (int64_t)limit);
	if (!sql_run(&q->sql, st, "pruning finished ids", err))
		return false;
	*count = (uint32_t)sql_changes(&q->sql);
	return true;
}
