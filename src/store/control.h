/*
 * control - what the administrator asks, and rows and an end as the answer
 */
#ifndef STORE_CONTROL_H
#define STORE_CONTROL_H

#include "base/buf.h"
#include "base/err.h"
#include "db/queue_read.h"
#include "link/frame.h"
#include "store/names.h"

/* Of an end. */
#define CONTROL_SAYS 480

struct store;

/* An answer of many rows, which go out as watch takes them. */
struct stream {
	struct stream *next;
	struct store *store;
	uint32_t ask;
	struct buf rows;  /* a list of rows, on the heap */
	struct span left; /* of them */
	/* in a thread, with the reader: the next rows; sets more, ok and text */
	void (*refill)(struct stream *s, struct queue_reader *r);
	bool more; /* there are: refill again */
	bool ok;
	char text[CONTROL_SAYS];
	/* what refill is asked for */
	struct where where;
	struct queue_look look;
	uint64_t id;
	int64_t number;
	int64_t limit;
	int64_t count;
	void *work; /* what refill gathers; on the heap, goes with the stream */
};

MUST bool control_asked(struct store *s, const struct frame *f, struct err *err);
/* Send rows as long as the link takes them; called when there is room again. */
void control_pump(struct store *s);
/* Watch is gone: nobody waits for answers any more. */
void control_gone(struct store *s);
void control_done(struct store *s, uint32_t ask, bool ok, const char *fmt, ...)
	PRINTF(4, 5);
/* The end of an order that the database did not take. */
void control_unstored(struct store *s, uint32_t ask, enum trouble why);
/* One row at once, apart from any stream. */
void control_row_now(struct store *s, uint32_t ask, const struct buf *row);
/* NULL: out of memory, and the asker was told. */
struct stream *stream_new(struct store *s, uint32_t ask);
/* Likewise, about the one message whose id these words are. NULL too: they are not. */
struct stream *stream_of_message(struct store *s, uint32_t ask, struct span words,
				 const char *usage);
void stream_row(struct stream *t, const struct buf *row);
void stream_start(struct stream *t);

void control_queue(struct store *s, uint32_t ask, struct span words);
/* control_look.c: messages as rows */
void control_list(struct store *s, uint32_t ask, struct span words);
void control_mailq(struct store *s, uint32_t ask, struct span words);
void control_explain(struct store *s, uint32_t ask, struct span words);
/* control_shape.c: messages as counts */
void control_shape(struct store *s, uint32_t ask, struct span words);
/*
 * What an order would change: counts, the largest senders, accounts and destinations, samples.
 * `job` is told with them; t->where, t->look and t->text are set.
 */
void control_preview(struct stream *t, uint32_t job, const char *what);

/* Fields of a message as all these commands print them. */
void control_put_id(struct buf *row, uint64_t id);
void control_put_peer(struct buf *row, const struct endpoint *peer);
void control_put_state(struct stream *t, struct buf *row, const struct queue_message *m);
void control_put_hop(struct buf *row, int hop, struct span target);
/* Its refill failed. */
void stream_failed(struct stream *t, const struct err *err);
/* `--where W`, --after ID, --limit N; false: t->text says what is wrong. */
MUST bool control_read_options(struct stream *t, struct span words, const char *usage);
/*
 * Every name of a table, in order, to one function that makes a row of it; source is added
 * unless it is NULL. False: out of memory.
 */
MUST bool control_names(struct stream *t, const struct names *names, const char *source,
			void (*make)(const struct store *s, const struct name *n,
				     struct buf *row));
void control_user(struct store *s, uint32_t ask, struct span words);
void control_alias(struct store *s, uint32_t ask, struct span words);
void control_domain(struct store *s, uint32_t ask, struct span words);

#endif
