/* The rows of orders follow, step by step between the batches of mail. */
#include "store/jobs_inner.h"

#include <stdlib.h>

#define STEP_WITHIN 20000 /* us of a transaction; mail may wait for so long */

/* ---- rows, step by step ---- */

struct op_step {
	struct op op;
	struct store *store;
	uint32_t number;
	size_t most;
	uint64_t took; /* us */
	struct queue_job_step step;
};

static bool run_step(struct op *op, struct tools *t, struct err *err)
{
	struct op_step *o = (struct op_step *)op;
	uint64_t began = loop_clock_us();
	bool good = queue_job_step(t->queue, o->number, o->most, t->wall, &o->step, err);

	o->took = loop_clock_us() - began;
	return good;
}

/* Mail waits for a step that is under way: on a slow machine they are smaller. */
static void adapt(struct work_list *w, const struct op_step *o)
{
	if (o->took > 2 * STEP_WITHIN && w->most > QUEUE_STEP_LEAST)
		w->most /= 2;
	else if (o->took < STEP_WITHIN / 2 && w->most < QUEUE_STEP_MOST)
		w->most *= 2;
	if (w->most < QUEUE_STEP_LEAST)
		w->most = QUEUE_STEP_LEAST;
	if (w->most > QUEUE_STEP_MOST)
		w->most = QUEUE_STEP_MOST;
}

static void work_over(struct work_list *w, uint32_t number)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->number[i] == number) {
			w->number[i] = w->number[--w->count];
			return;
		}
}

static void done_step(struct op *op, struct batch *batch)
{
	struct op_step *o = (struct op_step *)op;
	struct store *s = o->store;

	(void)batch;
	s->work->stepping = false;
	/* what failed is tried again with the next tick */
	s->work->failed = !op->committed;
	if (!op->committed)
		return;
	adapt(s->work, o);
	pulse_gauge(s->pulse, GAUGE_QUEUE, -o->step.gone);
	if (o->step.hurry)
		deliver_hurry(s);
	if (o->step.over) {
		work_over(s->work, o->number);
		jobs_log(s, o->number, "all rows are done", SPAN_NONE);
	}
}

/* One step at a time, of each in turn. */
static void step_next(struct store *s)
{
	struct work_list *w = s->work;
	struct op_step *o;

	if (w->stepping || w->count == 0 || s->draining)
		return;
	o = writer_take(s->writer, sizeof(*o));
	if (!o)
		return;
	o->op = (struct op){ .on = OP_QUEUE, .run = run_step, .done = done_step };
	o->store = s;
	o->number = w->number[w->turn++ % w->count];
	o->most = w->most;
	w->stepping = true;
	writer_put(s->writer, &o->op);
}

/* Mail that came during a step does not wait for another, but no job waits for two batches. */
void jobs_turn(struct store *s)
{
	struct work_list *w = s->work;

	pulse_gauge(s->pulse, GAUGE_QUEUE, -queue_purged(s->queue));
	w->yielded = !w->yielded && writer_is_awaited(s->writer);
	if (!w->yielded && !w->failed)
		step_next(s);
}

void jobs_work_add(struct work_list *w, uint32_t number)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->number[i] == number)
			return;
	/* the others are found at the next start; that many were never seen */
	if (w->count < COUNT_OF(w->number))
		w->number[w->count++] = number;
}

/* ---- time ---- */

struct op_tick {
	struct op op;
	struct store *store;
	bool more;
};

static bool run_tick(struct op *op, struct tools *t, struct err *err)
{
	struct op_tick *o = (struct op_tick *)op;

	return queue_jobs_tick(t->queue, t->wall, &o->more, tools_gone, t, err);
}

static void done_tick(struct op *op, struct batch *batch)
{
	struct op_tick *o = (struct op_tick *)op;

	(void)batch;
	o->store->work->ticking = false;
	o->store->work->more = op->committed && o->more;
}

void jobs_tick(struct store *s)
{
	struct work_list *w = s->work;
	struct op_tick *o;

	step_next(s);
	if (w->ticking || (loop_now(s->loop) < w->minute && !w->more))
		return;
	w->minute = loop_now(s->loop) + MS_MINUTE;
	o = writer_take(s->writer, sizeof(*o));
	if (!o)
		return;
	o->op = (struct op){
		.on = OP_QUEUE, .lazy = true, .run = run_tick, .done = done_tick
	};
	o->store = s;
	w->ticking = true;
	writer_put(s->writer, &o->op);
}

static void on_at_work(void *arg, uint32_t number)
{
	jobs_work_add(arg, number);
}

bool jobs_begin(struct store *s, struct err *err)
{
	s->work = calloc(1, sizeof(*s->work));
	if (!s->work)
		return err_set(err, "out of memory");
	s->work->most = QUEUE_STEP_MOST;
	return queue_jobs_at_work(s->queue, on_at_work, s->work, err);
}

void jobs_end(struct store *s)
{
	free(s->work);
	s->work = NULL;
}
