/*
 * queue_inner - what the files of the queue share
 */
#ifndef DB_QUEUE_INNER_H
#define DB_QUEUE_INNER_H

#include "db/queue.h"
#include "db/queue_job.h"
#include "db/sql.h"
#include "db/where.h"

#define QUEUE_APPLICATION 0x48465155u /* "HFQU" */
#define QUEUE_VERSION	  3

/* An order in force, and its question: select id, size of those in a range of ids. */
struct in_force {
	uint32_t number;
	enum queue_job_kind kind;
	int64_t until; /* MS_NEVER: it does not stand */
	struct where where;
	sqlite3_stmt *st;
};

struct queue {
	struct sql sql;
	int log_pages; /* when to move the log into the file */
	uint32_t job_last;
	bool orders_touched;	    /* in this transaction */
	int64_t purged_now, purged; /* caught one by one: in this transaction, in others */
	size_t order_count;
	struct in_force *order[QUEUE_ORDERS_MAX];
};

/* Ids are 64 bits without a sign, SQLite's have one. */
static inline int64_t queue_key(uint64_t id)
{
	return (int64_t)id;
}

/* What MESSAGE_GET and SHOW read of a message. */
void queue_columns(sqlite3_stmt *st, struct queue_message *m);

/* One more recipient of a message; held: it waits for the administrator. */
MUST bool queue_put_to(struct queue *q, uint64_t id, const struct queue_to *to, bool held,
		       struct err *err);

/* Drop the rows of a message, and remember its id and nonce. */
MUST bool queue_drop(struct queue *q, uint64_t id, uint64_t nonce, int64_t wall,
		     struct err *err);

/* ---- queue_hand.c ---- */

/* What there is among the recipients of a message, besides those it was delivered to. */
struct queue_left {
	bool waiting; /* or held */
	bool dead;
};

MUST bool queue_left(struct queue *q, uint64_t id, struct queue_left *out,
		     struct err *err);
MUST bool queue_mark(struct queue *q, uint64_t id, enum queue_state state,
		     struct err *err);
/* It is open, and its lifetime begins now. */
MUST bool queue_anew(struct queue *q, uint64_t id, int64_t wall, struct err *err);

/* ---- queue_orders.c ---- */

/* Read from the database what is in force. */
MUST bool queue_orders_load(struct queue *q, struct err *err);
void queue_orders_close(struct queue *q);
/* Is that message one that an order in force is about? Then it is carried out on it. */
MUST bool queue_catch(struct queue *q, uint64_t id, bool fresh, int64_t wall,
		      bool *caught, struct err *err);

/* ---- queue_where.c ---- */

/*
 * head, then " from message m where m.id > ?1 and m.id <= ?2 and (...) order by m.id"; base
 * stands before the condition's terms and may use ?3.
 */
MUST bool queue_ask(struct sql *s, const char *head, const char *base,
		    const struct where *w, sqlite3_stmt **out, struct err *err);
/* The parameters of the condition; ages are counted from `wall`. */
void queue_ask_bind(sqlite3_stmt *st, const struct where *w, int64_t wall);
/* What an order of that kind is about: SQL for base. */
const char *queue_base(enum queue_job_kind kind, const struct where *w);

#endif
