/*
 * Whatever is asked of the queue: it is refused with a reason, or becomes SQL that SQLite takes,
 * whose parameters are all known, and in which no byte of what was asked stands.
 */
#include <sqlite3.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/utf8.h"
#include "db/where.h"
#include "store/condition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char tables[] =
	"create table message (id integer primary key, state, flags, size, wall, peer, helo,"
	" login, sender, incident, job);"
	"create table recipient (message, address, destination, state, attempts);"
	"create table destination (id integer primary key, hop, target);";

static sqlite3 *database(void)
{
	static sqlite3 *db;

	if (db)
		return db;
	BUG_IF(sqlite3_open(":memory:", &db) != SQLITE_OK);
	BUG_IF(sqlite3_exec(db, tables, NULL, NULL, NULL) != SQLITE_OK);
	return db;
}

static int values_of(const struct where_term *t)
{
	switch (where_value_of(t->kind)) {
	case WHERE_NOTHING:
		return 0;
	case WHERE_NET:
	case WHERE_PATTERN2:
		return 2;
	case WHERE_DOMAIN:
		return t->exact ? 2 : 1;
	default:
		return 1;
	}
}

/* With those of the range. */
static int parameters(const struct where *w)
{
	int n = 2;

	for (size_t i = 0; i < w->count; i++) {
		BUG_IF(w->term[i].kind >= WHERE_KINDS);
		BUG_IF(w->term[i].at + w->term[i].n > w->used);
		n += values_of(&w->term[i]);
	}
	return n;
}

/* In ASCII nothing is changed, and what was changed is not changed again. */
static void check_letters(struct span text)
{
	uint8_t mem[2 * WHERE_MAX], again_mem[2 * WHERE_MAX];
	struct buf out, again;

	buf_init(&out, mem, sizeof(mem));
	buf_init(&again, again_mem, sizeof(again_mem));
	condition_put(span_head(text, WHERE_MAX), &out);
	if (out.full)
		return;
	BUG_IF(utf8_is_ascii(text) && !span_eq(buf_span(&out), span_head(text, WHERE_MAX)));
	condition_put(buf_span(&out), &again);
	BUG_IF(!again.full && !span_eq(buf_span(&again), buf_span(&out)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char head[] = "select 1 from message m where m.id > ?1 and m.id <= ?2";
	uint8_t mem[sizeof(head) + WHERE_SQL];
	struct err err = { 0 };
	struct where w;
	struct buf sql;
	sqlite3_stmt *st = NULL;

	check_letters(span_of(data, size));
	if (!where_parse(&w, span_of(data, size), &err)) {
		BUG_IF(*err.text == '\0');
		return 0;
	}
	BUG_IF(w.count > WHERE_TERMS || w.used > sizeof(w.text));
	buf_init(&sql, mem, sizeof(mem));
	buf_put(&sql, SPAN("select 1 from message m where m.id > ?1 and m.id <= ?2"));
	where_sql(&w, 3, &sql);
	BUG_IF(sql.full);
	BUG_IF(sqlite3_prepare_v2(database(), (const char *)mem, (int)sql.len, &st,
				  NULL) != SQLITE_OK);
	BUG_IF(sqlite3_bind_parameter_count(st) != parameters(&w));
	sqlite3_finalize(st);
	return 0;
}
