/*
 * memory - what the guard remembers, and who is here, in memory that processes share
 *
 * One mapping, made by the supervisor and fixed in size. Edges write, watch and store
 * read. It holds no pointers; every index is checked; a writer that dies in the middle
 * leaves at worst one torn row, which is found and dropped. Three parts:
 *
 *   hot    who is here now (struct guard_hot), and apart what it did (struct guard_detail)
 *   cold   32 bytes for each key of the last weeks (struct guard_cold)
 *   seats  one for each open session (guard/seats.h)
 *
 * Hot and cold are tables of buckets with eight places each: looking up touches one
 * bucket, and what matters least of a full bucket makes room (memory_worth; in hot memory
 * first whoever was quiet for a quarter of an hour, as cold memory has what matters of
 * it). A hot bucket that is full of open sessions lends from those beside it. Buckets are
 * found by a keyed hash, so nobody can fill one at will. Buckets are locked by shard: the
 * lock word names the worker that holds it, waiting is bounded, and a lock that cannot be
 * had makes the caller go without (counted). Readers take no lock: they use the shard's
 * sequence counter, with bounded retries.
 *
 * Time is `now`, the machine's monotonic clock in ms, the same for all processes. Rows
 * hold it in guard seconds (memory_second), so that times before the machine's start can
 * be told. No wall clock is in here, so that nothing depends on its steps.
 */
#ifndef GUARD_MEMORY_H
#define GUARD_MEMORY_H

#include "base/time.h"
#include "guard/distinct.h"
#include "guard/key.h"
#include "spec/events.h"
#include "spec/limits.h"
#include "spec/rules.h"

#define GUARD_NOBODY 0 /* a lock that is free; worker w is w + 1 */

typedef uint32_t gsec_t; /* guard seconds; 0: never */

enum guard_step {
	STEP_NONE,
	STEP_DELAY,  /* answers to offences are held back */
	STEP_LATE,   /* 554 for senders and recipients */
	STEP_REFUSE, /* a line at connect, and closed */
	STEP_DROP,   /* closed without a word */
	STEP_KERNEL, /* given to the firewall; what comes all the same is dropped */
	STEP_COUNT
};

extern const char *const guard_step_word[STEP_COUNT];

/* The last refusal at connect that was put on it, and whether it helped. */
struct guard_ban {
	gsec_t since, until; /* 0: there was none yet */
	uint8_t step;	     /* enum guard_step; how it is refused */
	uint8_t rule;	     /* enum rule */
	uint8_t level;	     /* how many bans so far: each lasts twice as long */
	uint8_t observed;    /* 1: nothing is refused, it would be */
	uint32_t tries;	     /* connections since it began */
	float before;	     /* connections per hour in the hour before it */
	float points;	     /* that it had then */
};

enum guard_variety {
	VARIETY_RECIPIENTS, /* that were refused */
	VARIETY_SENDERS,
	VARIETY_NAMES,	 /* in HELO */
	VARIETY_CLIENTS, /* of a prefix: addresses in it that offended */
	VARIETY_COUNT
};

#define HOT_GOOD   (1u << 0) /* known-good: see guard/guard.h */
#define HOT_PASSED (1u << 1) /* waited for our greeting once */
#define HOT_BEHIND (1u << 2) /* came through PROXY or XCLIENT, at least sometimes */
#define HOT_NO_PTR (1u << 3)
#define HOT_LISTED (1u << 4) /* by a DNS blocklist */
#define HOT_DETAIL \
	(1u << 5) /* must be set by whoever writes to its details, once they are his */

/*
 * Two lines, all that letting somebody in needs: more of them fit into the caches than if
 * they lay among the details. Whoever changes it locks it: memory_open_row().
 */
struct guard_hot {
	struct guard_key key;
	uint8_t flags;
	uint8_t lines; /* logged about its refusals lately: each tells of twice as many */
	uint16_t says; /* bits, of what was forgotten in cold memory: see there */
	struct guard_ban ban;
	gsec_t first, last;   /* when it connected */
	uint32_t sessions;    /* open now */
	int64_t next_connect; /* GCRA: the theoretical arrival time, us of now */
	gsec_t points_at;     /* when fast and slow were brought up to date */
	float fast, slow;     /* points */
	float per_hour;	      /* connections, decaying over one hour */
	uint32_t connects;    /* all, refused ones included */
	uint32_t refused;     /* at connect */
	uint32_t visits;      /* sessions that offended */
	uint32_t good;	      /* accepted messages; halved for each 30 days without one */
	uint32_t good_inside; /* a prefix: how many known-good clients it has */
	gsec_t offended;      /* the last offence */
	uint64_t bytes;	      /* received */
	uint64_t busy_us;     /* our processor time */
	uint32_t untold;      /* refusals that the log does not have yet */
	uint16_t did;	      /* bits, of what it did since: what `says` will have then */
};

#define EVENTS_KEPT 72 /* more than there are: so a few more make no other memory */

/*
 * Of the same row, under the same lock. Without HOT_DETAIL it is what somebody else did who
 * had the place before: it is cleared by the first who asks, and not by whoever makes room.
 */
struct guard_detail {
	uint32_t seen[EVENTS_KEPT]; /* by enum event: exact */
	struct distinct variety[VARIETY_COUNT];
};

/* 32 bytes: what is left of one who has not been here for a while. */
struct guard_cold {
	uint64_t prefix;
	uint8_t kind; /* guard_key.kind + 1 in three bits, good_inside (at most 31) above; 0: free */
	uint8_t flags; /* HOT_ bits in five; how the ban refuses in two; whether it only observes */
	uint8_t rule, level; /* of the last ban */
	gsec_t last;	     /* when it was last heard of */
	gsec_t until;	     /* of the ban */
	uint16_t slow;	     /* points at `last`, in sixteenths, at most 4095 */
	uint16_t good;
	uint16_t visits; /* at most 65535 */
	uint16_t came;	/* connections, at most 1023, in ten bits; the mean pause above */
	uint16_t says;	/* what it did: a bit for each enum says; its rank */
	uint16_t check; /* of all the above */
};

_Static_assert(sizeof(struct guard_hot) == 128, "a row of hot memory");
_Static_assert(sizeof(struct guard_detail) == 420, "what it did");
_Static_assert(sizeof(struct guard_cold) == 32, "a row of cold memory");
_Static_assert(EVENT_COUNT <= EVENTS_KEPT, "events fit into a hot row");

/* How large each part is. */
struct memory_shape {
	uint32_t hot, cold;	 /* rows; rounded up to whole buckets, a power of two */
	uint32_t workers, seats; /* seats for each worker */
};

size_t memory_size(const struct memory_shape *shape);
/* In zeroed memory of that size. key: random. */
void memory_init(void *mem, size_t n, const struct memory_shape *shape,
		 const uint64_t key[2], ms_t now);

/* A view of it, in memory of our own. */
struct memory {
	struct memory_head *head; /* borrowed: the mapping */
	size_t bytes;
	unsigned worker; /* who we are; only for writers */
	/* Rest for some 100 us: for whoever would rather wait for a lock than do without. */
	void (*rest)(void);

	/* What the head said when it was checked: whoever breaks it later misleads nobody. */
	struct memory_shape shape;
	uint32_t shards,
		beside;	 /* so many other hot buckets can take what one has no room for */
	uint32_t spread; /* two to the power of this: cold buckets for each hot one */
	uint64_t key[2];
	struct memory_shard *shard;
	struct memory_tags *tags;
	struct guard_hot *hot;
	struct guard_detail *detail;
	struct guard_cold *cold;
	struct memory_note *notes;
	struct seats_head *seats;
	uint64_t *seats_full;
	struct seat_place *seat;
};

/*
 * False: it is not a memory of this version and of that many bytes. What is inside is
 * checked when it is read. Readers must not call what writes.
 */
MUST bool memory_open(struct memory *m, void *mem, size_t n, unsigned worker);

/* How fast the slow score fades, for rows that become cold; 7 days unless somebody says so. */
void memory_half_life(const struct memory *m, ms_t half_slow);

/* Guard seconds of a time; monotonic times of at most 34 years before now are possible. */
gsec_t memory_second(ms_t now);

/* A keyed hash of something a client said, the same in all processes. */
uint64_t memory_hash(const struct memory *m, struct span what);
/* A number by which to know this memory from one that was made at another start. */
uint64_t memory_life(const struct memory *m);

/* ---- rows, for writers ------------------------------------------------------------------- */

/*
 * Where the row of a key can be. `likely` is where it was when somebody looked: no promise.
 * It was not there? Then it is where there was room, or the row of that tag might go.
 */
struct memory_place {
	uint32_t shard, bucket, likely;
	uint16_t tag, leaves;
	bool absent;
};

struct memory_place memory_place(const struct memory *m, struct guard_key k);
/*
 * Bring the lines that opening these needs on their way (prefetch): those that say where
 * they are; then see where they are, and bring the rows.
 */
void memory_expect(const struct memory *m, const struct memory_place *places, size_t n);
void memory_expect_rows(const struct memory *m, struct memory_place *places, size_t n);
/*
 * Lock the shard and find the key's hot row; make one if there is none, from cold memory
 * if it is known there (the other way for whoever has to make room). NULL: the lock could
 * not be had, or all places are taken by clients with open sessions. One row at a time:
 * close it before the next.
 */
struct guard_hot *memory_open_row(const struct memory *m, struct guard_key k, ms_t now);
/*
 * The same for whoever has the place of the key; only_known: NULL also if neither hot nor
 * cold memory knows it.
 */
struct guard_hot *memory_open_at(const struct memory *m, const struct memory_place *at,
				 struct guard_key k, ms_t now, bool only_known);
/* What an open row did. Without HOT_DETAIL that is nothing, each time: so set it. */
struct guard_detail *memory_detail(const struct memory *m, const struct guard_hot *row);
void memory_close_row(const struct memory *m, struct guard_hot *row);
/*
 * So many sessions of that key are over, which have sent so much. False: the lock could not
 * be had, and they still count as here; nobody else will say it, so say it again later.
 */
MUST bool memory_left(const struct memory *m, struct guard_key k, uint32_t sessions,
		      uint64_t bytes, uint64_t busy_us);

/*
 * How much it matters to remember: sessions that are open can never be forgotten, a ban in
 * force outlives standing, standing outlives offences, these outlive passers-by.
 */
uint32_t memory_worth(const struct guard_hot *row, gsec_t now);

/* A worker has died: free the locks that it held, and drop the rows that it tore. */
void memory_mend(const struct memory *m, unsigned dead);

/* ---- for readers -------------------------------------------------------------------------- */

/* A copy of what is known of that key; false: nothing is, or it changes too fast. */
MUST bool memory_peek(const struct memory *m, struct guard_key k, struct guard_hot *out);
/* The same, with what it did in detail, which cold memory does not have. */
MUST bool memory_peek_all(const struct memory *m, struct guard_key k,
			  struct guard_hot *out, struct guard_detail *detail);

/*
 * All rows, one after another, hot ones first; *at begins as 0. Rows that move meanwhile
 * may be missed or met twice. *out of a cold row has what cold memory has.
 */
MUST bool memory_next(const struct memory *m, size_t *at, struct guard_hot *out);

/*
 * The same in slices, for who must not take long: row number `at`, of so many places; hot
 * ones first. False: there is none in that place now.
 */
size_t memory_places(const struct memory *m);
MUST bool memory_at(const struct memory *m, size_t at, struct guard_hot *out);
MUST bool memory_all_at(const struct memory *m, size_t at, struct guard_hot *out,
			struct guard_detail *detail);
/*
 * Whose row that is, much faster, for whoever looks for a few among all. It may be wrong
 * about a row that is being written; memory_at() then says so.
 */
MUST bool memory_key_at(const struct memory *m, size_t at, struct guard_key *out);

struct memory_counts {
	uint32_t hot_rows, hot_used, cold_rows, cold_used;
	uint64_t evicted;   /* hot rows that became cold */
	uint64_t forgotten; /* cold rows that made room */
	uint64_t contended; /* locks that could not be had */
	uint64_t mended;    /* torn rows that were dropped */
};

/* Counts that are kept anyway, nothing is walked. */
void memory_counts(const struct memory *m, struct memory_counts *out);

/* ---- bans, told to watch -------------------------------------------------------------------- */

/* What became of a client or prefix, for watch to log and to hand on to the firewall. */
struct ban_note {
	struct guard_key key;
	struct guard_ban ban;
	bool over; /* it ended or was lifted */
};

/* A ring in the mapping; a reader that is too slow walks the rows instead. */
void memory_note(const struct memory *m, const struct ban_note *note);
/* *at begins as 0, or as what memory_notes_end() says. *lost: some were overwritten. */
MUST bool memory_next_note(const struct memory *m, uint64_t *at, struct ban_note *out,
			   bool *lost);
uint64_t memory_notes_end(const struct memory *m);

/* ---- moods of the whole server: shared by all edges ------------------------------------------- */

/* Sessions that are open over all edges; as exact as the seats are (guard/seats.h). */
uint32_t memory_sessions(const struct memory *m);
/* How many wait for a delayed answer; add 1 or -1. */
int32_t memory_delayed(const struct memory *m, int32_t add);
/* Take one TLS handshake out of this second's budget; false: it is used up. */
MUST bool memory_handshake(const struct memory *m, int64_t per_second, ms_t now);

#endif
