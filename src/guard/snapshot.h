/*
 * snapshot - the guard's memory as bytes for the disk
 *
 * A head, then rows of 32 bytes, each with its own check: what is torn or of another
 * version is left out row by row. Times are ages at the time of writing, so that it can be
 * merged into a memory whose clock began elsewhere.
 */
#ifndef GUARD_SNAPSHOT_H
#define GUARD_SNAPSHOT_H

#include "base/buf.h"
#include "guard/memory.h"

#define SNAPSHOT_HEAD 64
#define SNAPSHOT_ROW  32

/* An upper bound for what snapshot_write() needs now. */
size_t snapshot_room(const struct memory *m);
/* False: out is too small. wall: to tell how old it is when it is read. */
MUST bool snapshot_write(const struct memory *m, ms_t now, int64_t wall, struct buf *out);

/*
 * Merge, by a writer; what the memory knows already is newer and wins. How long nobody was
 * running is told by the wall clocks then and now; if that is negative or above 400 days,
 * one of them was wrong, and no time is taken to have passed. Returns how many rows were
 * taken; *torn: how many could not be read.
 */
size_t snapshot_read(const struct memory *m, struct span bytes, ms_t now, int64_t wall,
		     size_t *torn);

#endif
