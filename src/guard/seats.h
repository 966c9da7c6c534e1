/*
 * seats - the scoreboard: who is here, and doing what
 *
 * Part of the guard's memory. Each worker has seats of its own and is the only one that
 * writes to them; everybody reads, also while the worker spins or is dead. A seat has a
 * sequence counter, so that a reader never sees half of it.
 */
#ifndef GUARD_SEATS_H
#define GUARD_SEATS_H

#include "guard/memory.h"

#define SEAT_NONE UINT32_MAX
#define OWED_MAX \
	32 /* by a worker: so many sessions may be there beyond all limits, for a tick */
#define SEAT_NAME 24 /* of the login, else of the HELO: enough to know it by */

enum seat_state {
	SEAT_FREE,
	SEAT_OPENED, /* nothing was said yet, or PROXY is awaited */
	SEAT_WAITS,  /* for our greeting */
	SEAT_TLS,    /* the handshake */
	SEAT_TALKS,
	SEAT_MAIL,    /* a transaction is under way */
	SEAT_BODY,    /* a message comes in */
	SEAT_ASKS,    /* it waits for us: look-ups, the store */
	SEAT_DELAYED, /* its answer is held back */
	SEAT_READS,   /* it has logged in, and talks with its mailbox server */
	SEAT_LEAVES,
	SEAT_STATES
};

extern const char *const seat_state_word[SEAT_STATES];

/* What a seat shows. 128 bytes or less. */
struct seat {
	uint64_t session; /* its number, as in the log */
	uint64_t user; /* memory_hash() of the login, as in the log; 0: nobody has logged in */
	struct addr peer, via;
	int64_t opened, moved; /* ms of now */
	uint64_t bytes;
	uint32_t busy_us;
	uint32_t commands, messages;
	int32_t points; /* of this session */
	uint16_t listener;
	uint8_t state;
	uint8_t tls, known_good;
	uint8_t apart; /* not in the rows of peer: guard_came() has not counted it (yet) */
	uint8_t name_n;
	char name[SEAT_NAME]; /* as the peer said it */
};

/* A free seat of this worker; SEAT_NONE: none is left. Counts in memory_sessions(). */
uint32_t seat_take(const struct memory *m, const struct seat *s);
/* Only this worker's. */
void seat_write(const struct memory *m, uint32_t n, const struct seat *s);
void seat_leave(const struct memory *m, uint32_t n);
/* Borrowed: this worker's own view of its seat; change it only through seat_write(). */
const struct seat *seat_own(const struct memory *m, uint32_t n);

/* Of any worker; false: it is free, or changes too fast. */
MUST bool seat_read(const struct memory *m, unsigned worker, uint32_t n, struct seat *out);
/* No seat of that worker from here on was ever used. */
uint32_t seats_high(const struct memory *m, unsigned worker);
unsigned seats_workers(const struct memory *m);
uint32_t seats_room(const struct memory *m);

/*
 * A seat of another worker becomes free soon, and counts no more in seats_staying() from now
 * on. False: that one owes OWED_MAX already (it may be stuck), or is no worker.
 */
MUST bool seats_claim(const struct memory *m, unsigned worker);
/* How many of its seats this worker owes to others. */
uint32_t seats_owed(const struct memory *m);
/* It has emptied as many as it could, of so many that it owed. */
void seats_settle(const struct memory *m, uint32_t owed);
/* Sessions of all workers, but those that are to leave. */
uint32_t seats_staying(const struct memory *m);

/*
 * A worker has died: its seats become free, and what they counted in the rows of their
 * clients (sessions) is taken back. By a living worker, after memory_mend() and before a
 * successor has the same number. Twice does no harm.
 */
void seats_mend(const struct memory *m, unsigned dead);

#endif
