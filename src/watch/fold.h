/*
 * fold - many records of one kind from one source become one line
 *
 * The first few records of a kind from a source are written in full; the others of the
 * same interval are counted, and summed up when the interval ends. The table of sources
 * has a fixed size: when it is full, the source with the fewest counted records makes
 * room, and what it had goes into the sum of all others of that kind. So text may be
 * lost, but never a count: records written and records in sums are all that were seen.
 */
#ifndef WATCH_FOLD_H
#define WATCH_FOLD_H

#include "base/span.h"
#include "base/time.h"
#include "spec/records.h"

#define FOLD_SOURCES 8192 /* a power of two */
#define FOLD_SOURCE_MAX \
	64	      /* of a source's name; longer ones with the same start are one */
#define FOLD_NAMED 64 /* sources named at the end of an interval, those with the most */
#define FOLD_SUMS  (FOLD_NAMED + RECORD_COUNT)

enum fold_say {
	FOLD_WRITE,
	FOLD_COUNT,
};

struct fold_entry {
	uint64_t seen;	     /* in this interval; 0: the entry is free */
	uint64_t counted;    /* of them, not written */
	int64_t first, last; /* wall clock, of those counted */
	uint8_t kind;	     /* enum record */
	uint8_t n;
	uint8_t source[FOLD_SOURCE_MAX];
};

/* Sources that were given up in this interval, by kind. */
struct fold_rest {
	uint64_t counted, sources;
	int64_t first, last;
};

struct fold {
	uint64_t seed;
	struct fold_entry entry[FOLD_SOURCES];
	struct fold_rest rest[RECORD_COUNT];
};

/* One summary. source is empty in the sum of all others; good until the next fold_see(). */
struct fold_sum {
	enum record kind;
	struct span source;
	uint64_t count;
	uint64_t sources; /* in the sum of others: how many, at most */
	int64_t first, last;
};

/* About a megabyte, zeroed or not. The seed is random: nobody can aim at an entry. */
void fold_init(struct fold *f, uint64_t seed);

/* One more record. full: how many of a source are written per interval. */
enum fold_say fold_see(struct fold *f, enum record kind, struct span source, int64_t wall,
		       uint64_t full);

/*
 * The interval is over: what was counted, most first, then the others of each kind; out
 * has room for FOLD_SUMS. All sources start anew.
 */
size_t fold_end(struct fold *f, struct fold_sum *out);

#endif
