#include "db/vault.h"

#include <stdlib.h>

#include "db/vault_inner.h"

#define VAULT_MARK    0x48464155u /* "HFAU" */
#define VAULT_VERSION 1

static const char schema[] =
	"create table password (address text primary key, hash text not null,"
	" changed integer not null) without rowid, strict";

/*
 * Tables that came later. A program of before does not know them: it changes a password and
 * leaves the keys, which is why those name the hash that they belong to.
 */
static const char additions[] =
	"create table if not exists secret (name text primary key, bytes blob not null)"
	" without rowid, strict;"
	"create table if not exists scram (address text primary key, keys text not null,"
	" hash text not null) without rowid, strict;"
	"create table if not exists disabled (address text primary key,"
	" since integer not null) without rowid, strict;"
	"create table if not exists credential (name text primary key, user text not null,"
	" secret text not null, changed integer not null) without rowid, strict;"
	"create table if not exists device (user integer not null, client integer not null,"
	" prefix blob not null, address text not null, helo text not null,"
	" first integer not null, last integer not null, logins integer not null,"
	" primary key (user, client, prefix)) without rowid, strict;"
	"create index if not exists device_address on device (address, last);"
	"create index if not exists device_last on device (last);"
	"create table if not exists history (id integer primary key, address text not null,"
	" good integer not null, prefix blob not null, client integer not null,"
	" reason text not null, mechanism text not null, peer blob not null,"
	" helo text not null, first integer not null, last integer not null,"
	" count integer not null, unique (address, good, prefix, client, reason)) strict;"
	"create table if not exists told (address text not null, kind text not null,"
	" at integer not null, primary key (address, kind)) without rowid, strict;";

struct vault_reader {
	struct sql sql;
};

/* All of them: the database is ours alone until it is closed, so that later they are told. */
static bool read_names(struct vault *v, struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, Q_PASSWORD_NAMES);
	bool row;

	for (;;) {
		if (!sql_row(&v->sql, st, &row, "reading names", err))
			return false;
		if (!row)
			return true;
		nameset_put(v->names, sql_text(st, 0));
	}
}

bool vault_open(struct vault **out, const char *path, struct err *err)
{
	struct sql_setup setup = {
		.database = DB_ACCOUNTS,
		.path = path,
		.application = VAULT_MARK,
		.version = VAULT_VERSION,
		.schema = schema,
		.additions = additions,
		.cache_kib = 4096,
	};
	struct vault *v = calloc(1, sizeof(*v));

	if (!v)
		return err_set(err, "out of memory");
	if (!sql_open(&v->sql, &setup, err)) {
		free(v);
		return false;
	}
	if (!nameset_open(&v->names, err) || !read_names(v, err)) {
		vault_close(&v);
		return false;
	}
	*out = v;
	return true;
}

void vault_close(struct vault **vault)
{
	struct vault *v = *vault;

	*vault = NULL;
	if (!v)
		return;
	nameset_close(&v->names);
	sql_close(&v->sql);
	free(v);
}

bool vault_settle(struct vault *v, struct err *err)
{
	return v->within || v->sql.wal_pages < 1000 || sql_checkpoint(&v->sql, err);
}

bool vault_begin(struct vault *v, struct err *err)
{
	v->within = sql_plain(&v->sql, Q_V_BEGIN, "beginning", err);
	return v->within;
}

void vault_rollback(struct vault *v)
{
	struct err err;

	sql_end_all(&v->sql);
	if (v->within)
		(void)!sql_plain(&v->sql, Q_V_ROLLBACK, "undoing", &err);
	v->within = false;
}

bool vault_commit(struct vault *v, struct err *err)
{
	struct err later;

	if (!sql_plain(&v->sql, Q_V_COMMIT, "committing", err)) {
		vault_rollback(v);
		return false;
	}
	v->within = false;
	/* it is on disk already; the log can be moved another time */
	(void)!vault_settle(v, &later);
	return true;
}

/* ---- passwords ------------------------------------------------------------------------------- */

static bool put_keys(struct vault *v, struct span address, struct span hash,
		     struct span keys, struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, keys.n ? Q_SCRAM_PUT : Q_SCRAM_DROP);

	sql_bind_text(st, 1, address);
	if (keys.n) {
		sql_bind_text(st, 2, keys);
		sql_bind_text(st, 3, hash);
	}
	return sql_run(&v->sql, st, "storing keys", err);
}

static bool put_hash(struct vault *v, struct span address, struct span hash, int64_t wall,
		     struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, Q_PASSWORD_PUT);

	sql_bind_text(st, 1, address);
	sql_bind_text(st, 2, hash);
	sql_bind(st, 3, wall);
	return sql_run(&v->sql, st, "storing a password", err);
}

bool vault_put(struct vault *v, struct span address, struct span hash, struct span keys,
	       int64_t wall, struct err *err)
{
	if (!vault_begin(v, err))
		return false;
	if (!put_hash(v, address, hash, wall, err) ||
	    !put_keys(v, address, hash, keys, err)) {
		vault_rollback(v);
		return false;
	}
	if (!vault_commit(v, err))
		return false;
	nameset_put(v->names, address);
	return true;
}

/* One text as the argument, and how many rows it changed. */
static bool change(struct vault *v, enum query q, struct span name, int64_t *count,
		   const char *what, struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, q);

	sql_bind_text(st, 1, name);
	if (!sql_run(&v->sql, st, what, err))
		return false;
	*count = sql_changes(&v->sql);
	return vault_settle(v, err);
}

bool vault_drop(struct vault *v, struct span address, bool *found, struct err *err)
{
	int64_t keys, disabled, count = 0;

	if (!vault_begin(v, err))
		return false;
	if (change(v, Q_PASSWORD_DROP, address, &count, "removing a password", err) &&
	    change(v, Q_SCRAM_DROP, address, &keys, "removing keys", err) &&
	    change(v, Q_DISABLED_DROP, address, &disabled, "removing a password", err)) {
		*found = count > 0;
		if (!vault_commit(v, err))
			return false;
		nameset_drop(v->names, address);
		return true;
	}
	vault_rollback(v);
	return false;
}

bool vault_knows(struct vault *v, struct span address, bool *has)
{
	return nameset_ask(v->names, address, has);
}

bool vault_each(struct vault *v, struct span after, size_t limit,
		void (*each)(void *arg, struct span address, struct span hash,
			     int64_t changed, bool disabled),
		void *arg, struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, Q_PASSWORDS);
	bool row;

	sql_bind_text(st, 1, after);
	sql_bind(st, 2, (int64_t)limit);
	for (;;) {
		if (!sql_row(&v->sql, st, &row, "listing passwords", err))
			return false;
		if (!row)
			return true;
		each(arg, sql_text(st, 0), sql_text(st, 1), sqlite3_column_int64(st, 2),
		     sqlite3_column_int(st, 3) != 0);
	}
}

bool vault_disable(struct vault *v, struct span address, bool disabled, int64_t wall,
		   bool *changed, struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, disabled ? Q_DISABLED_PUT : Q_DISABLED_DROP);

	sql_bind_text(st, 1, address);
	if (disabled)
		sql_bind(st, 2, wall);
	if (!sql_run(&v->sql, st, "disabling an account", err))
		return false;
	*changed = sql_changes(&v->sql) > 0;
	return vault_settle(v, err);
}

bool vault_disabled(struct vault *v, struct span address, int64_t *since, struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, Q_DISABLED_SINCE);
	bool row;

	sql_bind_text(st, 1, address);
	if (!sql_row(&v->sql, st, &row, "looking for an account", err))
		return false;
	*since = row ? sqlite3_column_int64(st, 0) : 0;
	sqlite3_reset(st);
	return true;
}

/* ---- keys of ours ------------------------------------------------------------------------------ */

bool vault_key(struct vault *v, struct span name, uint8_t key[VAULT_KEY], struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, Q_V_SECRET_PUT);
	struct span bytes;
	bool row;

	sql_bind_text(st, 1, name);
	sql_bind_blob(st, 2, span_of(key, VAULT_KEY));
	if (!sql_run(&v->sql, st, "keeping a key", err))
		return false;
	st = sql_start(&v->sql, Q_V_SECRET_GET);
	sql_bind_text(st, 1, name);
	if (!sql_row(&v->sql, st, &row, "reading a key", err))
		return false;
	bytes = row ? sql_text(st, 0) : SPAN_NONE;
	if (bytes.n == VAULT_KEY)
		memcpy(key, bytes.p, VAULT_KEY);
	row = bytes.n == VAULT_KEY;
	sqlite3_reset(st);
	return row || err_set(err, "the key %.*s is damaged", SPAN_ARG(name));
}

/* ---- logins at next hops ------------------------------------------------------------------------ */

bool vault_put_credential(struct vault *v, struct span name, struct span user,
			  struct span secret, int64_t wall, struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, Q_CREDENTIAL_PUT);

	sql_bind_text(st, 1, name);
	sql_bind_text(st, 2, user);
	sql_bind_text(st, 3, secret);
	sql_bind(st, 4, wall);
	return sql_run(&v->sql, st, "storing a login", err) && vault_settle(v, err);
}

bool vault_drop_credential(struct vault *v, struct span name, bool *found, struct err *err)
{
	int64_t count = 0;

	if (!change(v, Q_CREDENTIAL_DROP, name, &count, "removing a login", err))
		return false;
	*found = count > 0;
	return true;
}

bool vault_each_credential(struct vault *v, struct span after, size_t limit,
			   void (*each)(void *arg, struct span name, struct span user,
					int64_t changed),
			   void *arg, struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, Q_CREDENTIALS);
	bool row;

	sql_bind_text(st, 1, after);
	sql_bind(st, 2, (int64_t)limit);
	for (;;) {
		if (!sql_row(&v->sql, st, &row, "listing logins", err))
			return false;
		if (!row)
			return true;
		each(arg, sql_text(st, 0), sql_text(st, 1), sqlite3_column_int64(st, 2));
	}
}

/* ---- the reader ----------------------------------------------------------------------------------- */

bool vault_reader_open(struct vault_reader **out, const char *path, struct err *err)
{
	struct sql_setup setup = {
		.database = DB_VAULT_READER,
		.path = path,
		.cache_kib = 4096,
	};
	struct vault_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(err, "out of memory");
	if (!sql_open(&r->sql, &setup, err)) {
		free(r);
		return false;
	}
	*out = r;
	return true;
}

void vault_reader_close(struct vault_reader **reader)
{
	struct vault_reader *r = *reader;

	*reader = NULL;
	if (!r)
		return;
	sql_close(&r->sql);
	free(r);
}

/* As much as fits: what is too long was not written by us, and is of no use. */
static size_t copy(uint8_t *out, size_t cap, struct span s)
{
	if (s.n > cap)
		return 0;
	if (s.n)
		memcpy(out, s.p, s.n);
	return s.n;
}

/* Is there such a row? It is left open: reset it, so that the log can be moved. */
static bool look(struct vault_reader *r, enum query q, struct span name, bool *row,
		 sqlite3_stmt **st, struct err *err)
{
	*st = sql_start(&r->sql, q);
	sql_bind_text(*st, 1, name);
	return sql_row(&r->sql, *st, row, "looking up an account", err);
}

bool vault_find(struct vault_reader *r, struct span address, struct vault_account *out,
		struct err *err)
{
	sqlite3_stmt *st;
	bool row;

	*out = (struct vault_account){ 0 };
	if (!look(r, Q_PASSWORD_GET, address, &row, &st, err))
		return false;
	out->known = row;
	if (row) {
		out->hash_n = copy(out->hash, sizeof(out->hash), sql_text(st, 0));
		out->keys_n = copy(out->keys, sizeof(out->keys), sql_text(st, 1));
		out->disabled = sqlite3_column_int(st, 2) != 0;
	}
	sqlite3_reset(st);
	if (row)
		return true;
	/* one whose password another source knows */
	if (!look(r, Q_DISABLED_GET, address, &out->disabled, &st, err))
		return false;
	sqlite3_reset(st);
	return true;
}

bool vault_logged_in(struct vault_reader *r, struct span address, bool *has,
		     struct err *err)
{
	sqlite3_stmt *st;

	if (!look(r, Q_LOGGED_IN, address, has, &st, err))
		return false;
	sqlite3_reset(st);
	return true;
}

bool vault_find_credential(struct vault_reader *r, struct span name,
			   struct vault_credential *out, struct err *err)
{
	sqlite3_stmt *st;
	bool row;

	*out = (struct vault_credential){ 0 };
	if (!look(r, Q_CREDENTIAL_GET, name, &row, &st, err))
		return false;
	out->known = row;
	if (row) {
		out->user_n = copy(out->user, sizeof(out->user), sql_text(st, 0));
		out->secret_n = copy(out->secret, sizeof(out->secret), sql_text(st, 1));
	}
	sqlite3_reset(st);
	return true;
}
