#include "rehearse/course.h"

#include <stdlib.h>

#include "base/attr.h"
#include "rehearse/summary.h"

static const char *const stages[] = {
#define STAGE(name, word, says) word,
#include "rehearse/words.def"
};

/* How many become one, so that COURSE_POINTS suffice. */
static size_t few(size_t n)
{
	return n > COURSE_POINTS ? (n + COURSE_POINTS - 1) / COURSE_POINTS : 1;
}

enum how { SUM, MOST, MEAN, LAST };

/* One value for `each` of them, beginning with number `from`. */
static double fold(const json_t *values, size_t from, size_t each, enum how how)
{
	size_t end = from + each, n = json_array_size(values);
	double sum = 0, highest = 0, x = 0;

	if (end > n)
		end = n;
	for (size_t i = from; i < end; i++) {
		x = or_zero(figure(json_array_get(values, i)));
		sum += x;
		highest = x > highest ? x : highest;
	}
	switch (how) {
	case SUM:
		return sum;
	case MOST:
		return highest;
	case MEAN:
		return end > from ? sum / (double)(end - from) : 0;
	case LAST:
		return x;
	}
	return 0;
}

static json_t *folded(struct made *m, const json_t *values, size_t each, enum how how)
{
	json_t *out = json_array();

	for (size_t i = 0; i < json_array_size(values); i += each)
		made_add(m, out, figure_json(fold(values, i, each, how)));
	return out;
}

/* Attackers, or all if there are none. */
static json_t *attackers(struct made *outer, const json_t *actors, size_t each)
{
	bool attacked = has_attackers(actors);
	json_t *out = json_array(), *actor;
	size_t i;

	json_array_foreach(actors, i, actor)
	{
		struct made m = { 0 };

		if (attacked && is_honest(actor))
			continue;
		m.object = json_object();
		made_put(&m, "name", json_string(text_in(actor, "name")));
		made_put(&m, "begun",
			 folded(&m, json_object_get(actor, "begun"), each, SUM));
		made_put(&m, "open",
			 folded(&m, json_object_get(actor, "open"), each, MOST));
		outer->failed |= m.failed;
		made_add(outer, out, m.object);
	}
	return out;
}

static double refused_then(const json_t *actors, const char *stage, size_t from,
			   size_t each)
{
	bool attacked = has_attackers(actors);
	double sum = 0;
	size_t i;
	json_t *actor;

	json_array_foreach(actors, i, actor)
	{
		const json_t *by_stage = json_object_get(actor, "refused");

		if (!attacked || !is_honest(actor))
			sum += fold(json_object_get(by_stage, stage), from, each, SUM);
	}
	return sum;
}

/* By stage; one at which nobody was refused is left out. */
static json_t *refused(struct made *outer, const json_t *actors, size_t buckets,
		       size_t each)
{
	struct made m = { .object = json_object() };

	for (size_t s = 0; s < COUNT_OF(stages); s++) {
		json_t *line = json_array();
		double all = 0;

		for (size_t from = 0; from < buckets; from += each) {
			double n = refused_then(actors, stages[s], from, each);

			made_add(&m, line, figure_json(n));
			all += n;
		}
		if (all > 0)
			made_put(&m, stages[s], json_incref(line));
		json_decref(line);
	}
	outer->failed |= m.failed;
	return m.object;
}

/* A line whose figure no phase knows stays empty. */
static json_t *costs(struct made *outer, const json_t *result, const json_t *server)
{
	static const struct {
		const char *key, *known_by;
		enum how how;
	} lines[] = {
		/* clang-format off */
		{ "at_s",      NULL,          LAST },
		{ "cores",     "cpu_s",       MEAN },
		{ "pss",       "pss_most",    MOST },
		{ "kernel",    "kernel_most", MOST },
		{ "log_bytes", "log_bytes",   LAST },
		/* clang-format on */
	};
	size_t each = few(json_array_size(json_object_get(server, "at_s")));
	struct made m = { .object = json_object() };

	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		const char *by = lines[i].known_by;
		const json_t *values = !by || isfinite(summary_most(result, by))
					       ? json_object_get(server, lines[i].key)
					       : NULL;

		made_put(&m, lines[i].key, folded(&m, values, each, lines[i].how));
	}
	outer->failed |= m.failed;
	return m.object;
}

/* Visits of honest clients. */

enum went { DONE, POSTPONED, FAILED };

struct point {
	double due, ms;
	const char *end; /* borrowed */
	enum went went;
};

struct points {
	struct point *at; /* owned */
	size_t n;
};

static int by_due(const void *a, const void *b)
{
	const struct point *x = a, *y = b;

	return (x->due > y->due) - (x->due < y->due);
}

static int by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static bool comes_again(const json_t *result, const char *name)
{
	const json_t *actor = element_with(json_object_get(result, "actors"), "name",
					   name);
	size_t i;
	json_t *phase;

	json_array_foreach(json_object_get(actor, "phases"), i, phase)
	{
		if (figure_in(phase, "again") > 0)
			return true;
	}
	return false;
}

/* "later" is no failure to a client that comes again. */
static enum went went(const char *end, bool patient)
{
	if (strcmp(end, "done") == 0)
		return DONE;
	return patient && strcmp(end, "later") == 0 ? POSTPONED : FAILED;
}

/* Those that the end of a phase cut off say nothing. */
static void take(struct points *p, const json_t *one, bool patient)
{
	const json_t *ms = json_object_get(one, "ms");
	const json_t *end = json_object_get(one, "end");
	size_t i;
	json_t *due;

	json_array_foreach(json_object_get(one, "due_s"), i, due)
	{
		const char *how = json_string_value(json_array_get(end, i));
		struct point at = { .due = figure(due), .end = how };

		if (!how || strcmp(how, "over") == 0 || !(at.due >= 0))
			continue;
		at.ms = figure(json_array_get(ms, i));
		at.went = went(how, patient);
		if (at.went != DONE || at.ms >= 0)
			p->at[p->n++] = at;
	}
}

/* All visits of a kind of client, or of all if name is NULL, in the order they were due in. */
static bool points_open(struct points *p, const json_t *result, const char *name)
{
	const json_t *latency = json_object_get(json_object_get(result, "time"),
						"latency");
	size_t room = 0, i;
	json_t *one;

	json_array_foreach(latency, i, one)
	{
		room += json_array_size(json_object_get(one, "due_s"));
	}
	*p = (struct points){ .at = calloc(room + 1, sizeof(*p->at)) };
	if (!p->at)
		return false;
	json_array_foreach(latency, i, one)
	{
		if (!name || strcmp(text_in(one, "name"), name) == 0)
			take(p, one, comes_again(result, text_in(one, "name")));
	}
	qsort(p->at, p->n, sizeof(*p->at), by_due);
	return true;
}

static void points_close(struct points *p)
{
	free(p->at);
	p->at = NULL;
}

/* Of sorted values the least that a share of q of them is not above. */
static double quantile(const double *sorted, size_t n, double q)
{
	size_t rank = (size_t)ceil(q * (double)n);

	return n ? sorted[rank ? rank - 1 : 0] : (double)NAN;
}

struct clock {
	double step, to; /* seconds */
};

static json_t *steps(struct made *outer, const struct points *p, struct clock clock)
{
	struct made m = { .object = json_object() };
	json_t *n = json_array(), *failed = json_array();
	json_t *p50 = json_array(), *p99 = json_array();
	double *done = calloc(p->n + 1, sizeof(*done));
	size_t at = 0;

	outer->failed |= !done;
	for (size_t s = 0; done && (double)s * clock.step < clock.to; s++) {
		double end = (double)(s + 1) * clock.step;
		size_t good = 0, bad = 0;

		for (; at < p->n && p->at[at].due < end; at++) {
			if (p->at[at].went == DONE)
				done[good++] = p->at[at].ms;
			bad += p->at[at].went == FAILED;
		}
		qsort(done, good, sizeof(*done), by_size);
		made_add(&m, n, figure_json((double)good));
		made_add(&m, failed, figure_json((double)bad));
		made_add(&m, p50, figure_json(quantile(done, good, 0.5)));
		made_add(&m, p99, figure_json(quantile(done, good, 0.99)));
	}
	free(done);
	made_put(&m, "n", n);
	made_put(&m, "failed", failed);
	made_put(&m, "p50", p50);
	made_put(&m, "p99", p99);
	outer->failed |= m.failed;
	return m.object;
}

/* Where the points go that stay. */
struct kept {
	json_t *t, *ms, *failed_t, *failed_end, *later_t;
};

static void keep(struct made *m, const struct kept *to, const struct point *p)
{
	switch (p->went) {
	case DONE:
		made_add(m, to->t, figure_json(p->due));
		made_add(m, to->ms, figure_json(p->ms));
		break;
	case FAILED:
		made_add(m, to->failed_t, figure_json(p->due));
		made_add(m, to->failed_end, json_string(p->end));
		break;
	case POSTPONED:
		made_add(m, to->later_t, figure_json(p->due));
		break;
	}
}

/* Of every `each` that went so, the slowest, and the first of the others. */
static void keep_some(struct made *m, const struct points *p, enum went went, size_t each,
		      const struct kept *to)
{
	const struct point *first = NULL, *slowest = NULL;
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct point *one = &p->at[i];

		if (one->went != went)
			continue;
		if (n++ == 0)
			first = slowest = one;
		else if (one->ms > slowest->ms)
			slowest = one;
		if (n < each)
			continue;
		if (slowest != first)
			keep(m, to, first);
		keep(m, to, slowest);
		n = 0;
	}
	if (n > 0 && slowest != first)
		keep(m, to, first);
	if (n > 0)
		keep(m, to, slowest);
}

static json_t *honest_kind(struct made *outer, const struct points *p, const char *name,
			   struct clock clock, size_t room)
{
	struct made m = { .object = json_object() };
	struct kept kept = { json_array(), json_array(), json_array(), json_array(),
			     json_array() };
	/* two of each few stay */
	size_t each = p->n <= room ? 1 : (2 * p->n + room - 1) / room;

	for (enum went w = DONE; w <= FAILED; w++)
		keep_some(&m, p, w, each, &kept);
	made_put(&m, "name", json_string(name));
	made_put(&m, "of", figure_json((double)p->n));
	made_put(&m, "t", kept.t);
	made_put(&m, "ms", kept.ms);
	made_put(&m, "failed_t", kept.failed_t);
	made_put(&m, "failed_end", kept.failed_end);
	made_put(&m, "later_t", kept.later_t);
	made_put(&m, "steps", steps(&m, p, clock));
	outer->failed |= m.failed;
	return m.object;
}

static void put_honest(struct made *m, const json_t *result, struct clock clock,
		       size_t room)
{
	json_t *out = json_array(), *one;
	struct points p;
	size_t i;

	json_array_foreach(json_object_get(json_object_get(result, "time"), "latency"), i,
			   one)
	{
		const char *name = text_in(one, "name");

		if (points_open(&p, result, name))
			made_add(m, out, honest_kind(m, &p, name, clock, room));
		else
			m->failed = true;
		points_close(&p);
	}
	made_put(m, "honest", out);
	if (points_open(&p, result, NULL))
		made_put(m, "all", steps(m, &p, clock));
	else
		m->failed = true;
	points_close(&p);
}

/* How many buckets there are in the longest line. */
static size_t longest(const json_t *actors)
{
	size_t n = 0, i;
	const char *stage;
	json_t *actor, *line;

	json_array_foreach(actors, i, actor)
	{
		size_t begun = json_array_size(json_object_get(actor, "begun"));

		n = begun > n ? begun : n;
		json_object_foreach(json_object_get(actor, "refused"), stage, line)
		{
			n = json_array_size(line) > n ? json_array_size(line) : n;
		}
	}
	return n;
}

static double end_of(const json_t *result)
{
	double to = 0;
	size_t i;
	json_t *phase;

	json_array_foreach(json_object_get(result, "phases"), i, phase)
	{
		to = fmax(to, figure_in(phase, "to_s"));
	}
	return to;
}

json_t *course_of(const json_t *result, size_t room, bool *failed)
{
	const json_t *time = json_object_get(result, "time");
	const json_t *actors = json_object_get(time, "actors");
	const json_t *server = json_object_get(time, "server");
	double bucket = figure_in(time, "bucket_s");
	size_t buckets = longest(actors), each = few(buckets);
	struct clock clock = { .to = end_of(result) };
	struct made m = { 0 };

	if (!(bucket > 0))
		return json_null();
	if (!(clock.to > 0))
		clock.to = bucket * (double)buckets;
	clock.step = fmax(1, ceil(clock.to / COURSE_STEPS));
	m.object = json_object();
	made_put(&m, "bucket_s", figure_json(bucket * (double)each));
	made_put(&m, "to_s", figure_json(clock.to));
	made_put(&m, "step_s", figure_json(clock.step));
	made_put(&m, "attackers", attackers(&m, actors, each));
	made_put(&m, "refused", refused(&m, actors, buckets, each));
	put_honest(&m, result, clock, room);
	made_put(&m, "server",
		 json_is_object(server) ? costs(&m, result, server) : json_null());
	*failed |= m.failed;
	return m.object;
}
