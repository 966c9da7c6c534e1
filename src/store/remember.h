/*
 * remember - the guard's memory, kept in the state database over restarts
 *
 * The store only reads that memory (the mapping is read-only). Every guard.snapshot, and
 * at the end, a thread copies it (guard/snapshot.h) and the next batches store the copy,
 * a megabyte each.
 *
 * If the last copy is of another life of the memory (memory_life()), it goes to an edge,
 * who merges it and says so; to another one, if that one ends before. Until then nothing
 * is stored, so that a server which stops at once has lost nothing.
 */
#ifndef STORE_REMEMBER_H
#define STORE_REMEMBER_H

#include "base/err.h"

struct edge_link;
struct frame;
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
/* A new edge, and one that is gone. */
void remember_meet(struct remember *r, struct edge_link *e);
void remember_lost(struct remember *r, const struct edge_link *e);
/* It had no descriptor left for what it was told: it, or another one, is told again. */
void remember_untaken(struct remember *r, const struct edge_link *e);
/* REMEMBERED. False: it makes no sense. */
MUST bool remember_told(struct remember *r, struct edge_link *e, const struct frame *f);

#endif
