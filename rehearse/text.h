/*
 * text - texts with {values} in them: compiled once, put together for each visit
 *
 * script.h says what the values mean; only script.c needs this header.
 */
#ifndef REHEARSE_TEXT_H
#define REHEARSE_TEXT_H

#include "rehearse/script.h"

enum {
	TEXT_PER_VISIT =
		1u << 0, /* it changes with the visit, even if all draws were the same */
	TEXT_NEEDS_RECIPIENT = 1u << 1,
	TEXT_NEEDS_LOGIN = 1u << 2,
};

struct piece;
struct bag;

struct text {
	const struct piece *pieces; /* NULL if it is empty */
	size_t n;
	size_t least, most; /* bytes it becomes; EXPAND_MAX + 1 is that or more */
	unsigned wraps;	    /* base64 inside each other */
	unsigned marks;	    /* TEXT_ bits */
	bool varies;	    /* if not, it is one piece at most: see text_plain() */
};

/* What can stand in a text. */
struct texts {
	struct script_block **blocks; /* borrowed: where memory comes from */
	const struct pool *pool; /* borrowed: only the names and words of lists and values */
	struct bag *values;
	size_t values_n; /* those that may be used by now */
	struct bag *lists;
	struct err *e; /* borrowed: set by whatever fails */
};

/* Memory that goes all at once. Zeroed; NULL, and e is set, if there is none. */
void *blocks_take(struct script_block **blocks, size_t count, size_t size, struct err *e);
void blocks_close(struct script_block **blocks);

/* Compiles the values of the pool. What it takes stays in blocks, also on failure. */
MUST bool texts_init(struct texts *t, struct script_block **blocks,
		     const struct pool *pool, struct err *e);

/* Compile one text; `in` may go away afterwards. escapes: \r and so on are resolved. */
MUST bool text_compile(struct texts *t, struct span in, bool escapes, struct text *out);
/* Add to its end what does not vary. */
MUST bool text_append(struct texts *t, struct text *text, struct span tail);

/* The beginning of it, "?" for what varies. */
void text_sketch(const struct text *t, struct buf *out);
/* All of it, if nothing varies. */
struct span text_plain(const struct text *t);

void text_expand(const struct text *t, const struct pool *pool, struct visitor *v,
		 struct buf *out);

#endif
