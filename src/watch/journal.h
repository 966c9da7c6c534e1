/*
 * journal - every deed, as a compact record in a ring on disk
 *
 * DIR/log/journal, of journal.size bytes at most; spec/journal.h says how it looks. Records
 * gather in memory and a thread writes them, each second or when a block is full: a disk
 * that hangs or is full costs records, which are counted, and never makes watch wait. What
 * the thread has written outlives the process; what was written more than some seconds
 * ago, a power cut, too.
 */
#ifndef WATCH_JOURNAL_H
#define WATCH_JOURNAL_H

#include "base/err.h"
#include "io/loop.h"
#include "spec/journal.h"

struct journal;

/*
 * In that directory, before the sandbox closes. size 0: none, and journal_put() does
 * nothing. A file that is not a journal of this program is put aside as journal.old. If
 * there can be none now, err says why, and *out is one that only counts.
 */
MUST bool journal_open(struct journal **out, struct loop *loop, const char *directory,
		       int64_t size, struct err *err);
/* Write what is left; waits for the disk. After the loop is closed, which has the timer. */
void journal_close(struct journal **j);

void journal_put(struct journal *j, const struct journal_record *r);

struct journal_facts {
	uint64_t written, lost; /* records, since this watch began */
	const char *trouble;	/* why nothing can be written now; "" if it can */
};

void journal_tell(const struct journal *j, struct journal_facts *out);

#endif
