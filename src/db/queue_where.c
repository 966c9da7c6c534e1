#include "db/queue_inner.h"

#include "base/bug.h"

#define ASK_HEAD  512
#define FIRST_ASK 4 /* ?1 and ?2 are the range, ?3 is for base */

bool queue_ask(struct sql *s, const char *head, const char *base, const struct where *w,
	       sqlite3_stmt **out, struct err *err)
{
	uint8_t mem[WHERE_SQL + ASK_HEAD];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	buf_fmt(&text, "%s from message m where m.id > ?1 and m.id <= ?2 and (%s", head,
		base);
	if (w)
		where_sql(w, FIRST_ASK, &text);
	buf_put(&text, SPAN(") order by m.id"));
	BUG_IF(text.full);
	if (sqlite3_prepare_v3(s->db, (const char *)mem, (int)text.len,
			       SQLITE_PREPARE_PERSISTENT, out, NULL) != SQLITE_OK)
		return sql_failed(s, "asking the queue", err);
	return true;
}

static int bind_one(sqlite3_stmt *st, int at, const struct where *w,
		    const struct where_term *t, int64_t wall)
{
	struct span text = span_of(w->text + t->at, t->n);

	switch (where_value_of(t->kind)) {
	case WHERE_NOTHING:
		break;
	case WHERE_PATTERN2:
		sql_bind_text(st, at++, text);
		sql_bind_text(st, at++, text);
		break;
	case WHERE_DOMAIN:
		sql_bind_text(st, at++, text);
		if (t->exact)
			sql_bind_text(st, at++, text);
		break;
	case WHERE_PATTERN:
		sql_bind_text(st, at++, text);
		break;
	case WHERE_NET:
		sql_bind_blob(st, at++, span_of(t->low, sizeof(t->low)));
		sql_bind_blob(st, at++, span_of(t->high, sizeof(t->high)));
		break;
	case WHERE_AGE:
		sql_bind(st, at++, wall - t->number);
		break;
	case WHERE_SIZE:
	case WHERE_NUMBER:
	case WHERE_A_ID:
		sql_bind(st, at++, t->number);
		break;
	}
	return at;
}

void queue_ask_bind(sqlite3_stmt *st, const struct where *w, int64_t wall)
{
	int at = FIRST_ASK;

	for (size_t i = 0; w && i < w->count; i++)
		at = bind_one(st, at, w, &w->term[i], wall);
}

const char *queue_base(enum queue_job_kind kind, const struct where *w)
{
	switch (kind) {
	case JOB_HOLD:
		return "m.state = 0 and m.job < ?3";
	case JOB_RELEASE:
		return "m.state = 1 and m.job < ?3";
	case JOB_PURGE:
		return "m.state < 3 and m.job < ?3";
	case JOB_RETRY:
		/* what is dead is tried again only if that was asked for */
		return where_asks_state(w) ? "m.state in (0, 2) and m.job < ?3"
					   : "m.state = 0 and m.job < ?3";
	case JOB_BRAKE:
	case JOB_KINDS:
		break;
	}
	return "0";
}
