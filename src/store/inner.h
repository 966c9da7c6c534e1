/*
 * inner - what the files of this role share
 */
#ifndef STORE_INNER_H
#define STORE_INNER_H

#include "base/fields.h"
#include "base/list.h"
#include "db/queue_read.h"
#include "io/loop.h"
#include "link/start.h"
#include "store/batch.h"
#include "store/maildir.h"
#include "store/recipients.h"
#include "store/schedule.h"

#define STORE_MEMORY_MAX ((size_t)96 << 20) /* all batches together; then edges wait */
#define MAILDIR_JOBS	 2		    /* threads that write mailboxes at once */
#define MAILDIR_WAITING	 2048		    /* mails for them in memory */
#define PARCEL_TO_MAX	 100		    /* recipients of one delivery */
#define JOBS_MAX	 16384

struct store;

/* One edge worker. Another process of the same number gets another generation. */
struct edge_link {
	struct store *store;
	struct link *link; /* NULL: there is none now */
	struct watch watch;
	unsigned number;
	uint64_t generation;
	unsigned jobs; /* deliveries and probes it has from us */
	bool paused;   /* not read: we have too much in memory */
};

/* ---- a message for one destination, in hand ---- */

struct parcel_to {
	uint32_t number;
	uint32_t attempts;
	struct span address, mailbox;
};

struct parcel {
	struct parcel *next;
	struct destination *to;
	struct batch *batch; /* held; what the spans point to lies on its pile */
	uint64_t id, nonce;
	uint32_t flags;
	uint64_t size;
	int64_t wall;
	struct span sender, body;
	bool spooled; /* the body is a file */
	bool whole;   /* these are all recipients of the message */
	bool again;   /* it may have been delivered before */
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
	struct span address, answer;
};

/* What came of a delivery. */
struct outcomes {
	struct destination *to;
	uint64_t id, nonce;
	int64_t wall; /* when the message came */
	bool whole, spooled;
	struct span host;
	size_t count;
	struct outcome *list;
};

/* Deliver it now; the parcel and the room that it was promised go on to whoever does. */
void parcel_start(struct store *s, struct parcel *p);
/* It cannot be started: due again. */
void parcel_back(struct store *s, struct parcel *p);
/* The same came of all its recipients. */
void parcel_outcome(struct store *s, struct parcel *p, enum outcome_kind kind,
		    struct span host, struct span answer);
/* Keep room for one delivery; false: there is none. Whoever has it says deliver_over(). */
bool deliver_promise(struct store *s, struct destination *d);
void deliver_over(struct store *s, struct destination *d);
/* Results that could not be committed, once more. */
void deliver_save_again(struct store *s);
/* Let go of what a parcel holds. */
void parcel_drop(struct parcel *p);
/* Put it into the database, the log and the schedule. */
void outcomes_put(struct store *s, const struct outcomes *o);
/* Take what is due, wherever there is room. */
void schedule_pump(struct store *s);
/* The destination of that hop, made if it is new; NULL: it cannot be. */
struct destination *deliver_to(struct store *s, enum hop hop, const char *target);

/* ---- deliver_network.c: through the edges ---- */

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
	unsigned deliveries;
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

/* ---- deliver_local.c: Maildir and discard ---- */

struct maildir_line {
	struct parcel *first, **last; /* waiting */
	size_t waiting;		      /* mails in them */
	unsigned jobs;
};

void local_start(struct store *s, struct parcel *p);
bool local_has_room(const struct store *s);
/* After each round: what it brought is written together. */
void local_round(struct store *s);

/* ---- submit.c ---- */

/* Recipients of a message whose SUBMIT has not come yet. */
struct early_rcpts {
	struct early_rcpts *next;
	uint64_t generation; /* of the edge */
	uint64_t id, nonce;
	size_t count, n, cap;
	uint8_t *list;
};

/* A message whose file is being synced, before it can be committed. */
struct syncing {
	struct syncing *next;
	struct store *store;
	uint64_t generation;
	unsigned edge;
	uint64_t id;
	bool good;
	struct early_rcpts *early;
	size_t n;
	uint8_t frame[];
};

/* A frame of an edge. False: it lies, or is not what an edge of ours would send. */
MUST bool submit_rcpts(struct store *s, struct edge_link *e, const struct frame *f,
		       struct err *err);
MUST bool submit(struct store *s, struct edge_link *e, const struct frame *f,
		 struct err *err);
/* The transaction was given up: its recipients so far and its file may go. */
MUST bool submit_dropped(struct store *s, struct edge_link *e, const struct frame *f,
			 struct err *err);
/* The whole edge is gone. */
void submit_forget(struct store *s, const struct edge_link *e);

/* ---- spool.c ---- */

MUST bool spool_asked(struct store *s, struct edge_link *e, const struct frame *f,
		      struct err *err);
/* In any thread: a descriptor of the file, for reading; -1. */
int spool_read(const struct store *s, uint64_t id);
void spool_remove(const struct store *s, uint64_t id);
/* Look for files that belong to no message, in a thread. */
void spool_clean(struct store *s);

/* ---- verify.c ---- */

struct verify;

MUST bool verify_open(struct verify **out, struct store *s, struct err *err);
void verify_close(struct verify **v);
MUST bool verify_asked(struct store *s, struct edge_link *e, const struct frame *f,
		       struct err *err);
/* What the next hop said about an address; answer: "250 ...", "000 ..." if nothing. */
void verify_answered(struct store *s, struct verify_ask *ask, struct span answer);
void verify_tick(struct store *s, ms_t now);
/* The whole edge is gone: nobody waits for its answers any more. */
void verify_forget(struct store *s, const struct edge_link *e);

/* ---- quota.c ---- */

/* That many bytes more are in a mailbox. */
void quota_added(struct store *s, struct span mailbox, int64_t bytes);
/* Look at mailboxes: those that are full, and those of which nothing is known. */
void quota_tick(struct store *s, ms_t now);
/* Settings or users changed. */
void quota_judge_all(struct store *s);

/* ---- control.c ---- */

/* An answer of many rows, which go out as watch takes them. */
struct stream {
	struct stream *next;
	struct store *store;
	uint32_t ask;
	struct buf rows;  /* a list of rows, on the heap */
	struct span left; /* of them */
	/* in a thread, with the reader: the next rows; sets more, ok and text */
	void (*refill)(struct stream *s, struct queue_reader *r);
	bool more; /* there are: refill again */
	bool ok;
	char text[160];
	/* what refill is asked for */
	struct queue_filter filter;
	uint8_t pattern[2][ADDRESS_MAX];
	uint64_t id; /* or the last one listed */
	int64_t number;
	int64_t limit;
	int64_t count;
};

MUST bool control_asked(struct store *s, const struct frame *f, struct err *err);
/* Send rows as long as the link takes them; called when there is room again. */
void control_pump(struct store *s);
/* Watch is gone: nobody waits for answers any more. */
void control_gone(struct store *s);
void control_done(struct store *s, uint32_t ask, bool ok, const char *fmt, ...)
	PRINTF(4, 5);
/* One row at once, apart from any stream. */
void control_row_now(struct store *s, uint32_t ask, const struct buf *row);
/* NULL: out of memory, and the asker was told. */
struct stream *stream_new(struct store *s, uint32_t ask);
void stream_row(struct stream *t, const struct buf *row);
void stream_start(struct stream *t);

void control_queue(struct store *s, uint32_t ask, struct span words);
void control_user(struct store *s, uint32_t ask, struct span words);
void control_alias(struct store *s, uint32_t ask, struct span words);
void control_domain(struct store *s, uint32_t ask, struct span words);

/* ---- edges.c ---- */

/* A link to an edge, taken over; it replaces one of the same number. */
void edges_meet(struct store *s, struct link *link);
void edges_close(struct store *s);
/* The link of that generation, or NULL if it is another by now. */
struct edge_link *edges_get(struct store *s, unsigned number, uint64_t generation);
/* After sending: wait for what the socket did not take. */
void edges_sent(struct edge_link *e);
/* To all: who gets mail here, and whether there is room. */
void edges_tell_recipients(struct store *s);
void edges_tell_room(struct store *s);
/* Read no more while batches hold too much memory. */
void edges_pace(struct store *s);

/* ---- upkeep.c ---- */

void upkeep_start(struct store *s);
/* In a thread: how much room is there? */
void upkeep_measure(void *store);
/* In the loop: and is it enough? */
void upkeep_judge_room(struct store *s);
/* Accounts changed: publish them soon, or now, and then say that it is done. */
void people_changed(struct store *s, uint32_t ask, const char *text, bool now);
/* Put together and publish who gets mail here. */
void people_publish(struct store *s);

/* ---- store.c ---- */

struct store {
	struct start *start;
	const struct conf *conf;
	struct loop *loop;
	struct pulse *pulse;

	struct edge_link edges[EDGES_MAX];
	uint64_t generations;
	bool paused; /* edges are not read: too much is in memory */
	struct link *watch;
	struct watch watch_watch;
	struct watch life_watch;

	char hostname[DOMAIN_MAX + 1];
	int spool_dir;
	struct queue *queue;
	struct queue_reader *reader; /* for one thread at a time */
	bool reading;
	struct state *state;
	struct writer *writer;
	struct op *unsaved;	  /* operations that have to get in, and did not yet */
	bool broken;		  /* the last batch failed, and that was said */
	uint64_t newest_at_start; /* ids up to this one may have been delivered before */

	struct recipients recipients;
	struct timer publish;
	struct unpublished *unpublished; /* answers that wait for the map */
	ms_t published_at;

	struct schedule schedule;
	struct maildirs maildirs;
	struct maildir_line line;
	struct jobs jobs;

	struct early_rcpts *early;
	size_t early_bytes;
	struct syncing *syncing;
	unsigned spools_opening;

	struct verify *verify;
	struct stream *streams;
	size_t quota_at; /* where the round of looking at mailboxes is */
	bool quota_busy;

	struct timer beat, tick;
	ms_t tick_space, tick_minute, tick_hour; /* when each is next */
	bool measuring;
	int64_t room; /* free bytes; written by threads */
	bool full;
	bool pruning;
	uint64_t expire_after;

	bool draining;
	ms_t drain_by; /* results of next hops are waited for until then */
	int exit_code;
};

/* Log that something of ours failed. */
void trouble_log(struct store *s, const char *key, const char *fmt, ...) PRINTF(3, 4);

#endif
