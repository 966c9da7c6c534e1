/*
 * list - rows of spans inside one piece of memory
 *
 * How recipients, words and other lists travel in messages: each item is a 16-bit
 * length (little-endian) and its bytes.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/buf.h"
#include "base/span.h"

/* An item longer than 65,535 bytes marks the buf full. */
void list_put(struct buf *out, struct span item);

/*
 * Take the next item off the front of *list. False at the end, and at an item that
 * claims more than there is: then *list is not empty, which list_ok() would have said.
 */
MUST bool list_next(struct span *list, struct span *item);

/* Is every item whole? How many are there? */
bool list_ok(struct span list);
size_t list_count(struct span list);

#endif
