/*
 * batch - what many want of the databases, in one transaction
 *
 * While a thread commits one batch, the next is filled. Whoever wants something of a
 * database puts an operation: run() is called in the thread, inside the transaction, and
 * done() later in the loop, when it is durable or has failed. What run() needs lies on
 * the batch's pile. A batch that fails as a whole is tried again one operation at a time,
 * so that one bad operation fails alone.
 *
 * The pile lives until every done() was called and whoever said batch_hold() has said
 * batch_release().
 */
#ifndef STORE_BATCH_H
#define STORE_BATCH_H

#include "db/queue.h"
#include "db/state.h"
#include "io/loop.h"
#include "store/pile.h"

struct batch;
struct writer;

/* A message that left the queue and had its body in a file, which may go with the commit. */
struct gone {
	uint64_t id;
	struct gone *next;
};

struct tools {
	struct queue *queue;
	struct state *state;
	struct pile *pile; /* of this batch */
	int64_t wall;
	struct gone *gone;
};

/* A queue_on_gone for run(); arg is the tools. */
void tools_gone(void *arg, uint64_t id, bool spooled);

enum op_on {
	OP_QUEUE,
	OP_STATE,
};

/* Embed it as the first member. */
struct op {
	enum op_on on;
	bool lazy; /* nobody waits for it: it goes with what somebody waits for */
	/* more than once, if the first time comes to nothing: it leaves alone what it begins with */
	MUST bool (*run)(struct op *op, struct tools *tools, struct err *err);
	/* batch: to be held if what lies on its pile is needed for longer */
	void (*done)(struct op *op, struct batch *batch);
	/* set before done() */
	bool committed;
	enum trouble trouble; /* if not */
	struct op *next;
};

struct writer_hook {
	/* in the thread, after the commit: the file of that message may go */
	void (*gone)(void *arg, uint64_t id);
	/* in the thread, after each batch */
	void (*after)(void *arg);
	/* in the loop, after every done(); err is NULL if all is well */
	void (*on_batch)(void *arg, const struct err *err);
	void *arg;
};

MUST bool writer_open(struct writer **out, struct loop *loop, struct queue *queue,
		      struct state *state, const struct writer_hook *hook,
		      struct err *err);
/* Nothing may be under way. Does not close the databases. */
void writer_close(struct writer **w);

/* The pile of the batch that is being filled. */
struct pile *writer_pile(struct writer *w);
/* n zeroed bytes on it for an operation; NULL: out of memory. */
void *writer_take(struct writer *w, size_t n);
void writer_put(struct writer *w, struct op *op);

/* After each round: start the thread if there is something to do and it is time. */
void writer_kick(struct writer *w);
/* From here on nothing waits for others to come. */
void writer_hurry(struct writer *w);
bool writer_is_idle(const struct writer *w);
/* Does somebody wait for the batch that is being filled? */
bool writer_is_awaited(const struct writer *w);
/* Nothing is to be written now: a good time to move the database's log. */
void writer_rest(struct writer *w);
/* All batches: filled, under way, or held. */
size_t writer_bytes(const struct writer *w);

void batch_hold(struct batch *b);
void batch_release(struct batch *b);

#endif
