/*
 * pulse - what a role shows of itself: heartbeat, counts, gauges and log records
 *
 * A shared mapping per role, made by the supervisor (memfd, size sealed). The role
 * writes; supervisor and watch only read, so a reader that dies or stops can neither
 * hold a lock nor make the writer wait. The log is a ring that overwrites its oldest
 * records: a slow reader loses text, which it notices, and never counts, which are kept
 * beside the ring. The writer rings a doorbell (eventfd) only a few times in a row of
 * records; the reader looks again after PULSE_RING_EVERY until it finds nothing.
 */
#ifndef LINK_PULSE_H
#define LINK_PULSE_H

#include "base/addr.h"
#include "base/err.h"
#include "base/time.h"
#include "spec/ends.h"
#include "spec/events.h"
#include "spec/limits.h"
#include "spec/records.h"
#include "spec/roles.h"
#include "spec/rules.h"

#define PULSE_RING_BYTES (1u << 20)
#define PULSE_RING_EVERY ((ms_t)40)

/* Numbers that go up and down, or only up; shown by `holdfast status`. */
enum gauge {
	GAUGE_SESSIONS,	   /* open now */
	GAUGE_TLS,	   /* of them inside TLS */
	GAUGE_BODY_BYTES,  /* memory held by bodies on their way in */
	GAUGE_CONNECTIONS, /* accepted since the start */
	GAUGE_MESSAGES,	   /* acknowledged (edge) or committed (store) since the start */
	GAUGE_QUEUE,	   /* messages in the queue (store) */
	GAUGE_DELIVERIES,  /* under way */
	GAUGE_DELIVERED,   /* recipients delivered since the start */
	GAUGE_DEFERRED,	   /* deliveries that failed for now, since the start */
	GAUGE_DEAD,	   /* deliveries that failed for good, since the start */
	GAUGE_DRAINING,	   /* 1: this one has been replaced (edge) */
	GAUGE_VACANT,	   /* posts whose role is not ready (supervisor) */
	GAUGE_HELD,	   /* messages in the queue that are held (store) */
	GAUGE_COUNT
};

/* What an edge sees of a mailbox server, in the order of conf.backends. */
enum backend_health {
	BACKEND_UNTRIED,
	BACKEND_WELL,
	BACKEND_ILL, /* it does not answer */
	BACKEND_HEALTHS
};

struct pulse_backend {
	uint64_t id;		   /* pulse_backend_id() of its name; 0: there is none */
	uint32_t health[2];	   /* enum backend_health of its IMAP and of its POP3 */
	uint32_t sessions;	   /* that talk with it now */
	uint32_t addresses;	   /* that its names have, as far as they are known */
	uint64_t logins, failures; /* since the edge's start */
};

struct pulse;	     /* the writer's side */
struct pulse_reader; /* a reader's side */

/* For the supervisor: make one. fd is to be passed to the role, read_fd to readers. */
MUST bool pulse_make(int *fd, int *read_fd, struct err *err);

/* For the role. Takes over both descriptors, also when it fails. */
MUST bool pulse_open(struct pulse **out, int fd, int doorbell, struct err *err);
void pulse_close(struct pulse **p);
/* A pulse in private memory whose records go to nobody: for tests and --one-process. */
MUST bool pulse_private(struct pulse **out, struct err *err);

void pulse_beat(struct pulse *p);
void pulse_count(struct pulse *p, enum event e, uint64_t by);
void pulse_count_end(struct pulse *p, enum end e);
void pulse_gauge(struct pulse *p, enum gauge g, int64_t add);
void pulse_gauge_set(struct pulse *p, enum gauge g, int64_t value);

/* Configurations may differ for a moment, so a name tells them apart, not a number. */
uint64_t pulse_backend_id(struct span name);
void pulse_backend(struct pulse *p, size_t i, const struct pulse_backend *b);

/*
 * Log one record: its kind, when (wall clock), from whom (NULL if nobody), and its fields
 * (base/fields.h). Always counted; cut out of the text if longer than LOG_RECORD_MAX.
 */
void pulse_log(struct pulse *p, enum record kind, int64_t wall, const struct addr *from,
	       struct span fields);

/*
 * Something a client did: counted like pulse_count() and, if it weighs anything or `rule` is
 * set, told to watch as a compact record, which becomes a row of the journal and, if it is
 * to be written, a line of the log. Cheap: nothing is printed here.
 */
struct pulse_deed {
	uint64_t session;
	struct addr from;
	enum event event; /* EV_NONE: only the rule */
	enum rule rule;	  /* what refused it, or would */
	bool observed, behind;
	uint16_t count;
	uint16_t listener; /* in conf.listeners */
	int32_t points;	   /* of its session so far, with this */
	struct span text;  /* what the peer said; cut at LOG_TEXT_MAX */
};

void pulse_deed(struct pulse *p, int64_t wall, const struct pulse_deed *d);
/* A LOG_OFFENCE record of a reader, as it was told. False: it is not a whole one. */
MUST bool pulse_deed_read(struct span fields, struct pulse_deed *out);

/*
 * For readers. Takes over the descriptor; maps it read-only. Reading goes on where an
 * earlier reader of the same open file ended, so that a new watch repeats nothing.
 */
MUST bool pulse_reader_open(struct pulse_reader **out, int read_fd, struct err *err);
void pulse_reader_close(struct pulse_reader **r);

uint64_t pulse_beats(const struct pulse_reader *r);
uint64_t pulse_counted(const struct pulse_reader *r, enum event e);
uint64_t pulse_counted_end(const struct pulse_reader *r, enum end e);
uint64_t pulse_counted_record(const struct pulse_reader *r, enum record kind);
int64_t pulse_gauge_now(const struct pulse_reader *r, enum gauge g);

/* What the role said of that mailbox server. False: it said nothing of it. */
MUST bool pulse_backend_now(const struct pulse_reader *r, uint64_t id,
			    struct pulse_backend *out);

struct pulse_record {
	enum record kind;
	int64_t wall;
	bool has_from;
	struct addr from;
	/*
	 * Good until the next call. A role that was broken into writes what it likes: they are
	 * fields only if fields_ok() says so, or a deed if pulse_deed_read() does.
	 */
	struct span fields;
};

/* The next record; false if there is none now. *lost: how many were overwritten before it. */
MUST bool pulse_next(struct pulse_reader *r, struct pulse_record *out, uint64_t *lost);

#endif
