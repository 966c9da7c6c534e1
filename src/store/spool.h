/*
 * spool - bodies that are too large for memory, in files
 */
#ifndef STORE_SPOOL_H
#define STORE_SPOOL_H

#include "base/err.h"
#include "link/frame.h"

struct store;
struct edge_link;

MUST bool spool_asked(struct store *s, struct edge_link *e, const struct frame *f,
		      struct err *err);
/* In any thread: a descriptor of the file, for reading; -1. */
int spool_read(const struct store *s, uint64_t id);
void spool_remove(const struct store *s, uint64_t id);
/* Look for files that belong to no message, in a thread. */
void spool_clean(struct store *s);

#endif
