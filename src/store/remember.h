/*
 * remember - the guard's memory, kept in the state database over restarts
 *
 * The store only reads that memory (the mapping is read-only). Every guard.snapshot, and
 * at the end, a thread copies it (guard/snapshot.h) and the next batch stores the copy.
 * When the server starts with an empty memory, the copy goes to the edges, who merge it:
 * to each that comes in the first minute, since the first one may die of something else
 * before it has done so, and merging twice changes nothing.
 */
#ifndef STORE_REMEMBER_H
#define STORE_REMEMBER_H

#include "base/err.h"

struct edge_link;
struct remember;
struct store;

/* Before the sandbox closes. What cannot be read is logged, and forgotten. */
MUST bool remember_open(struct remember **out, struct store *s, struct err *err);
void remember_close(struct remember **r);

/* Once a second. */
void remember_tick(struct remember *r);
/* The server stops: once more. */
void remember_drain(struct remember *r);
/* Is a copy being made or stored? */
bool remember_busy(const struct remember *r);
/* A new edge. */
void remember_tell(struct remember *r, struct edge_link *e);

#endif
