#include "db/accounts.h"

#include <stdlib.h>

#include "db/sql.h"

#define ACCOUNTS_MARK	 0x48464155u /* "HFAU" */
#define ACCOUNTS_VERSION 1

static const char schema[] =
	"create table password (address text primary key, hash text not null,"
	" changed integer not null) without rowid, strict";

struct accounts {
	struct sql sql;
};

bool accounts_open(struct accounts **out, const char *path, struct err *err)
{
	struct sql_setup setup = {
		.database = DB_ACCOUNTS,
		.path = path,
		.application = ACCOUNTS_MARK,
		.version = ACCOUNTS_VERSION,
		.schema = schema,
		.cache_kib = 1024,
	};
	struct accounts *a = calloc(1, sizeof(*a));

	if (!a)
		return err_set(err, "out of memory");
	if (!sql_open(&a->sql, &setup, err)) {
		free(a);
		return false;
	}
	*out = a;
	return true;
}

void accounts_close(struct accounts **accounts)
{
	struct accounts *a = *accounts;

	*accounts = NULL;
	if (!a)
		return;
	sql_close(&a->sql);
	free(a);
}

/* Changes are rare: each one empties the log behind it. */
static bool settle(struct accounts *a, struct err *err)
{
	return a->sql.wal_pages < 100 || sql_checkpoint(&a->sql, err);
}

bool accounts_put(struct accounts *a, struct span address, struct span hash, int64_t wall,
		  struct err *err)
{
	sqlite3_stmt *st = sql_start(&a->sql, Q_PASSWORD_PUT);

	sql_bind_text(st, 1, address);
	sql_bind_text(st, 2, hash);
	sql_bind(st, 3, wall);
	return sql_run(&a->sql, st, "storing a password", err) && settle(a, err);
}

bool accounts_drop(struct accounts *a, struct span address, bool *found, struct err *err)
{
	sqlite3_stmt *st = sql_start(&a->sql, Q_PASSWORD_DROP);

	sql_bind_text(st, 1, address);
	if (!sql_run(&a->sql, st, "removing a password", err))
		return false;
	*found = sql_changes(&a->sql) > 0;
	return settle(a, err);
}

bool accounts_get(struct accounts *a, struct span address, struct span *hash,
		  struct err *err)
{
	sqlite3_stmt *st = sql_start(&a->sql, Q_PASSWORD_GET);
	bool row;

	sql_bind_text(st, 1, address);
	if (!sql_row(&a->sql, st, &row, "looking up a password", err))
		return false;
	*hash = row ? sql_text(st, 0) : SPAN_NONE;
	return true;
}

/* "argon2id" of "$argon2id$v=19$...". */
static struct span scheme_of(struct span hash)
{
	struct span rest = span_skip(hash, 1);

	return span_head(rest, span_find(rest, '$'));
}

bool accounts_each(struct accounts *a, struct span after, size_t limit,
		   void (*each)(void *arg, struct span address, struct span scheme,
				int64_t changed),
		   void *arg, struct err *err)
{
	sqlite3_stmt *st = sql_start(&a->sql, Q_PASSWORDS);
	bool row;

	sql_bind_text(st, 1, after);
	sql_bind(st, 2, (int64_t)limit);
	for (;;) {
		if (!sql_row(&a->sql, st, &row, "listing passwords", err))
			return false;
		if (!row)
			return true;
		each(arg, sql_text(st, 0), scheme_of(sql_text(st, 1)),
		     sqlite3_column_int64(st, 2));
	}
}
