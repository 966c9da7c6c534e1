/*
 * lineup - lines that destinations stand in, and heaps by time
 *
 * A destination stands in one line or heap at most; nothing here allocates but
 * heap_reserve().
 */
#ifndef STORE_LINEUP_H
#define STORE_LINEUP_H

#include "store/schedule.h"

void line_put(struct line *l, struct destination *d);
void line_put_first(struct line *l, struct destination *d);
void line_drop(struct line *l, struct destination *d);

/* There must be room for it: heap_reserve(). The least key is first. */
void heap_put(struct heap *h, struct destination *d, int64_t key);
void heap_drop(struct heap *h, struct destination *d);
/* Have room for so many, one more at a time. */
MUST bool heap_reserve(struct heap *h, size_t count);

#endif
