/*
 * inside - how the guard's memory is laid out; for memory, rows, cold, notes and seats only
 *
 * Head, shards, notes, tags, hot rows, their details, cold rows, seats; each part begins at
 * a page. A bucket of the hot table is a line of tags, eight rows and eight details, one of
 * the cold table is eight rows. All that the rows of one hot bucket become lies side by side
 * in cold memory, and belongs to the same shard: so one lock is enough for all that opening
 * a row may have to move.
 */
#ifndef GUARD_INSIDE_H
#define GUARD_INSIDE_H

#include "guard/memory.h"
#include "guard/seats.h"

#define BUCKET	    8
#define SHARDS_MAX  1024
#define BESIDE_MAX  7
#define LINE	    64
#define NOTES	    8192 /* of the ring; a power of two */
#define PATIENCE    2000 /* turns that a lock is waited for: some ten microseconds */
#define RESTS	    100 /* that are taken for one that is held on: some ten milliseconds */
#define READ_TRIES  100 /* that a reader makes to meet no writer */
#define WORKERS_MAX 64
#define QUIET	    900 /* seconds: then two thirds of the fast score have faded */

struct memory_lock {
	uint32_t by;   /* GUARD_NOBODY, or the worker + 1 */
	uint32_t seq;  /* odd while it is written */
	uint32_t vain; /* `seq` when somebody rested for it in vain: nobody does twice */
};

struct memory_shard {
	_Alignas(LINE) struct memory_lock lock;
	uint32_t open;	 /* the hot row that may be half written, + 1 */
	uint32_t strays; /* rows that are in their other bucket */
	uint32_t hot_used, cold_used;
	uint64_t evicted, forgotten;
	uint32_t contended, mended;
};

enum rank {
	RANK_PASSER_BY,
	RANK_PASSED,
	RANK_OFFENDED,
	RANK_GOOD,
	RANK_KNOWN_GOOD,
	RANK_BANNED,
	RANK_OPEN = 7, /* it has sessions: it stays */
};

/*
 * What finding and choosing a place needs to know of eight rows, in one line: 16 bits of
 * the hash (0: the place is free), and what the row is worth: its rank, and within that a
 * time, which is when the ban ends or else when it was last heard of.
 */
struct memory_tags {
	_Alignas(LINE) uint16_t tag[BUCKET];
	uint8_t rank[BUCKET];
	uint8_t after[BUCKET]; /* its rank when the ban has ended; STRAY */
	gsec_t time[BUCKET];
};

#define STRAY	  0x80 /* it is not in its first bucket */
#define OPEN_TIME UINT32_MAX

struct brief {
	uint8_t rank, after;
	gsec_t time;
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

	_Alignas(LINE) int64_t half_slow; /* ms */
	gsec_t second; /* the last that somebody told; only for guesses */
	_Alignas(LINE) uint64_t handshakes; /* the second, and in the low half how many */
	_Alignas(LINE) struct memory_lock notes_lock;
	uint64_t notes_end; /* how many there ever were */
};

/*
 * One for each worker, before the seats of all. Only that worker writes, or who mends; but
 * others add to `owed`.
 */
struct seats_head {
	_Alignas(LINE) uint32_t taken;
	uint32_t high;
	int32_t delayed;
	uint32_t owed; /* seats that others have filled, and this one is to empty */
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
	size_t shards, notes, tags, hot, detail, cold, seats, full, seat, end;
	uint32_t shard_count;
};

MUST bool memory_plan(const struct memory_shape *shape, struct memory_plan *out);

/* Its bucket, then those of the same shard that lend a place: nth up to m->beside. */
static inline uint32_t place_bucket(const struct memory *m, const struct memory_place *at,
				    uint32_t nth)
{
	return at->bucket ^ nth * m->shards;
}

/* The cold bucket follows from the hot one and the tag: it can be had before the row is. */
uint32_t memory_cold_bucket(const struct memory *m, uint32_t bucket, uint16_t tag);
struct memory_shard *memory_shard_of(const struct memory *m, uint32_t bucket);
/* The same of a cold bucket. */
struct memory_shard *memory_shard_of_cold(const struct memory *m, uint32_t bucket);

/* ---- locks ------------------------------------------------------------------------------- */

static inline void spin_once(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

MUST bool lock_wait(const struct memory *m, struct memory_lock *lock);

static inline bool lock_try(struct memory_lock *lock, unsigned worker)
{
	uint32_t nobody = GUARD_NOBODY;

	if (!__atomic_compare_exchange_n(&lock->by, &nobody, worker + 1, false,
					 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	__atomic_store_n(&lock->seq, lock->seq | 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	return true;
}

/*
 * False: it could not be had, after some ten microseconds; or milliseconds, where we can
 * rest until whoever has it gets its processor back.
 */
MUST static inline bool lock_take(const struct memory *m, struct memory_lock *lock)
{
	return lock_try(lock, m->worker) || lock_wait(m, lock);
}

static inline void lock_free(struct memory_lock *lock)
{
	__atomic_store_n(&lock->seq, (lock->seq | 1) + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&lock->by, GUARD_NOBODY, __ATOMIC_RELEASE);
}

/* Before and after reading what a lock guards: false if a writer was met. */
MUST bool read_begins(const struct memory_lock *lock, uint32_t *seq);
MUST bool read_held(const struct memory_lock *lock, uint32_t seq);

/* ---- worth -------------------------------------------------------------------------------- */

struct brief brief_of(const struct guard_hot *row);

/* A ban that has ended counts no more. */
static inline uint8_t brief_rank(uint8_t rank, uint8_t after, gsec_t time, gsec_t now)
{
	return rank == RANK_BANNED && time <= now ? after & 7 : rank;
}

/*
 * Of a place that is taken: the larger, the more it matters to have it in detail. Whoever was
 * quiet for a while has no more of a claim than a passer-by: what matters of it is as good in
 * cold memory, and hot memory is for those who are here. Few steps, as this is reckoned for
 * all eight of a bucket: `after` is the same as the rank but of a ban, and the time of who
 * is here is OPEN_TIME, which never comes.
 */
static inline uint64_t tags_order(const struct memory_tags *t, unsigned i, gsec_t now)
{
	int64_t ago = (int64_t)now - t->time[i];
	uint64_t rank = ago >= 0 ? t->after[i] & 7u : t->rank[i];

	rank = ago > QUIET ? RANK_PASSER_BY : rank;
	return rank << 32 | t->time[i];
}

/* ---- cold rows ------------------------------------------------------------------------------ */

#define COLD_SAYS 0x1fff /* the bits of enum says */
/* As in guard_cold.came; gap: the mean pause in seconds, 0 if it is not known. */
uint16_t cold_came(uint32_t connects, uint32_t gap);
void cold_seal(struct guard_cold *c); /* when all else is written */
bool cold_ok(const struct guard_cold *c);
struct guard_key cold_key(const struct guard_cold *c);
void cold_of_hot(const struct guard_hot *row, ms_t half_slow, struct guard_cold *out);
/* Into a row of zeros. */
void hot_of_cold(const struct guard_cold *c, struct guard_hot *out);
/*
 * Into the row of one who came back before we were told what it had done. Twice is as good
 * as once.
 */
void hot_join(struct guard_hot *row, const struct guard_cold *c);
/* Enums in range, numbers that are numbers: whoever wrote it may have been broken into. */
void hot_tidy(struct guard_hot *row);

ms_t memory_half_slow(const struct memory *m);
/* In the bucket, whose shard is locked. NULL: it is not there. */
struct guard_cold *cold_find(const struct memory *m, const struct memory_place *at,
			     struct guard_key k);
void cold_put(const struct memory *m, const struct memory_place *at,
	      const struct guard_cold *c, gsec_t now);
void cold_drop(const struct memory *m, const struct memory_place *at,
	       struct guard_cold *c);
/*
 * Take a row from a snapshot, unless cold memory has its key already. Of one that is here
 * now, what the snapshot knows more is joined to its row. True: it is a new one.
 */
MUST bool memory_adopt(const struct memory *m, const struct guard_cold *c, ms_t now);

#endif
