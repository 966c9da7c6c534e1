/*
 * inside - how the guard's memory is laid out; for memory, rows, cold, notes and seats only
 *
 * Head, shards, notes, tags, hot rows, cold rows, seats; each part begins at a page. A
 * bucket of the hot table is a line of tags and eight rows, one of the cold table is eight
 * rows. A key's shard is in the low bits of both its buckets, so one lock is enough for
 * all that opening a row may have to move.
 */
#ifndef GUARD_INSIDE_H
#define GUARD_INSIDE_H

#include "guard/memory.h"
#include "guard/seats.h"

#define BUCKET	    8
#define SHARDS_MAX  1024
#define LINE	    64
#define NOTES	    8192 /* of the ring; a power of two */
#define PATIENCE    2000 /* turns that a lock is waited for: some ten microseconds */
#define READ_TRIES  100	 /* that a reader makes to meet no writer */
#define WORKERS_MAX 64

struct memory_lock {
	uint32_t by;  /* GUARD_NOBODY, or the worker + 1 */
	uint32_t seq; /* odd while it is written */
};

struct memory_shard {
	_Alignas(LINE) struct memory_lock lock;
	uint32_t open;	 /* the hot row that may be half written, + 1 */
	uint32_t strays; /* rows that are in their other bucket */
	uint32_t hot_used, cold_used;
	uint64_t evicted, forgotten;
	uint32_t contended, mended;
};

/*
 * What choosing a place needs to know of a row, so that eight of them are one line; zero
 * if the place is free. From the low end: 16 bits of the hash, 3 of its rank, the marks
 * below, then 32 bits of a time: when the ban ends, else when it was last heard of.
 */
typedef uint64_t brief_t;

#define BRIEF_TAG   UINT64_C(0xffff)
#define BRIEF_RANK  16
#define BRIEF_BAN   (UINT64_C(1) << 19)
#define BRIEF_OPEN  (UINT64_C(1) << 20) /* it has sessions */
#define BRIEF_USED  (UINT64_C(1) << 21)
#define BRIEF_STRAY (UINT64_C(1) << 22) /* not in its first bucket */
#define BRIEF_TIME  32

struct memory_tags {
	_Alignas(LINE) brief_t brief[BUCKET];
};

struct memory_note {
	_Alignas(LINE) uint64_t stamp; /* its number + 1, written last */
	struct ban_note note;
};

struct memory_head {
	uint64_t magic;
	uint32_t version, row_bytes;
	uint64_t bytes;
	struct memory_shape shape;
	uint64_t key[2];

	_Alignas(LINE) int64_t half_slow;   /* ms */
	_Alignas(LINE) uint64_t handshakes; /* the second, and in the low half how many */
	_Alignas(LINE) struct memory_lock notes_lock;
	uint64_t notes_end; /* how many there ever were */
};

/* One for each worker, before the seats of all. Only that worker writes, or who mends. */
struct seats_head {
	_Alignas(LINE) uint32_t taken;
	uint32_t high;
	int32_t delayed;
	struct memory_lock mending;
};

/* A seat as others see it. */
struct seat_place {
	_Alignas(LINE) uint32_t seq; /* odd while it is written */
	struct seat seat;
};

_Static_assert(sizeof(struct seat_place) == 128, "a seat");

/*
 * Which seats of a worker are taken: a bit for each, above that one for each word that is
 * full, and the same once more; so the lowest free one is found in three steps.
 */
struct seats_full {
	uint32_t low, middle, top; /* how many words each level has; top is one */
	uint32_t all;		   /* of one worker, whole lines */
};

struct seats_full seats_full_of(uint32_t seats);

/* Where each part begins, and the end. */
struct memory_plan {
	size_t shards, notes, tags, hot, cold, seats, full, seat, end;
	uint32_t shard_count;
};

MUST bool memory_plan(const struct memory_shape *shape, struct memory_plan *out);

/* Where a key can be. */
struct place {
	uint32_t shard, bucket, other,
		cold; /* other: the hot bucket if the first is taken */
	brief_t tag;
};

struct place memory_place(const struct memory *m, struct guard_key k);
struct memory_shard *memory_shard_of(const struct memory *m, uint32_t bucket);

/* ---- locks ------------------------------------------------------------------------------- */

MUST bool lock_take(struct memory_lock *lock, unsigned worker);
void lock_free(struct memory_lock *lock);
/* Before and after reading what a lock guards: false if a writer was met. */
MUST bool read_begins(const struct memory_lock *lock, uint32_t *seq);
MUST bool read_held(const struct memory_lock *lock, uint32_t seq);
void spin_once(void);

/* ---- worth -------------------------------------------------------------------------------- */

brief_t brief_of(const struct guard_hot *row);
uint32_t brief_worth(brief_t brief, gsec_t now);

/* ---- cold rows ------------------------------------------------------------------------------ */

uint16_t cold_check(const struct guard_cold *c);
bool cold_ok(const struct guard_cold *c);
struct guard_key cold_key(const struct guard_cold *c);
uint32_t cold_worth(const struct guard_cold *c, gsec_t now);
void cold_of_hot(const struct guard_hot *row, ms_t half_slow, struct guard_cold *out);
/* Into a row of zeros. */
void hot_of_cold(const struct guard_cold *c, struct guard_hot *out);
/* Enums in range, numbers that are numbers: whoever wrote it may have been broken into. */
void hot_tidy(struct guard_hot *row);

ms_t memory_half_slow(const struct memory *m);
/* In the bucket, whose shard is locked. NULL: it is not there. */
struct guard_cold *cold_find(const struct memory *m, const struct place *at,
			     struct guard_key k);
void cold_put(const struct memory *m, const struct place *at, const struct guard_cold *c,
	      gsec_t now);
void cold_drop(const struct memory *m, const struct place *at, struct guard_cold *c);
/* Take a row from a snapshot, if nothing is known of its key. */
MUST bool memory_adopt(const struct memory *m, const struct guard_cold *c, ms_t now);

#endif
