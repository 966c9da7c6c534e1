/* An order is carried out, or ended: a row in the next transaction, and then its asker hears. */
#include "store/control.h"
#include "store/jobs_inner.h"

const char *const job_kind_word[JOB_KINDS] = {
	[JOB_HOLD] = "hold",   [JOB_RELEASE] = "release", [JOB_PURGE] = "purge",
	[JOB_RETRY] = "retry", [JOB_BRAKE] = "brake",
};

void jobs_log(struct store *s, uint32_t number, const char *what, struct span condition)
{
	uint8_t mem[WHERE_MAX + 256];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	field_number(&row, "job", number);
	field_text(&row, "what", span_str(what));
	if (condition.n)
		field_text(&row, "where", condition);
	pulse_log(s->pulse, LOG_QUEUE_JOB, loop_wall(s->loop), NULL, buf_span(&row));
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
	jobs_log(s, p->number, job_kind_word[p->kind],
		 span_of(p->condition, p->condition_n));
	control_done(
		s, o->ask, true,
		"Job %u is in force: %s --where '%.*s'%s. Its rows follow: holdfast queue "
		"jobs%s",
		p->number, job_kind_word[p->kind], (int)p->condition_n,
		(const char *)p->condition, p->standing ? ", also for what arrives" : "",
		p->kind == JOB_RETRY ? "" : "; holdfast queue undo takes it back.");
	jobs_work_add(s->work, p->number);
}

void jobs_carry_out(struct store *s, uint32_t ask, const struct plan *p)
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
	jobs_log(s, o->number, o->lift ? "lifted" : "is undone", SPAN_NONE);
	if (o->lift) {
		control_done(s, o->ask, true,
			     "Job %u catches nothing any more. What it caught stays so, "
			     "until: holdfast queue undo %u",
			     o->number, o->number);
		return;
	}
	jobs_work_add(s->work, o->number);
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

void jobs_end_one(struct store *s, uint32_t ask, uint32_t number, bool lift)
{
	struct op_end *o = writer_take(s->writer, sizeof(*o));

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
