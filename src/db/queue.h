/*
 * queue - the messages we have promised to deliver
 *
 * Everything between queue_begin() and queue_commit() becomes durable together: the
 * caller gathers what many sessions want into one transaction, and answers them when the
 * commit has returned. One thread at a time may use a queue.
 *
 * A message stays until each of its recipients is delivered. Then only its id and nonce
 * are kept, for a while, so that the same message submitted again is recognised. With a
 * recipient that failed for good it stays as dead.
 *
 * Spans handed in must live until the call returns; spans handed to a callback are good
 * until the callback returns.
 */
#ifndef DB_QUEUE_H
#define DB_QUEUE_H

#include "base/addr.h"
#include "base/err.h"
#include "base/time.h"
#include "db/trouble.h"

struct queue;

enum queue_state {
	QUEUE_OPEN, /* some recipient waits, or is in hand */
	QUEUE_HELD, /* the administrator said so: nothing is tried */
	QUEUE_DEAD, /* nothing waits, and some recipient failed for good */
	QUEUE_PURGED, /* deleted by an order, and kept for a day so that this can be undone */
	QUEUE_GONE, /* not in the queue (any more) */
};

enum to_state {
	TO_WAITING, /* or in hand */
	TO_DONE,
	TO_DEAD,
	TO_HELD,
};

#define QUEUE_IN_HAND INT64_MIN /* a due: whoever puts it tries it at once */

struct queue_message {
	uint64_t id, nonce;
	enum queue_state state; /* put: OPEN or HELD */
	uint32_t flags;		/* MAIL_ bits */
	uint64_t size;
	int64_t wall;  /* when it came */
	int64_t since; /* read: when its lifetime began; later than wall after a release */
	struct endpoint peer;
	uint16_t listener;
	struct span helo, login, sender;
	struct span envid;   /* RFC 3461, as written */
	uint32_t incident;   /* the number of the order or brake that holds it; 0: none */
	uint32_t rcpt_total; /* rows of struct queue_to */
	bool spooled;	     /* the body is a file; else it is in body */
	struct span body;
	struct span prefix; /* fields that go before the body on its way out */
};

struct queue_to {
	uint32_t number;
	struct span address; /* as the sender wrote it, or the alias' target */
	struct span mailbox; /* user@domain without detail */
	struct span notify;  /* parameters of RFC 3461, as written */
	struct span origin; /* what the sender wrote, if an alias made the address of it */
	int64_t destination;
	uint32_t attempts;
	int64_t due;
};

/* What came of trying one recipient. */
struct queue_answer {
	uint32_t number;
	enum to_state state;
	int64_t due;	    /* when to try again, for TO_WAITING */
	struct span answer; /* what the next hop said; empty: it was not tried */
};

/*
 * Opens or makes the database. Refuses, and touches nothing, if it is in use, damaged,
 * not ours or from a newer version; err says how to repair. What a dead predecessor had
 * in hand is due at `wall`.
 */
MUST bool queue_open(struct queue **out, const char *path, int64_t wall, struct err *err);
void queue_close(struct queue **q);

/* Of the last failure. */
enum trouble queue_trouble(const struct queue *q);

MUST bool queue_begin(struct queue *q, struct err *err);
MUST bool queue_commit(struct queue *q, struct err *err);
void queue_rollback(struct queue *q);
/*
 * Has the log grown enough to be worth moving into the file? At rest, a tenth of that is
 * enough. How large it may become: queue_limit_log(), for small disks.
 */
bool queue_wants_checkpoint(const struct queue *q, bool at_rest);
void queue_limit_log(struct queue *q, int64_t bytes);
MUST bool queue_checkpoint(struct queue *q, struct err *err);

/* The largest id in the queue; 0: it is empty. */
MUST bool queue_newest(struct queue *q, uint64_t *out, struct err *err);
/* How many messages are in each state. */
MUST bool queue_count(struct queue *q, int64_t counts[QUEUE_GONE], struct err *err);
/* How many are held; what is not held is not looked at. */
MUST bool queue_held(struct queue *q, int64_t *out, struct err *err);

enum queue_put {
	QUEUE_PUT, /* it is in */
	QUEUE_KEPT, /* it is in, and not to be delivered now: it is held, or an order caught it */
	QUEUE_SAME,  /* it was in already: the same id and nonce */
	QUEUE_TAKEN, /* another message has this id */
};

/* What queue_put() would say of that id and nonce. */
MUST bool queue_known(struct queue *q, uint64_t id, uint64_t nonce, enum queue_put *out,
		      struct err *err);
MUST bool queue_put(struct queue *q, const struct queue_message *m,
		    const struct queue_to *to, size_t to_count, enum queue_put *out,
		    struct err *err);

struct queue_settled {
	enum queue_state state; /* GONE: it is finished, or was deleted meanwhile */
	bool left;		/* it left the queue just now */
	bool spooled;		/* and its file may go */
};

/* Every recipient is delivered: forget all but id and nonce. *left: it was still there. */
MUST bool queue_finish(struct queue *q, uint64_t id, uint64_t nonce, int64_t wall,
		       bool *left, struct err *err);

/* Note what came of trying some recipients of one message. */
MUST bool queue_answers(struct queue *q, uint64_t id, const struct queue_answer *answers,
			size_t count, int64_t wall, struct queue_settled *out,
			struct err *err);

struct queue_want {
	int64_t destination;
	int64_t wall;	   /* what is due by then */
	size_t messages;   /* at most */
	size_t recipients; /* per message, at most */
	size_t bytes;	   /* of bodies, at most; the first is taken whatever its size */
};

/* Take due recipients in hand; each() is called once per message. */
MUST bool queue_take(struct queue *q, const struct queue_want *want,
		     void (*each)(void *arg, const struct queue_message *m,
				  const struct queue_to *to, size_t to_count),
		     void *arg, struct err *err);

/* When the next one for that destination is due; MS_NEVER: none is. */
MUST bool queue_next(struct queue *q, int64_t destination, int64_t *due, struct err *err);
/* The clock was set back: nothing is due later than that. */
MUST bool queue_pull_in(struct queue *q, int64_t latest, int64_t *count, struct err *err);

/* ---- orders ------------------------------------------------------------------------------- */

enum queue_order {
	QUEUE_RETRY, /* due now; dead ones get a new life */
	QUEUE_HOLD,
	QUEUE_RELEASE,
	QUEUE_DELETE,
};

struct queue_changed {
	uint64_t last; /* the last id looked at: go on after it; 0: that was all */
	uint32_t count;
};

/* Told about each message that left the queue. */
typedef void queue_on_gone(void *arg, uint64_t id, bool spooled);

/* One message. count is 0 if there is none of that id, or nothing to change about it. */
MUST bool queue_change(struct queue *q, enum queue_order order, uint64_t id, int64_t wall,
		       struct queue_changed *out, queue_on_gone *gone, void *arg,
		       struct err *err);
/* The next `limit` messages in that state with an id above `after`. */
MUST bool queue_change_all(struct queue *q, enum queue_order order,
			   enum queue_state state, uint64_t after, size_t limit,
			   int64_t wall, struct queue_changed *out, queue_on_gone *gone,
			   void *arg, struct err *err);

/* ---- time ----------------------------------------------------------------------------------- */

/* Forget ids of finished messages that are older than that; some at a time. */
MUST bool queue_prune_done(struct queue *q, int64_t before, size_t limit, uint32_t *count,
			   struct err *err);
/* Delete dead messages whose lifetime began before that; some at a time. */
MUST bool queue_prune_dead(struct queue *q, int64_t before, size_t limit, uint32_t *count,
			   queue_on_gone *gone, void *arg, struct err *err);
/*
 * What still waits and whose lifetime began before that is dead; soon() for each such message before that,
 * each() for each that is now.
 */
MUST bool queue_expire(struct queue *q, int64_t before, size_t limit, uint64_t *after,
		       bool (*soon)(void *arg, uint64_t id, struct err *err),
		       void (*each)(void *arg, uint64_t id, uint32_t recipients),
		       void *arg, struct err *err);

#endif
