/*
 * sink - where log lines go, without anybody waiting for it
 *
 * Lines gather in memory while a thread writes what gathered before. A full disk, a
 * journal that is gone or a terminal that was stopped holds up that thread only: what
 * does not fit meanwhile is counted, and a failed write is tried again, from the byte
 * where it stopped.
 */
#ifndef WATCH_SINK_H
#define WATCH_SINK_H

#include "base/err.h"
#include "base/span.h"
#include "io/loop.h"
#include "spec/records.h"

enum sink_to {
	SINK_STDERR,
	SINK_FILE,
	SINK_JOURNAL,
};

#define SINK_LINE 16384 /* the longest line */

struct sink;

/* Before the sandbox is closed. */
MUST bool sink_open(struct sink **out, struct loop *loop, struct err *err);

/* Where to from now on. A file is opened again even if it is the same: it was rotated. */
void sink_to(struct sink *s, enum sink_to to, const char *path);

/* One line, without its end. If there is no room, it is lost. */
void sink_put(struct sink *s, enum log_level level, struct span line);

/* How many lines were lost since this was asked last. */
uint64_t sink_lost(struct sink *s);

/* Why nothing can be written now; empty if it can. */
const char *sink_trouble(const struct sink *s);

/*
 * Write what is left, waiting for at most that long. False: the thread still hangs, and
 * this process must end without waiting for it.
 */
MUST bool sink_finish(struct sink *s, ms_t within);
/* Only after sink_finish() said true, and after the loop is closed: it still knows us. */
void sink_close(struct sink **s);

#endif
