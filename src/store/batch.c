#include "store/batch.h"

#include <stdlib.h>

#include "base/bug.h"
#include "store/gather.h"

struct batch {
	struct writer *writer;
	struct pile pile;
	struct op *first[2], **last[2]; /* by enum op_on */
	unsigned holders;
	size_t counted; /* of the pile, in the writer's sum */
	int64_t wall;
	ms_t began;
	unsigned urgent;
	bool failed;
	struct err err;
};

struct writer {
	struct loop *loop;
	struct queue *queue;
	struct state *state;
	struct writer_hook hook;
	struct batch *filling;
	struct gather gather;
	struct timer timer; /* for what is gathered */
	bool busy;	    /* the thread is at work */
	bool stuck;	    /* the last checkpoint failed: err */
	struct err err;
	bool hurry;
	size_t bytes; /* of batches that are not being filled */
};

/* ---- one batch ---- */

static struct batch *batch_new(struct writer *w)
{
	struct batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->writer = w;
	b->last[OP_QUEUE] = &b->first[OP_QUEUE];
	b->last[OP_STATE] = &b->first[OP_STATE];
	pile_init(&b->pile);
	return b;
}

static void batch_free(struct batch *b)
{
	pile_close(&b->pile);
	free(b);
}

/* Ceilings are for bytes; the pile grows in the thread, so count it when it is back. */
static void count(struct batch *b)
{
	b->writer->bytes += b->pile.bytes - b->counted;
	b->counted = b->pile.bytes;
}

void batch_hold(struct batch *b)
{
	b->holders++;
}

void batch_release(struct batch *b)
{
	BUG_IF(b->holders == 0);
	if (--b->holders > 0)
		return;
	b->writer->bytes -= b->counted;
	batch_free(b);
}

/* ---- in the thread ---- */

void tools_gone(void *arg, uint64_t id, bool spooled)
{
	struct tools *t = arg;
	struct gone *g = spooled ? pile_take(t->pile, sizeof(*g)) : NULL;

	/* without memory to remember it, the file is found as an orphan later */
	if (!g)
		return;
	g->id = id;
	g->next = t->gone;
	t->gone = g;
}

static bool begin(struct tools *t, enum op_on on, struct err *err)
{
	return on == OP_QUEUE ? queue_begin(t->queue, err) : state_begin(t->state, err);
}

static bool commit(struct tools *t, enum op_on on, struct err *err)
{
	return on == OP_QUEUE ? queue_commit(t->queue, err) : state_commit(t->state, err);
}

static enum trouble roll_back(struct tools *t, enum op_on on)
{
	if (on == OP_QUEUE)
		queue_rollback(t->queue);
	else
		state_rollback(t->state);
	return on == OP_QUEUE ? queue_trouble(t->queue) : state_trouble(t->state);
}

/* From that operation up to, not including, end: all or none. */
static bool transact(struct tools *t, enum op_on on, struct op *from, struct op *end,
		     struct err *err)
{
	struct gone *gone = t->gone;
	bool good = begin(t, on, err);
	enum trouble trouble;

	for (struct op *op = from; good && op != end; op = op->next)
		good = op->run(op, t, err);
	good = good && commit(t, on, err);
	trouble = good ? TROUBLE_NONE : roll_back(t, on);
	if (!good) {
		t->gone = gone;
		if (trouble == TROUBLE_NONE)
			trouble = TROUBLE_BROKEN;
	}
	for (struct op *op = from; op != end; op = op->next) {
		op->committed = good;
		op->trouble = trouble;
	}
	return good;
}

static void run_ops(struct batch *b, struct tools *t, enum op_on on)
{
	struct err again;

	if (!b->first[on] || transact(t, on, b->first[on], NULL, &b->err))
		return;
	b->failed = true;
	for (struct op *op = b->first[on]; op; op = op->next)
		if (!transact(t, on, op, op->next, &again))
			b->err = again;
}

static void run(void *arg)
{
	struct batch *b = arg;
	struct writer *w = b->writer;
	struct tools t = { w->queue, w->state, &b->pile, b->wall, NULL };

	run_ops(b, &t, OP_QUEUE);
	run_ops(b, &t, OP_STATE);
	for (struct gone *g = t.gone; g; g = g->next)
		w->hook.gone(w->hook.arg, g->id);
	w->hook.after(w->hook.arg);
}

/* Apart from the batches, so that no answer waits for it. */
static void run_checkpoint(void *arg)
{
	struct writer *w = arg;

	/* a log that cannot be moved now grows, and is moved later */
	w->stuck = !queue_checkpoint(w->queue, &w->err);
}

/* ---- in the loop ---- */

static void on_checkpoint(void *arg)
{
	struct writer *w = arg;

	w->busy = false;
	if (w->stuck)
		w->hook.on_batch(w->hook.arg, &w->err);
}

static void on_run(void *arg)
{
	struct batch *b = arg;
	struct writer *w = b->writer;
	ms_t now;

	b->holders = 1;
	count(b);
	for (enum op_on on = OP_QUEUE; on <= OP_STATE; on++)
		for (struct op *op = b->first[on], *next; op; op = next) {
			next = op->next;
			op->done(op, b);
		}
	now = loop_now_exact(w->loop);
	gather_ended(&w->gather, b->urgent, now - b->began, now);
	w->busy = queue_wants_checkpoint(w->queue, false) &&
		  work_run(w->loop, run_checkpoint, on_checkpoint, w);
	w->hook.on_batch(w->hook.arg, b->failed ? &b->err : NULL);
	batch_release(b);
}

static void start(struct writer *w, ms_t now)
{
	struct batch *b = w->filling, *next = batch_new(w);

	if (!next)
		return;
	b->wall = loop_wall(w->loop);
	b->began = now;
	if (!work_run(w->loop, run, on_run, b)) {
		batch_free(next);
		return;
	}
	b->urgent = gather_begin(&w->gather);
	count(b);
	w->filling = next;
	w->busy = true;
}

void writer_kick(struct writer *w)
{
	ms_t when = gather_when(&w->gather), now;

	if (w->busy || when == MS_NEVER)
		return;
	now = loop_now_exact(w->loop);
	if (w->hurry || when <= now)
		start(w, now);
	else
		timer_set(&w->timer, when);
}

void writer_hurry(struct writer *w)
{
	w->hurry = true;
}

/* Being called is enough: each round ends with writer_kick(). */
static void on_gathered(void *arg)
{
	(void)arg;
}

void writer_rest(struct writer *w)
{
	if (writer_is_idle(w) && queue_wants_checkpoint(w->queue, true))
		w->busy = work_run(w->loop, run_checkpoint, on_checkpoint, w);
}

bool writer_open(struct writer **out, struct loop *loop, struct queue *queue,
		 struct state *state, const struct writer_hook *hook, struct err *err)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (!w)
		return err_set(err, "out of memory");
	*w = (struct writer){ .loop = loop, .queue = queue, .state = state, .hook = *hook };
	timer_init(&w->timer, loop, on_gathered, w);
	w->filling = batch_new(w);
	if (!w->filling) {
		free(w);
		return err_set(err, "out of memory");
	}
	*out = w;
	return true;
}

void writer_close(struct writer **w)
{
	if (!*w)
		return;
	batch_free((*w)->filling);
	free(*w);
	*w = NULL;
}

struct pile *writer_pile(struct writer *w)
{
	return &w->filling->pile;
}

void *writer_take(struct writer *w, size_t n)
{
	return pile_take(&w->filling->pile, n);
}

void writer_put(struct writer *w, struct op *op)
{
	struct batch *b = w->filling;

	op->next = NULL;
	*b->last[op->on] = op;
	b->last[op->on] = &op->next;
	gather_put(&w->gather, !op->lazy, loop_now(w->loop));
}

bool writer_is_idle(const struct writer *w)
{
	return !w->busy && !w->filling->first[OP_QUEUE] && !w->filling->first[OP_STATE];
}

bool writer_is_awaited(const struct writer *w)
{
	return w->gather.urgent > 0;
}

size_t writer_bytes(const struct writer *w)
{
	return w->bytes + w->filling->pile.bytes;
}
