#include "store/jobs.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/number.h"
#include "store/control.h"
#include "store/inner.h"

#define PLANS_MAX    32
#define PLAN_WITHIN  MS_HOUR /* so long a preview may be confirmed */
#define STANDS	     MS_DAY  /* so long, if nothing else is said */
#define STEP_WITHIN  20000   /* us of a transaction; mail may wait for so long */
#define STANDS_MOST  (365 * MS_DAY)
#define WHY_MAX	     200
#define JOBS_AT_ONCE 500 /* told in one answer of `queue jobs` */

static const char *const kind_word[JOB_KINDS] = {
	[JOB_HOLD] = "hold",   [JOB_RELEASE] = "release", [JOB_PURGE] = "purge",
	[JOB_RETRY] = "retry", [JOB_BRAKE] = "brake",
};

static const char *const state_word[JOB_STATES] = {
	[JOB_RUNS] = "running",	   [JOB_STANDS] = "standing", [JOB_DONE] = "done",
	[JOB_UNDOING] = "undoing", [JOB_UNDONE] = "undone",   [JOB_FINAL] = "final",
};

/* An order that was asked for, and is not carried out yet. */
struct plan {
	uint32_t number; /* 0: free */
	enum queue_job_kind kind;
	bool standing, sure;
	ms_t within; /* how long it stands */
	ms_t made;
	size_t condition_n, why_n;
	uint8_t condition[WHERE_MAX];
	uint8_t why[WHY_MAX];
};

struct work_list {
	struct plan plan[PLANS_MAX];
	size_t next_plan;
	/* orders whose rows follow; a step of one is under way, then one of the next */
	size_t count, turn;
	uint32_t number[2 * QUEUE_ORDERS_MAX];
	size_t most;  /* rows of a step */
	bool failed;  /* the last step */
	bool yielded; /* the last batch was left to mail */
	bool stepping, ticking, more;
	ms_t minute; /* when old orders are looked at next */
};

/* ---- the log ---- */

static void log_job(struct store *s, uint32_t number, const char *what, int64_t messages,
		    struct span condition)
{
	uint8_t mem[WHERE_MAX + 256];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	field_number(&row, "job", number);
	field_text(&row, "what", span_str(what));
	if (messages >= 0)
		field_number(&row, "messages", messages);
	if (condition.n)
		field_text(&row, "where", condition);
	pulse_log(s->pulse, LOG_QUEUE_JOB, loop_wall(s->loop), NULL, buf_span(&row));
}

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
		log_job(s, o->number, "all rows are done", -1, SPAN_NONE);
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

static void work_add(void *arg, uint32_t number)
{
	struct work_list *w = arg;

	for (size_t i = 0; i < w->count; i++)
		if (w->number[i] == number)
			return;
	/* the others are found at the next start; that many were never seen */
	if (w->count < COUNT_OF(w->number))
		w->number[w->count++] = number;
}

/* ---- carrying one out ---- */

struct op_make {
	struct op op;
	struct store *store;
	uint32_t ask;
	struct plan plan;
};

static struct queue_job_wish wish_of(const struct plan *p, int64_t wall)
{
	return (struct queue_job_wish){
		.number = p->number,
		.kind = p->kind,
		.standing = p->standing,
		.until = wall + p->within,
		.condition = span_of(p->condition, p->condition_n),
		.why = span_of(p->why, p->why_n),
	};
}

static bool run_make(struct op *op, struct tools *t, struct err *err)
{
	struct op_make *o = (struct op_make *)op;
	struct queue_job_wish wish = wish_of(&o->plan, t->wall);

	return queue_job_make(t->queue, &wish, t->wall, err);
}

static void done_make(struct op *op, struct batch *batch)
{
	struct op_make *o = (struct op_make *)op;
	struct store *s = o->store;
	const struct plan *p = &o->plan;
	uint8_t mem[64];
	struct buf row;

	(void)batch;
	if (!op->committed) {
		control_done(s, o->ask, false,
			     "the order could not be noted, see the log: are there %d in "
			     "force already?",
			     QUEUE_ORDERS_MAX);
		return;
	}
	buf_init(&row, mem, sizeof(mem));
	field_number(&row, "job", p->number);
	control_row_now(s, o->ask, &row);
	log_job(s, p->number, kind_word[p->kind], -1,
		span_of(p->condition, p->condition_n));
	control_done(
		s, o->ask, true,
		"Job %u is in force: %s --where '%.*s'%s. Its rows follow: holdfast queue "
		"jobs%s",
		p->number, kind_word[p->kind], (int)p->condition_n,
		(const char *)p->condition, p->standing ? ", also for what arrives" : "",
		p->kind == JOB_RETRY ? "" : "; holdfast queue undo takes it back.");
	work_add(s->work, p->number);
}

static void carry_out(struct store *s, uint32_t ask, const struct plan *p)
{
	struct op_make *o = writer_take(s->writer, sizeof(*o));

	if (!o) {
		control_done(s, ask, false, "out of memory");
		return;
	}
	o->op = (struct op){ .on = OP_QUEUE, .run = run_make, .done = done_make };
	o->store = s;
	o->ask = ask;
	o->plan = *p;
	writer_put(s->writer, &o->op);
}

/* ---- brakes ---- */

/* Without the row only the explanation is missing. */
static void done_incident(struct op *op, struct batch *batch)
{
	(void)op;
	(void)batch;
}

uint32_t jobs_incident(struct store *s, struct span login, const char *why)
{
	struct op_make *o = writer_take(s->writer, sizeof(*o));
	uint32_t number = queue_job_reserve(s->queue);
	struct buf text;

	if (!o)
		return number;
	o->op = (struct op){ .on = OP_QUEUE, .run = run_make, .done = done_incident };
	o->plan.number = number;
	o->plan.kind = JOB_BRAKE;
	buf_init(&text, o->plan.condition, sizeof(o->plan.condition));
	buf_fmt(&text, "account=%.*s", SPAN_ARG(login));
	o->plan.condition_n = text.len;
	buf_init(&text, o->plan.why, sizeof(o->plan.why));
	buf_put(&text, span_head(span_str(why), sizeof(o->plan.why)));
	o->plan.why_n = text.len;
	writer_put(s->writer, &o->op);
	return number;
}

/* ---- asking for one ---- */

static bool read_for(struct plan *p, struct span value)
{
	return duration_parse(value, &p->within) && p->within >= MS_MINUTE &&
	       p->within <= STANDS_MOST;
}

static bool keep_text(uint8_t *mem, size_t cap, size_t *n, struct span value)
{
	if (value.n == 0 || value.n > cap)
		return false;
	memcpy(mem, value.p, value.n);
	*n = value.n;
	return true;
}

static bool read_plan(struct plan *p, struct span rest)
{
	struct span word, value;
	bool good = true;

	while (good && list_next(&rest, &word)) {
		if (span_eq(word, SPAN("--standing")))
			p->standing = true;
		else if (span_eq(word, SPAN("--yes")))
			p->sure = true;
		else if (!list_next(&rest, &value))
			good = false;
		else if (span_eq(word, SPAN("--where")))
			good = keep_text(p->condition, sizeof(p->condition),
					 &p->condition_n, value);
		else if (span_eq(word, SPAN("--why")))
			good = keep_text(p->why, sizeof(p->why), &p->why_n, value);
		else
			good = span_eq(word, SPAN("--for")) && read_for(p, value);
	}
	if (p->within && !p->standing)
		return false;
	p->within = p->within ? p->within : STANDS;
	return good && p->condition_n > 0 &&
	       (!p->standing || p->kind == JOB_HOLD || p->kind == JOB_PURGE);
}

static void preview(struct store *s, uint32_t ask, const struct plan *p,
		    const struct where *where)
{
	static const enum queue_scope scopes[JOB_KINDS] = {
		[JOB_HOLD] = SCOPE_HOLD,   [JOB_RELEASE] = SCOPE_RELEASE,
		[JOB_PURGE] = SCOPE_PURGE, [JOB_RETRY] = SCOPE_RETRY,
		[JOB_BRAKE] = SCOPE_ALL,
	};
	struct stream *t = stream_new(s, ask);

	if (!t)
		return;
	s->work->plan[s->work->next_plan++ % PLANS_MAX] = *p;
	t->where = *where;
	t->look.where = &t->where;
	t->look.scope = scopes[p->kind];
	t->look.wall = loop_wall(s->loop);
	snprintf(t->text, sizeof(t->text),
		 "Nothing has changed. To carry it out: holdfast queue confirm %u",
		 p->number);
	control_preview(t, p->number, kind_word[p->kind]);
}

static void ask_for(struct store *s, uint32_t ask, enum queue_job_kind kind,
		    struct span rest)
{
	struct plan p = { .kind = kind, .made = loop_now(s->loop) };
	struct where where;
	struct err err;

	if (!read_plan(&p, rest)) {
		control_done(s, ask, false,
			     "usage: holdfast queue %s --where CONDITION%s [--why TEXT] "
			     "[--yes]",
			     kind_word[kind],
			     kind == JOB_HOLD || kind == JOB_PURGE
				     ? " [--standing [--for TIME]]"
				     : "");
		return;
	}
	if (!where_parse(&where, span_of(p.condition, p.condition_n), &err)) {
		control_done(s, ask, false, "--where: %.400s", err.text);
		return;
	}
	p.number = queue_job_reserve(s->queue);
	if (p.sure)
		carry_out(s, ask, &p);
	else
		preview(s, ask, &p, &where);
}

static bool read_number(struct span rest, uint32_t *out)
{
	struct span word;
	uint64_t n;

	if (!list_next(&rest, &word) || rest.n || !number_parse(word, UINT32_MAX, &n))
		return false;
	*out = (uint32_t)n;
	return n > 0;
}

static void confirm(struct store *s, uint32_t ask, struct span rest)
{
	ms_t now = loop_now(s->loop);
	uint32_t number;

	if (!read_number(rest, &number)) {
		control_done(s, ask, false, "usage: holdfast queue confirm JOB");
		return;
	}
	for (size_t i = 0; i < PLANS_MAX; i++) {
		struct plan *p = &s->work->plan[i];

		if (p->number != number || now - p->made > PLAN_WITHIN)
			continue;
		carry_out(s, ask, p);
		p->number = 0;
		return;
	}
	control_done(s, ask, false,
		     "no such job waits to be confirmed: ask for the preview again");
}

/* ---- ending one ---- */

struct op_end {
	struct op op;
	struct store *store;
	uint32_t ask, number;
	bool lift;
	enum queue_job_answer answer;
};

static bool run_end(struct op *op, struct tools *t, struct err *err)
{
	struct op_end *o = (struct op_end *)op;

	if (o->lift)
		return queue_job_lift(t->queue, o->number, t->wall, &o->answer, err);
	return queue_job_undo(t->queue, o->number, t->wall, &o->answer, err);
}

static void end_ok(struct store *s, const struct op_end *o)
{
	log_job(s, o->number, o->lift ? "lifted" : "is undone", -1, SPAN_NONE);
	if (o->lift) {
		control_done(s, o->ask, true,
			     "Job %u catches nothing any more. What it caught stays so, "
			     "until: holdfast queue undo %u",
			     o->number, o->number);
		return;
	}
	work_add(s->work, o->number);
	control_done(
		s, o->ask, true,
		"Job %u is not in force any more. Its rows follow: holdfast queue jobs",
		o->number);
}

static void done_end(struct op *op, struct batch *batch)
{
	struct op_end *o = (struct op_end *)op;
	struct store *s = o->store;

	(void)batch;
	if (!op->committed) {
		control_done(s, o->ask, false, "the database failed, see the log");
		return;
	}
	switch (o->answer) {
	case JOB_ANSWER_OK:
		end_ok(s, o);
		return;
	case JOB_ANSWER_NONE:
		control_done(s, o->ask, false,
			     o->lift ? "no standing order has that number"
				     : "there is no such job");
		return;
	case JOB_ANSWER_TOO_LATE:
		control_done(s, o->ask, false, "that job is undone, or older than a day");
		return;
	case JOB_ANSWER_CANNOT:
		control_done(s, o->ask, false, "there is nothing to undo about that");
		return;
	}
}

static void end(struct store *s, uint32_t ask, bool lift, struct span rest)
{
	struct op_end *o;
	uint32_t number;

	if (!read_number(rest, &number)) {
		control_done(s, ask, false, "usage: holdfast queue %s JOB",
			     lift ? "orders drop" : "undo");
		return;
	}
	o = writer_take(s->writer, sizeof(*o));
	if (!o) {
		control_done(s, ask, false, "out of memory");
		return;
	}
	o->op = (struct op){ .on = OP_QUEUE, .run = run_end, .done = done_end };
	o->store = s;
	o->ask = ask;
	o->number = number;
	o->lift = lift;
	writer_put(s->writer, &o->op);
}

/* ---- listing them ---- */

static void put_job(void *arg, const struct queue_job *j)
{
	struct stream *t = arg;
	uint8_t mem[ROW_MAX];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	field_number(&row, "job", j->number);
	field_text(&row, "what", span_str(j->kind < JOB_KINDS ? kind_word[j->kind] : ""));
	field_text(&row, "state",
		   span_str(j->state < JOB_STATES ? state_word[j->state] : ""));
	field_time(&row, "since", j->made);
	if (j->standing)
		field_time(&row, "until", j->until);
	field_number(&row, "messages", j->messages);
	field_number(&row, "bytes", j->bytes);
	field_text(&row, "where", j->condition);
	if (j->why.n)
		field_text(&row, "why", j->why);
	stream_row(t, &row);
}

static void refill_jobs(struct stream *t, struct queue_reader *r)
{
	struct err err;

	t->more = false;
	if (!queue_each_job(r, UINT32_MAX, t->number != 0, JOBS_AT_ONCE, put_job, t, &err))
		stream_failed(t, &err);
}

static void list_jobs(struct store *s, uint32_t ask, bool standing)
{
	struct stream *t = stream_new(s, ask);

	if (!t)
		return;
	t->number = standing;
	t->refill = refill_jobs;
	t->more = true;
	stream_start(t);
}

static void orders(struct store *s, uint32_t ask, struct span rest)
{
	struct span word;

	if (!list_next(&rest, &word))
		list_jobs(s, ask, true);
	else if (span_eq(word, SPAN("drop")))
		end(s, ask, true, rest);
	else
		control_done(s, ask, false, "usage: holdfast queue orders [drop JOB]");
}

/* `queue hold ID` and `queue hold all` are for others. */
static bool has_option(struct span rest)
{
	struct span word;

	return !list_next(&rest, &word) || span_starts(word, SPAN("--"));
}

bool jobs_command(struct store *s, uint32_t ask, struct span word, struct span rest)
{
	for (enum queue_job_kind kind = 0; kind < JOB_BRAKE; kind++)
		if (span_eq(word, span_str(kind_word[kind])) &&
		    (kind == JOB_PURGE || has_option(rest))) {
			ask_for(s, ask, kind, rest);
			return true;
		}
	if (span_eq(word, SPAN("confirm")))
		confirm(s, ask, rest);
	else if (span_eq(word, SPAN("undo")))
		end(s, ask, false, rest);
	else if (span_eq(word, SPAN("jobs")))
		list_jobs(s, ask, false);
	else if (span_eq(word, SPAN("orders")))
		orders(s, ask, rest);
	else
		return false;
	return true;
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

bool jobs_begin(struct store *s, struct err *err)
{
	s->work = calloc(1, sizeof(*s->work));
	if (!s->work)
		return err_set(err, "out of memory");
	s->work->most = QUEUE_STEP_MOST;
	return queue_jobs_at_work(s->queue, work_add, s->work, err);
}

void jobs_end(struct store *s)
{
	free(s->work);
	s->work = NULL;
}
