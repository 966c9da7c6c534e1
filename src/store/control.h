/*
 * control - what the administrator asks, and rows and an end as the answer
 */
#ifndef STORE_CONTROL_H
#define STORE_CONTROL_H

#include "base/buf.h"
#include "base/err.h"
#include "db/queue_read.h"
#include "link/frame.h"

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
	char text[160];
	/* what refill is asked for */
	struct queue_filter filter;
	uint8_t pattern[2][ADDRESS_MAX];
	uint64_t id; /* or the last one listed */
	int64_t number;
	int64_t limit;
	int64_t count;
};

MUST bool control_asked(struct store *s, const struct frame *f, struct err *err);
/* Send rows as long as the link takes them; called when there is room again. */
void control_pump(struct store *s);
/* Watch is gone: nobody waits for answers any more. */
void control_gone(struct store *s);
void control_done(struct store *s, uint32_t ask, bool ok, const char *fmt, ...)
	PRINTF(4, 5);
/* One row at once, apart from any stream. */
void control_row_now(struct store *s, uint32_t ask, const struct buf *row);
/* NULL: out of memory, and the asker was told. */
struct stream *stream_new(struct store *s, uint32_t ask);
void stream_row(struct stream *t, const struct buf *row);
void stream_start(struct stream *t);

void control_queue(struct store *s, uint32_t ask, struct span words);
void control_user(struct store *s, uint32_t ask, struct span words);
void control_alias(struct store *s, uint32_t ask, struct span words);
void control_domain(struct store *s, uint32_t ask, struct span words);

#endif
