/*
 * deliver - messages in hand: on their way to mailboxes and next hops
 *
 * A parcel is one message for one destination. It came from the commit that stored it or
 * was taken from the database when it was due; what came of it goes back there.
 */
#ifndef STORE_DELIVER_H
#define STORE_DELIVER_H

#include "link/frame.h"
#include "store/batch.h"
#include "store/schedule.h"

struct store;
struct edge_link;
struct verify_ask;

#define MAILDIR_JOBS	2    /* threads that write mailboxes at once */
#define MAILDIR_WAITING 2048 /* mails for them in memory */
#define PARCEL_TO_MAX	100  /* recipients of one delivery */
#define JOBS_MAX	16384 /* slots for what edges have in hand; half of them are used */

struct parcel_to {
	uint32_t number;
	uint32_t attempts;
	struct span address, mailbox;
	struct span notify; /* parameters of RFC 3461; empty: none */
	struct span origin; /* what the sender wrote, if an alias made the address of it */
};

struct parcel {
	struct parcel *next;
	struct destination *to;
	struct batch *batch; /* held; what the spans point to lies on its pile */
	uint64_t id, nonce;
	uint32_t flags;
	uint64_t size;
	int64_t wall, since; /* when it came; when its lifetime began */
	struct span sender, envid, prefix, body;
	bool spooled; /* the body is a file */
	bool whole;   /* these are all recipients of the message */
	bool again;   /* it may have been delivered before */
	size_t bytes; /* of the recipients, as they travel */
	size_t count;
	size_t cap; /* of rcpts, while it is being filled */
	struct parcel_to *rcpts;
	struct mail *mails; /* maildir.c's view, while it is there */
};

enum outcome_kind {
	OUTCOME_DONE,
	OUTCOME_LATER, /* failed for now */
	OUTCOME_NEVER, /* failed for good */
	OUTCOME_BACK,  /* not tried: due again at once */
};

/* What came of one recipient. */
struct outcome {
	enum outcome_kind kind;
	uint32_t number, attempts;
	struct span address, notify, answer;
};

/* What came of a delivery. */
struct outcomes {
	struct destination *to;
	uint64_t id, nonce;
	int64_t wall, since; /* when the message came; when its lifetime began */
	bool whole, spooled;
	uint32_t flags;
	bool told;	       /* the next hop obeys NOTIFY from here on (RFC 3461) */
	struct span host, tls; /* who took it, and how it was reached; tls may be empty */
	size_t count;
	struct outcome *list;
};

/* Deliver it now; the parcel and the room that it was promised go on to whoever does. */
void parcel_start(struct store *s, struct parcel *p);
/* It cannot be started: due again. */
void parcel_back(struct store *s, struct parcel *p);
/* To be filled with what came of each: its kind, and the answer. */
struct outcomes parcel_outcomes(const struct parcel *p,
				struct outcome list[PARCEL_TO_MAX]);
/* The same came of all its recipients. */
void parcel_outcome(struct store *s, struct parcel *p, enum outcome_kind kind,
		    struct span host, struct span answer);
/*
 * May this recipient travel with those that are in it? They share an envelope sender, which
 * depends on the alias that forwards (SRS), and one message to an edge.
 */
bool parcel_fits(const struct parcel *p, const struct parcel_to *to);
/* Keep room for one delivery; false: there is none. Whoever has it says deliver_over(). */
bool deliver_promise(struct store *s, struct destination *d);
void deliver_over(struct store *s, struct destination *d);
/* Results that could not be committed, once more. */
void deliver_save_again(struct store *s);
/* At the end: those that never could. */
void deliver_log_unsaved(struct store *s);
/* Let go of what a parcel holds. */
void parcel_drop(struct parcel *p);
/* Put it into the database, the log and the schedule. */
void outcomes_put(struct store *s, const struct outcomes *o);
/* Take what is due, wherever there is room. */
void schedule_pump(struct store *s);
/* What is due now is looked for at once, also where nobody answered lately. */
void deliver_hurry(struct store *s);
/*
 * The destination of that hop, made if it is new. *to is NULL if there is no place for it
 * in the schedule now: what is put into the database for that id is found there when there
 * is. False: out of memory.
 */
MUST bool deliver_to(struct store *s, enum hop hop, struct span target, int64_t *id,
		     struct destination **to);
/* One that is in the database has mail that is due then. False: it makes no sense. */
bool deliver_found(struct store *s, int64_t id, int hop, struct span target, int64_t due);
/* Look into the database for destinations that have mail and no place. */
void deliver_refresh(struct store *s);

/* ---- through the edges: deliver_network.c ---- */

struct job {
	uint64_t number; /* 0: free */
	uint64_t edge_generation;
	unsigned edge;
	ms_t since;
	struct parcel *parcel;	  /* a delivery; owned, without a body */
	struct verify_ask *probe; /* or a probe */
};

struct jobs {
	struct job *list[JOBS_MAX];
	uint64_t counter;
	unsigned count;
};

/* Is there an edge that can take a delivery? */
bool network_has_room(const struct store *s);
void network_start(struct store *s, struct parcel *p);
/* Ask a next hop about an address. False: no edge can. */
bool network_probe(struct store *s, struct verify_ask *ask, enum hop hop,
		   const char *target, struct span address);
MUST bool network_delivered(struct store *s, struct edge_link *e, const struct frame *f);
/* What that edge had in hand is due again. */
void network_lost(struct store *s, struct edge_link *e);
void network_tick(struct store *s, ms_t now);

/* ---- mailboxes: deliver_local.c ---- */

struct maildir_line {
	struct parcel *first, **last; /* waiting */
	size_t waiting;		      /* mails in them */
	unsigned jobs;
};

void local_start(struct store *s, struct parcel *p);
bool local_has_room(const struct store *s);
/* After each round: what it brought is written together. */
void local_round(struct store *s);

#endif
