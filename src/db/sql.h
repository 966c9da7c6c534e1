/*
 * sql - SQLite, as this folder uses it
 *
 * For files of db/ only: what they have in common. A database is opened once, checked
 * (is it ours, is it whole, is it free, is it not newer than we are) before anything in
 * it is touched, and then all its queries are prepared, so a typo stops us at start and
 * not at three in the morning.
 */
#ifndef DB_SQL_H
#define DB_SQL_H

#include <sqlite3.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"
#include "db/trouble.h"

enum database {
	DB_QUEUE,
	DB_READER, /* the queue, read-only, for answers to the administrator */
	DB_STATE,
	DB_ACCOUNTS,
	DB_VAULT_READER, /* the same, read-only */
};

enum query {
#define QUERY(database, id, text) Q_##id,
#include "db/queries.def"
#define QUERY(database, id, text) Q_##id,
#include "db/vault_queries.def"
	QUERY_COUNT
};

/* A recipient r that was tried and will be again: a message that has one is deferred. */
#define SQL_DEFERRED "r.state = 0 and r.attempts > 0"

struct sql {
	sqlite3 *db;
	sqlite3_stmt *query[QUERY_COUNT]; /* those of this database; NULL the others */
	enum trouble trouble;		  /* of the last failure */
	int wal_pages;			  /* in the log, not yet in the file */
	int lock;			  /* holds the lock file, or -1 */
};

struct sql_setup {
	enum database database;
	const char *path;
	uint32_t application; /* "HFQU" and the like: whose file it is */
	int version;	      /* of the schema; a newer one is refused */
	const char *schema;   /* of version 1 */
	/* From each version to the next; NULL: there is only one. */
	const char *const *upgrades;
	/* Tables that came later, "create table if not exists"; older programs ignore them. */
	const char *additions; /* NULL: none */
	int cache_kib;
};

MUST bool sql_open(struct sql *s, const struct sql_setup *setup, struct err *err);
void sql_close(struct sql *s);

/* A query, reset and with nothing bound. */
sqlite3_stmt *sql_start(struct sql *s, enum query q);
/* Bind by position, from 1. Spans are not copied: they must live until the last step. */
void sql_bind(sqlite3_stmt *st, int at, int64_t n);
void sql_bind_text(sqlite3_stmt *st, int at, struct span s);
void sql_bind_blob(sqlite3_stmt *st, int at, struct span s);
/* One column as bytes; good until the next step. */
struct span sql_text(sqlite3_stmt *st, int column);

/* Run to the end; rows are ignored. */
MUST bool sql_run(struct sql *s, sqlite3_stmt *st, const char *what, struct err *err);
/* The next row: true and *row. */
MUST bool sql_row(struct sql *s, sqlite3_stmt *st, bool *row, const char *what,
		  struct err *err);
/* Start, run and be done, for a query without arguments. */
MUST bool sql_plain(struct sql *s, enum query q, const char *what, struct err *err);
/*
 * End every query that was left in the middle: one that is not ended keeps its view of
 * the database, and then the log cannot be moved.
 */
void sql_end_all(struct sql *s);
/* How many rows the last query changed. */
int64_t sql_changes(struct sql *s);

/* Note why the last call failed. Always false. */
bool sql_failed(struct sql *s, const char *what, struct err *err);

/* Move the log's pages into the file; without waiting for readers. */
MUST bool sql_checkpoint(struct sql *s, struct err *err);

#endif
