/*
 * buf - bytes on their way out, up to a fixed limit
 *
 * The memory belongs to whoever called buf_init(). A write that does not fit writes
 * nothing and marks the buf full; later writes do nothing. So callers write without
 * looking, and check b->full once, at the end.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/attr.h"
#include "base/span.h"

struct buf {
	uint8_t *mem;
	size_t cap;
	size_t len;
	bool full; /* a write did not fit; sticky until buf_reset() */
};

void buf_init(struct buf *b, void *mem, size_t cap);
void buf_reset(struct buf *b);
void buf_put(struct buf *b, struct span s);
void buf_byte(struct buf *b, uint8_t c);
/* In decimal; much cheaper than buf_fmt(). */
void buf_number(struct buf *b, uint64_t n);
void buf_fmt(struct buf *b, const char *fmt, ...) PRINTF(2, 3);

/* How many bytes still fit. */
static inline size_t buf_room(const struct buf *b)
{
	return b->full ? 0 : b->cap - b->len;
}

static inline struct span buf_span(const struct buf *b)
{
	return span_of(b->mem, b->len);
}

/* Forget the first n bytes and move the rest to the front. */
void buf_drop(struct buf *b, size_t n);

/* Append s in lower case (ASCII). */
void buf_put_lower(struct buf *b, struct span s);

#endif
