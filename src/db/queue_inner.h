/*
 * queue_inner - what the files of the queue share
 */
#ifndef DB_QUEUE_INNER_H
#define DB_QUEUE_INNER_H

#include "db/queue.h"
#include "db/sql.h"

#define QUEUE_APPLICATION 0x48465155u /* "HFQU" */
#define QUEUE_VERSION	  2

struct queue {
	struct sql sql;
	int log_pages; /* when to move the log into the file */
};

/* Ids are 64 bits without a sign, SQLite's have one. */
static inline int64_t queue_key(uint64_t id)
{
	return (int64_t)id;
}

/* What MESSAGE_GET and SHOW read of a message. */
void queue_columns(sqlite3_stmt *st, struct queue_message *m);

/* Drop the rows of a message, and remember its id and nonce. */
MUST bool queue_drop(struct queue *q, uint64_t id, uint64_t nonce, int64_t wall,
		     struct err *err);

#endif
