/* The words of `holdfast queue` about orders: read, previewed, confirmed, listed. */
#include <stdio.h>

#include "base/number.h"
#include "store/condition.h"
#include "store/control.h"
#include "store/jobs_inner.h"

#define PLAN_WITHIN  MS_HOUR /* so long a preview may be confirmed */
#define STANDS	     MS_DAY  /* so long, if nothing else is said */
#define STANDS_MOST  (365 * MS_DAY)
#define JOBS_AT_ONCE 500 /* told in one answer of `queue jobs` */

static const char *const state_word[JOB_STATES] = {
	[JOB_RUNS] = "running",	   [JOB_STANDS] = "standing", [JOB_DONE] = "done",
	[JOB_UNDOING] = "undoing", [JOB_UNDONE] = "undone",   [JOB_FINAL] = "final",
};

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

static bool keep_condition(struct plan *p, struct span value)
{
	struct buf b;

	buf_init(&b, p->condition, sizeof(p->condition));
	condition_put(value, &b);
	p->condition_n = b.len;
	return value.n > 0 && !b.full;
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
			good = keep_condition(p, value);
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
	control_preview(t, p->number, job_kind_word[p->kind]);
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
			     job_kind_word[kind],
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
		jobs_carry_out(s, ask, &p);
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
		jobs_carry_out(s, ask, p);
		p->number = 0;
		return;
	}
	control_done(s, ask, false,
		     "no such job waits to be confirmed: ask for the preview again");
}

static void end_one(struct store *s, uint32_t ask, bool lift, struct span rest)
{
	uint32_t number;

	if (read_number(rest, &number))
		jobs_end_one(s, ask, number, lift);
	else
		control_done(s, ask, false, "usage: holdfast queue %s JOB",
			     lift ? "orders drop" : "undo");
}

/* ---- listing them ---- */

static void put_job(void *arg, const struct queue_job *j)
{
	struct stream *t = arg;
	uint8_t mem[ROW_MAX];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	field_number(&row, "job", j->number);
	field_text(&row, "what",
		   span_str(j->kind < JOB_KINDS ? job_kind_word[j->kind] : ""));
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
		end_one(s, ask, true, rest);
	else
		control_done(s, ask, false, "usage: holdfast queue orders [drop JOB]");
}

/* ---- which word it is ---- */

/* `queue hold ID` and `queue hold all` are for others. */
static bool has_option(struct span rest)
{
	struct span word;

	return !list_next(&rest, &word) || span_starts(word, SPAN("--"));
}

bool jobs_command(struct store *s, uint32_t ask, struct span word, struct span rest)
{
	for (enum queue_job_kind kind = 0; kind < JOB_BRAKE; kind++)
		if (span_eq(word, span_str(job_kind_word[kind])) &&
		    (kind == JOB_PURGE || has_option(rest))) {
			ask_for(s, ask, kind, rest);
			return true;
		}
	if (span_eq(word, SPAN("confirm")))
		confirm(s, ask, rest);
	else if (span_eq(word, SPAN("undo")))
		end_one(s, ask, false, rest);
	else if (span_eq(word, SPAN("jobs")))
		list_jobs(s, ask, false);
	else if (span_eq(word, SPAN("orders")))
		orders(s, ask, rest);
	else
		return false;
	return true;
}
