#include "db/state.h"

#include <stdlib.h>

#include "base/list.h"
#include "db/sql.h"

#define STATE_APPLICATION 0x48465354u /* "HFST" */
#define STATE_VERSION	  1
#define STATE_CACHE_KIB	  4096
#define STATE_LOG_PAGES	  1024

/* So much of a snapshot in one row: what is torn there costs no more. */

struct state {
	struct sql sql;
};

static const char schema[] =
	"create table user (address text primary key, quota integer not null) without rowid;"
	"create table alias (address text not null, target text not null,"
	" primary key (address, target)) without rowid;"
	"create table domain (name text primary key, catch_all text not null) without rowid;"
	"create table verified (address text primary key, good integer not null,"
	" at integer not null) without rowid;"
	"create index verified_at on verified (at);";

static const char additions[] =
	"create table if not exists guard_memory"
	" (part integer primary key, bytes blob not null);"
	"create table if not exists secret (name text primary key, bytes blob not null)"
	" without rowid;"
	"create table if not exists sent (login text primary key, at integer not null,"
	" bytes blob not null);"
	"create table if not exists located (login text primary key,"
	" backend text not null) without rowid;";

bool state_open(struct state **out, const char *path, struct err *err)
{
	struct sql_setup setup = {
		.database = DB_STATE,
		.path = path,
		.application = STATE_APPLICATION,
		.version = STATE_VERSION,
		.schema = schema,
		.additions = additions,
		.cache_kib = STATE_CACHE_KIB,
	};
	struct state *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(err, "out of memory");
	if (!sql_open(&s->sql, &setup, err)) {
		free(s);
		return false;
	}
	*out = s;
	return true;
}

void state_close(struct state **s)
{
	if (!*s)
		return;
	sql_close(&(*s)->sql);
	free(*s);
	*s = NULL;
}

enum trouble state_trouble(const struct state *s)
{
	return s->sql.trouble;
}

bool state_begin(struct state *s, struct err *err)
{
	return sql_plain(&s->sql, Q_S_BEGIN, "begin", err);
}

bool state_commit(struct state *s, struct err *err)
{
	sql_end_all(&s->sql);
	if (!sql_plain(&s->sql, Q_S_COMMIT, "commit", err))
		return false;
	/* it is durable already; a log that cannot be moved now is moved later */
	if (s->sql.wal_pages >= STATE_LOG_PAGES) {
		struct err ignored;

		if (!sql_checkpoint(&s->sql, &ignored))
			s->sql.wal_pages = 0;
	}
	return true;
}

void state_rollback(struct state *s)
{
	struct err ignored;

	if (!sqlite3_get_autocommit(s->sql.db) &&
	    !sql_plain(&s->sql, Q_S_ROLLBACK, "rollback", &ignored))
		s->sql.trouble = TROUBLE_BROKEN;
}

/* ---- changing ------------------------------------------------------------------------------ */

static bool put_number(struct state *s, enum query q, struct span key, int64_t n,
		       const char *what, struct err *err)
{
	sqlite3_stmt *st = sql_start(&s->sql, q);

	sql_bind_text(st, 1, key);
	sql_bind(st, 2, n);
	return sql_run(&s->sql, st, what, err);
}

static bool put_text(struct state *s, enum query q, struct span key, struct span value,
		     const char *what, struct err *err)
{
	sqlite3_stmt *st = sql_start(&s->sql, q);

	sql_bind_text(st, 1, key);
	sql_bind_text(st, 2, value);
	return sql_run(&s->sql, st, what, err);
}

static bool drop(struct state *s, enum query q, struct span key, const char *what,
		 struct err *err)
{
	sqlite3_stmt *st = sql_start(&s->sql, q);

	sql_bind_text(st, 1, key);
	return sql_run(&s->sql, st, what, err);
}

bool state_put_user(struct state *s, struct span address, int64_t quota, struct err *err)
{
	return put_number(s, Q_USER_PUT, address, quota, "storing a user", err);
}

bool state_drop_user(struct state *s, struct span address, struct err *err)
{
	return drop(s, Q_USER_DROP, address, "removing a user", err);
}

bool state_put_alias(struct state *s, struct span address, struct span targets,
		     struct err *err)
{
	struct span target;

	if (!state_drop_alias(s, address, err))
		return false;
	while (list_next(&targets, &target))
		if (!put_text(s, Q_ALIAS_PUT, address, target, "storing an alias", err))
			return false;
	return true;
}

bool state_drop_alias(struct state *s, struct span address, struct err *err)
{
	return drop(s, Q_ALIAS_DROP, address, "removing an alias", err);
}

bool state_put_domain(struct state *s, struct span name, struct span catch_all,
		      struct err *err)
{
	return put_text(s, Q_DOMAIN_PUT, name, catch_all, "storing a domain", err);
}

bool state_drop_domain(struct state *s, struct span name, struct err *err)
{
	return drop(s, Q_DOMAIN_DROP, name, "removing a domain", err);
}

bool state_put_located(struct state *s, struct span login, struct span backend,
		       struct err *err)
{
	return put_text(s, Q_LOCATED_PUT, login, backend, "storing a mailbox server", err);
}

bool state_drop_located(struct state *s, struct span login, struct err *err)
{
	return drop(s, Q_LOCATED_DROP, login, "removing a mailbox server", err);
}

bool state_put_verified(struct state *s, struct span address, bool good, int64_t at,
			struct err *err)
{
	sqlite3_stmt *st = sql_start(&s->sql, Q_VERIFIED_PUT);

	sql_bind_text(st, 1, address);
	sql_bind(st, 2, good);
	sql_bind(st, 3, at);
	return sql_run(&s->sql, st, "remembering an answer", err);
}

bool state_drop_verified(struct state *s, struct span address, struct err *err)
{
	return drop(s, Q_VERIFIED_DROP, address, "forgetting an answer", err);
}

bool state_prune_verified(struct state *s, int64_t good_before, int64_t bad_before,
			  size_t limit, struct err *err)
{
	sqlite3_stmt *st = sql_start(&s->sql, Q_VERIFIED_PRUNE);

	sql_bind(st, 1, good_before);
	sql_bind(st, 2, bad_before);
	sql_bind(st, 3, (int64_t)limit);
	return sql_run(&s->sql, st, "forgetting answers", err);
}

bool state_put_sent(struct state *s, const struct state_sent *sent, struct err *err)
{
	sqlite3_stmt *st = sql_start(&s->sql, Q_SENT_PUT);

	sql_bind_text(st, 1, sent->login);
	sql_bind(st, 2, sent->at);
	sql_bind_blob(st, 3, sent->bytes);
	return sql_run(&s->sql, st, "remembering what an account sent", err);
}

bool state_prune_sent(struct state *s, int64_t before, struct err *err)
{
	sqlite3_stmt *st = sql_start(&s->sql, Q_SENT_PRUNE);

	sql_bind(st, 1, before);
	return sql_run(&s->sql, st, "forgetting what accounts sent", err);
}

static bool get_secret(struct state *s, struct span name, uint8_t *out, size_t n,
		       bool *found, struct err *err)
{
	sqlite3_stmt *st = sql_start(&s->sql, Q_SECRET);
	bool row;

	sql_bind_text(st, 1, name);
	if (!sql_row(&s->sql, st, &row, "reading a key", err))
		return false;
	*found = row && sql_text(st, 0).n == n;
	if (*found)
		memcpy(out, sql_text(st, 0).p, n);
	sqlite3_reset(st);
	return true;
}

bool state_secret(struct state *s, struct span name, uint8_t *secret, size_t n,
		  struct err *err)
{
	sqlite3_stmt *st;
	uint8_t kept[64];
	bool found;

	if (n > sizeof(kept))
		return err_set(err, "a key is too long");
	if (!get_secret(s, name, kept, n, &found, err))
		return false;
	if (found) {
		memcpy(secret, kept, n);
		explicit_bzero(kept, sizeof(kept));
		return true;
	}
	st = sql_start(&s->sql, Q_SECRET_PUT);
	sql_bind_text(st, 1, name);
	sql_bind_blob(st, 2, span_of(secret, n));
	return sql_run(&s->sql, st, "storing a key", err);
}

/* Where the parts of each half begin; the row before the first says which one counts. */
static int64_t first_part(unsigned half)
{
	return half ? INT64_C(1) << 32 : 0;
}

#define MEMORY_HEAD INT64_C(-1)

static bool put_part(struct state *s, int64_t part, struct span bytes, struct err *err)
{
	sqlite3_stmt *st = sql_start(&s->sql, Q_MEMORY_PUT);

	sql_bind(st, 1, part);
	sql_bind_blob(st, 2, bytes);
	return sql_run(&s->sql, st, "storing the guard's memory", err);
}

bool state_put_memory(struct state *s, unsigned half, uint64_t part, struct span bytes,
		      struct err *err)
{
	for (; bytes.n; part++) {
		struct span piece = span_head(bytes, STATE_PART);

		if (!put_part(s, first_part(half) + (int64_t)part, piece, err))
			return false;
		bytes = span_skip(bytes, piece.n);
	}
	return true;
}

bool state_end_memory(struct state *s, const struct state_memory *m, struct err *err)
{
	uint64_t head[3] = { m->life, m->parts, m->half };
	sqlite3_stmt *st = sql_start(&s->sql, Q_MEMORY_DROP);

	/* of a longer one that was there before */
	sql_bind(st, 1, first_part(m->half) + (int64_t)m->parts);
	sql_bind(st, 2, first_part(m->half) + first_part(1));
	return sql_run(&s->sql, st, "forgetting an old snapshot", err) &&
	       put_part(s, MEMORY_HEAD, span_of(head, sizeof(head)), err);
}

/* ---- reading ------------------------------------------------------------------------------- */

bool state_each_user(struct state *s,
		     void (*each)(void *arg, struct span address, int64_t quota),
		     void *arg, struct err *err)
{
	sqlite3_stmt *st = sql_start(&s->sql, Q_USERS);
	bool row;

	for (;;) {
		if (!sql_row(&s->sql, st, &row, "reading users", err))
			return false;
		if (!row)
			return true;
		each(arg, sql_text(st, 0), sqlite3_column_int64(st, 1));
	}
}

static bool each_pair(struct state *s, enum query q,
		      void (*each)(void *arg, struct span a, struct span b), void *arg,
		      const char *what, struct err *err)
{
	sqlite3_stmt *st = sql_start(&s->sql, q);
	bool row;

	for (;;) {
		if (!sql_row(&s->sql, st, &row, what, err))
			return false;
		if (!row)
			return true;
		each(arg, sql_text(st, 0), sql_text(st, 1));
	}
}

bool state_each_alias(struct state *s,
		      void (*each)(void *arg, struct span address, struct span target),
		      void *arg, struct err *err)
{
	return each_pair(s, Q_ALIASES, each, arg, "reading aliases", err);
}

bool state_each_domain(struct state *s,
		       void (*each)(void *arg, struct span name, struct span catch_all),
		       void *arg, struct err *err)
{
	return each_pair(s, Q_DOMAINS, each, arg, "reading domains", err);
}

bool state_each_located(struct state *s,
			void (*each)(void *arg, struct span login, struct span backend),
			void *arg, struct err *err)
{
	return each_pair(s, Q_LOCATED, each, arg, "reading mailbox servers", err);
}

bool state_each_verified(struct state *s, size_t limit,
			 void (*each)(void *arg, struct span address, bool good,
				      int64_t at),
			 void *arg, struct err *err)
{
	sqlite3_stmt *st = sql_start(&s->sql, Q_VERIFIED);
	bool row;

	sql_bind(st, 1, (int64_t)limit);
	for (;;) {
		if (!sql_row(&s->sql, st, &row, "reading answers", err))
			return false;
		if (!row)
			return true;
		each(arg, sql_text(st, 0), sqlite3_column_int(st, 1) != 0,
		     sqlite3_column_int64(st, 2));
	}
}

bool state_each_sent(struct state *s, size_t limit,
		     void (*each)(void *arg, const struct state_sent *sent), void *arg,
		     struct err *err)
{
	sqlite3_stmt *st = sql_start(&s->sql, Q_SENT);
	bool row;

	sql_bind(st, 1, (int64_t)limit);
	for (;;) {
		struct state_sent sent;

		if (!sql_row(&s->sql, st, &row, "reading what accounts sent", err))
			return false;
		if (!row)
			return true;
		sent = (struct state_sent){ sql_text(st, 0), sqlite3_column_int64(st, 1),
					    sql_text(st, 2) };
		each(arg, &sent);
	}
}

static bool each_part(struct state *s, int64_t from, int64_t to,
		      void (*each)(void *arg, struct span part), void *arg,
		      struct err *err)
{
	sqlite3_stmt *st = sql_start(&s->sql, Q_MEMORY);
	bool row;

	sql_bind(st, 1, from);
	sql_bind(st, 2, to);
	for (;;) {
		if (!sql_row(&s->sql, st, &row, "reading the guard's memory", err))
			return false;
		if (!row)
			return true;
		each(arg, sql_text(st, 0));
	}
}

/* A row that makes no sense is none. */
static void on_head(void *arg, struct span bytes)
{
	struct state_memory *m = arg;
	uint64_t head[3];

	if (bytes.n != sizeof(head))
		return;
	memcpy(head, bytes.p, sizeof(head));
	if (head[1] <= UINT32_MAX && head[2] <= 1)
		*m = (struct state_memory){ head[0], head[1], (unsigned)head[2] };
}

bool state_get_memory(struct state *s, struct state_memory *out, struct err *err)
{
	*out = (struct state_memory){ 0 };
	return each_part(s, MEMORY_HEAD, 0, on_head, out, err);
}

bool state_each_memory(struct state *s, const struct state_memory *m,
		       void (*each)(void *arg, struct span part), void *arg,
		       struct err *err)
{
	int64_t first = first_part(m->half);

	return each_part(s, first, first + (int64_t)m->parts, each, arg, err);
}
