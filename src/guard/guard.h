/*
 * guard - one judge for every client
 *
 * Says who may come in (guard_came), hears what they do (guard_saw), and says what follows
 * from it, at once and at the next connection. All it knows is in memory that the edges
 * share (guard/memory.h), what the administrator said (orders, access lists) and limits.
 * It is pure: time and memory are arguments.
 *
 * Points. An event adds its weight to the fast score of the client and its two prefixes
 * (half-life guard.half-life) and, at the end of each step, what of the session's heaviest
 * offence was not yet added to the slow one (guard.history-half-life): so a burst counts by
 * its size, and visits over weeks count one by one. What weighs less than 5 is clumsiness,
 * and no history. Trying something that was tried before (the same unknown recipient, the
 * same wrong HELO) adds nothing, and facts (no PTR) count once. DNS blocklists raise the
 * fast score to their weight, and not to a ban. A message that is accepted takes points
 * off, two and one for each recipient up to 50, but saves nothing up.
 *
 * Known-good. good_after accepted messages (fading over months), and a fast score below
 * late_at and a slow one below ban_history_at. Such a client is never banned with its
 * prefix, has ten times the limits, the reserved room and no waiting; it can still lose
 * its standing by its own deeds.
 *
 * The ladder. delay_at, late_at; then a ban: refused at connect, after drop_after tries
 * dropped, after kernel_after given to the firewall. A ban lasts ban_first, doubled for
 * each one before it (one is forgotten for each half-life of the history), at least four
 * times the mean gap between the client's visits, at most ban_max, give or take a fifth.
 * What is tried meanwhile is counted against the rate before it.
 *
 * Collateral. A prefix is banned only if prefix_offenders addresses of it offended, and
 * nobody known-good lives there (good_inside); else its addresses are judged one by one.
 * An address with good_after accepted messages, and four for each session that offended,
 * is shared by many: there the session that offends ends, and nobody else's.
 */
#ifndef GUARD_GUARD_H
#define GUARD_GUARD_H

#include "guard/code.h"
#include "guard/orders.h"
#include "guard/seats.h"

struct guard_limits {
	bool observe;
	bool observed[RULE_COUNT];
	int64_t sessions_max, reserved; /* over all edges; of a hundred */
	int64_t per_address, connect_rate, connect_burst;
	int64_t delay_at, late_at, ban_at, ban_history_at;
	int64_t good_after, prefix_offenders, drop_after, kernel_after;
	ms_t half_fast, half_slow, ban_first, ban_max;
};

#define GUARD_LATE 64

/* Sessions that a row is to count, or no more: it was locked whenever we came. */
struct guard_late {
	struct guard_key key;
	int32_t sessions;
};

struct guard {
	struct memory memory;
	struct guard_limits limits;
	const void *access; /* a blob that access_ok() found good; NULL: none */
	size_t access_n;
	const struct orders *orders; /* NULL: none */
	uint64_t chance;	     /* for jitter: seed it with anything */
	size_t late_count;
	struct guard_late late[GUARD_LATE]; /* for guard_catch_up() */
};

/* ---- who may come in -------------------------------------------------------------------- */

struct guard_verdict {
	enum guard_step step; /* NONE: come in, also if only observed; REFUSE, DROP: not */
	enum rule rule;	      /* why, also if only observed */
	bool observed;	      /* would be refused */
	bool allowed; /* the administrator lets it in: nothing it does is held against it */
	bool known_good;
	bool passed;	   /* has waited for our greeting before */
	bool worth_a_line; /* log it: its first refusal for a while, or one of many */
	uint64_t tries; /* with worth_a_line: so many since the last line, this included */
	ms_t until;	/* when the ban ends (now); 0: there is none */
};

/* A client that is here, kept with its session. Members are for guard/ to write. */
struct guard_visit {
	struct addr addr;
	uint8_t counted; /* in the rows of its keys, a bit each: guard_left() is due */
	bool behind;	 /* PROXY or XCLIENT told us who it is: never for the firewall */
	bool allowed, known_good, offended;
	int32_t heaviest; /* offence of this session, as far as it is in the slow score */
	uint32_t recipients; /* accepted since the last message */
};

/*
 * A connection from this address. If it is let in (or only observed) it is counted, and
 * guard_left() must follow. behind: the address was told by a front that we trust.
 * v begins zeroed.
 */
struct guard_verdict guard_came(struct guard *g, struct guard_visit *v,
				const struct addr *from, bool behind, ms_t now,
				int64_t wall);
void guard_left(struct guard *g, struct guard_visit *v, uint64_t bytes, uint64_t busy_us);
/*
 * Who is to be counted as here, or as here no more, and could not be: some process may have
 * stood still, or died, with a lock. Call it now and then; most of the time there is nothing
 * to do.
 */
void guard_catch_up(struct guard *g, ms_t now);

/* ---- what they do -------------------------------------------------------------------------- */

/* What was seen in one step. Hashes of what was said come from memory_hash(); 0: nothing. */
struct guard_deeds {
	uint16_t seen[EVENT_COUNT];
	int32_t more_points; /* beside the weights: of DNS blocklists */
	uint64_t recipient;  /* that was refused: the last one of the step */
	uint64_t sender, name;
	bool passed; /* it waited for our greeting */
	bool listed, no_ptr;
};

/* What follows for the session that is here now. */
struct guard_mood {
	enum guard_step step; /* NONE, DELAY, LATE; REFUSE: banned now, end it */
	enum rule rule;
	bool observed; /* step is what it would be; do nothing but delay */
	bool delays; /* answers to offences wait, whatever is only observed above that */
	bool known_good;
	int32_t points; /* the fast score */
};

struct guard_mood guard_saw(struct guard *g, struct guard_visit *v,
			    const struct guard_deeds *deeds, ms_t now, int64_t wall);

/* ---- room ------------------------------------------------------------------------------------ */

/* How full it is, in hundredths of sessions.max. */
int64_t guard_fill(const struct guard *g);
/*
 * A time-out or limit as it is now: whole until half of the sessions are taken, then
 * shrinking evenly to `least` at nine tenths; whole for known-good clients always.
 */
int64_t guard_shrunk(const struct guard *g, int64_t whole, int64_t least, bool known_good);
/*
 * Of this worker's seats, the one to give up for somebody better: the worst standing, then
 * the longest still, never known-good ones; of some that are drawn. SEAT_NONE: nobody.
 */
uint32_t guard_worst(struct guard *g);
/*
 * For a known-good client when this worker has nobody to give up: another worker that has
 * strangers is to give up one. False: no other has.
 */
MUST bool guard_claim(struct guard *g);

/* ---- for those who only look -------------------------------------------------------------------- */

/* The scores of a row, faded to now. */
double guard_fast(const struct guard_hot *row, const struct guard_limits *l, ms_t now);
double guard_slow(const struct guard_hot *row, const struct guard_limits *l, ms_t now);
bool guard_is_good(const struct guard_hot *row, const struct guard_limits *l, ms_t now);
/* Connections per hour, faded to now. */
double guard_per_hour(const struct guard_hot *row, ms_t now);
bool guard_ban_holds(const struct guard_hot *row, ms_t now);

#endif
