#include "rehearse/digest.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What is built, and whether memory was there for all of it. */
struct made {
	json_t *object;
	bool failed;
};

static void put(struct made *m, const char *key, json_t *value)
{
	if (json_object_set_new(m->object, key, value) < 0)
		m->failed = true;
}

static void add(struct made *m, json_t *array, json_t *value)
{
	if (json_array_append_new(array, value) < 0)
		m->failed = true;
}

/* NAN if it is not a number. */
static double number(const json_t *v)
{
	return json_is_number(v) ? json_number_value(v) : NAN;
}

static double number_in(const json_t *object, const char *key)
{
	return number(json_object_get(object, key));
}

static double or_zero(double x)
{
	return isfinite(x) ? x : 0;
}

/* Short where it can be: 3, not 3.0. */
static json_t *value(double x)
{
	if (!isfinite(x))
		return json_null();
	if (fabs(x) < 1e15 && x == floor(x))
		return json_integer((json_int_t)x);
	return json_real(x);
}

static const char *text_in(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* The element of an array whose `key` is `word`. */
static const json_t *with(const json_t *array, const char *key, const char *word)
{
	size_t i;
	json_t *one;

	json_array_foreach(array, i,
			   one) if (strcmp(text_in(one, key), word) == 0) return one;
	return NULL;
}

static json_t *words(struct made *m, const char *const (*rows)[2], size_t n)
{
	json_t *out = json_array();

	for (size_t i = 0; i < n; i++)
		add(m, out, json_pack("[ss]", rows[i][0], rows[i][1]));
	return out;
}

static json_t *all_words(struct made *outer)
{
	static const char *const stages[][2] = {
#define STAGE(name, word, says) { word, says },
#include "rehearse/words.def"
	};
	static const char *const ends[][2] = {
#define END(name, word, says) { word, says },
#include "rehearse/words.def"
	};
	struct made m = { .object = json_object() };

	put(&m, "stages", words(&m, stages, sizeof(stages) / sizeof(stages[0])));
	put(&m, "ends", words(&m, ends, sizeof(ends) / sizeof(ends[0])));
	outer->failed |= m.failed;
	return m.object;
}

/* Sums of one result. */

struct served {
	double done, ended, p99; /* p99: of the slowest kind of client */
};

static double ended_in(const json_t *phase)
{
	const char *stage, *end;
	json_t *ends, *count;
	double sum = 0;

	json_object_foreach(json_object_get(phase, "ended"), stage, ends)
		json_object_foreach(ends, end, count) if (strcmp(end, "over") != 0)
			sum += or_zero(number(count));
	return sum;
}

static struct served served(const json_t *result, const char *word)
{
	struct served out = { .p99 = NAN };
	size_t i;
	json_t *actor;

	json_array_foreach(json_object_get(result, "actors"), i, actor)
	{
		const json_t *phase = with(json_object_get(actor, "phases"), "phase",
					   word);

		if (!json_is_true(json_object_get(actor, "honest")))
			continue;
		out.done += or_zero(number_in(phase, "done"));
		out.ended += ended_in(phase);
		out.p99 = fmax(out.p99, number_in(phase, "p99_ms"));
	}
	return out;
}

static double attempts(const json_t *result)
{
	double sum = 0;
	size_t i;
	json_t *actor;

	json_array_foreach(json_object_get(result, "actors"), i,
			   actor) if (!json_is_true(json_object_get(actor, "honest")))
		sum += or_zero(number_in(with(json_object_get(actor, "phases"), "phase",
					      "attack"),
					 "begun"));
	return sum;
}

/* The largest over all phases. */
static double most(const json_t *result, const char *key)
{
	double out = NAN;
	size_t i;
	json_t *phase;

	json_array_foreach(json_object_get(result, "phases"), i, phase)
		out = fmax(out, number_in(json_object_get(phase, "server"), key));
	return out;
}

static void put_served(struct made *m, const json_t *result, const char *phase,
		       const char *success, const char *p99)
{
	struct served s = served(result, phase);

	put(m, success, value(s.ended > 0 ? s.done / s.ended : NAN));
	put(m, p99, value(s.p99));
}

static json_t *summary(const json_t *result, bool *failed)
{
	struct made m = { .object = json_object() };
	const json_t *attack = with(json_object_get(result, "phases"), "phase", "attack");
	const json_t *cost = json_object_get(attack, "server");
	const json_t *figures = json_object_get(result, "figures");
	double n = attempts(result), per = n > 0 ? 1000 / n : NAN;

	put_served(&m, result, "quiet", "quiet_success", "quiet_p99_ms");
	put_served(&m, result, "attack", "success", "p99_ms");
	put_served(&m, result, "after", "after_success", "after_p99_ms");
	put(&m, "attempts", value(n));
	put(&m, "attempts_per_s", value(number_in(figures, "begun_per_s")));
	put(&m, "held", value(number_in(figures, "held")));
	put(&m, "seconds", value(number_in(attack, "to_s") - number_in(attack, "from_s")));
	put(&m, "cpu_s", value(number_in(cost, "cpu_s")));
	put(&m, "cpu_per_1000", value(number_in(cost, "cpu_s") * per));
	put(&m, "log_bytes", value(number_in(cost, "log_bytes")));
	put(&m, "log_per_1000", value(number_in(cost, "log_bytes") * per));
	put(&m, "pss_most", value(most(result, "pss_most")));
	put(&m, "kernel_most", value(most(result, "kernel_most")));
	*failed |= m.failed;
	return m.object;
}

/* Over time. */

enum how { SUM, MOST, MEAN, LAST };

/* One value for every `each` of them. */
static double fold(const json_t *values, size_t from, size_t each, enum how how)
{
	size_t end = from + each, n = json_array_size(values);
	double sum = 0, highest = 0, x = 0;

	if (end > n)
		end = n;
	for (size_t i = from; i < end; i++) {
		x = or_zero(number(json_array_get(values, i)));
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
		add(m, out, value(fold(values, i, each, how)));
	return out;
}

static json_t *attackers(struct made *outer, const json_t *actors, size_t each)
{
	json_t *out = json_array(), *actor;
	size_t i;

	json_array_foreach(actors, i, actor)
	{
		struct made m = { .object = json_object() };

		if (json_is_true(json_object_get(actor, "honest")))
			continue;
		put(&m, "name", json_string(text_in(actor, "name")));
		put(&m, "begun", folded(&m, json_object_get(actor, "begun"), each, SUM));
		put(&m, "open", folded(&m, json_object_get(actor, "open"), each, MOST));
		outer->failed |= m.failed;
		add(outer, out, m.object);
	}
	return out;
}

/* What all attackers together were refused at one stage; NULL if that is nothing. */
static json_t *refused_at(struct made *m, const json_t *actors, const char *stage,
			  size_t buckets, size_t each)
{
	json_t *out = json_array(), *actor;
	double all = 0;
	size_t i;

	for (size_t from = 0; from < buckets; from += each) {
		double sum = 0;

		json_array_foreach(actors, i, actor) if (!json_is_true(json_object_get(
								 actor, "honest"))) sum +=
			fold(json_object_get(json_object_get(actor, "refused"), stage),
			     from, each, SUM);
		add(m, out, value(sum));
		all += sum;
	}
	if (all > 0)
		return out;
	json_decref(out);
	return NULL;
}

static json_t *refused(struct made *outer, const json_t *actors, size_t buckets,
		       size_t each)
{
	static const char *const stages[] = {
#define STAGE(name, word, says) word,
#include "rehearse/words.def"
	};
	struct made m = { .object = json_object() };

	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
		json_t *line = refused_at(&m, actors, stages[i], buckets, each);

		if (line)
			put(&m, stages[i], line);
	}
	outer->failed |= m.failed;
	return m.object;
}

static json_t *costs(struct made *outer, const json_t *server)
{
	static const struct {
		const char *key;
		enum how how;
	} lines[] = {
		{ "at_s", LAST },   { "cores", MEAN },	   { "pss", MOST },
		{ "kernel", MOST }, { "log_bytes", LAST },
	};
	size_t n = json_array_size(json_object_get(server, "at_s"));
	size_t each = n / DIGEST_POINTS + (n % DIGEST_POINTS > 0);
	struct made m = { .object = json_object() };

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		put(&m, lines[i].key,
		    folded(&m, json_object_get(server, lines[i].key), each ? each : 1,
			   lines[i].how));
	outer->failed |= m.failed;
	return m.object;
}

/* Latencies. */

struct point {
	double due, ms;
	const char *end; /* borrowed */
};

struct points {
	struct point *at; /* owned */
	size_t n;
};

static bool is_done(const struct point *p)
{
	return strcmp(p->end, "done") == 0;
}

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

/* All visits of a kind of client, or of all; those that the end of a phase cut off say nothing. */
static bool points_open(struct points *p, const json_t *latency, const char *name)
{
	size_t room = 0, i, k;
	json_t *one, *due;

	json_array_foreach(latency, i, one)
		room += json_array_size(json_object_get(one, "due_s"));
	*p = (struct points){ .at = calloc(room + 1, sizeof(*p->at)) };
	if (!p->at)
		return false;
	json_array_foreach(latency, i, one)
	{
		const json_t *ms = json_object_get(one, "ms");
		const json_t *end = json_object_get(one, "end");

		if (name && strcmp(text_in(one, "name"), name) != 0)
			continue;
		json_array_foreach(json_object_get(one, "due_s"), k, due)
		{
			const char *how = json_string_value(json_array_get(end, k));
			struct point point = { number(due), number(json_array_get(ms, k)),
					       how };

			if (!how || strcmp(how, "over") == 0 || !(point.due >= 0))
				continue;
			if (is_done(&point) && !(point.ms >= 0))
				continue;
			p->at[p->n++] = point;
		}
	}
	qsort(p->at, p->n, sizeof(*p->at), by_due);
	return true;
}

static void points_close(struct points *p)
{
	free(p->at);
	p->at = NULL;
}

/* Sorted; the least value that so many are not above. */
static double quantile(const double *sorted, size_t n, double q)
{
	size_t rank = (size_t)ceil(q * (double)n);

	return n ? sorted[rank ? rank - 1 : 0] : NAN;
}

static json_t *steps(struct made *outer, const struct points *p, double step, double to)
{
	struct made m = { .object = json_object() };
	json_t *n = json_array(), *failed = json_array();
	json_t *p50 = json_array(), *p99 = json_array();
	double *done = calloc(p->n + 1, sizeof(*done));
	size_t at = 0;

	outer->failed |= !done;
	for (size_t s = 0; done && (double)s * step < to; s++) {
		size_t good = 0, bad = 0;

		for (; at < p->n && p->at[at].due < (double)(s + 1) * step; at++)
			if (is_done(&p->at[at]))
				done[good++] = p->at[at].ms;
			else
				bad++;
		qsort(done, good, sizeof(*done), by_size);
		add(&m, n, value((double)good));
		add(&m, failed, value((double)bad));
		add(&m, p50, value(quantile(done, good, 0.5)));
		add(&m, p99, value(quantile(done, good, 0.99)));
	}
	free(done);
	put(&m, "n", n);
	put(&m, "failed", failed);
	put(&m, "p50", p50);
	put(&m, "p99", p99);
	outer->failed |= m.failed;
	return m.object;
}

/* Of every `each` that are (not) done, the slowest, and the first of the others. */
static void keep_some(struct made *m, const struct points *p, bool done, size_t each,
		      void (*keep)(struct made *, json_t *, json_t *, const struct point *),
		      json_t *t, json_t *what)
{
	const struct point *first = NULL, *slowest = NULL;
	size_t n = 0;

	for (size_t i = 0; i <= p->n; i++) {
		const struct point *one = i < p->n ? &p->at[i] : NULL;

		if (one && is_done(one) != done)
			continue;
		if (n > 0 && (n == each || !one)) {
			if (slowest != first)
				keep(m, t, what, first);
			keep(m, t, what, slowest);
			n = 0;
		}
		if (!one)
			break;
		if (n++ == 0)
			first = slowest = one;
		else if (!(one->ms <= slowest->ms))
			slowest = one;
	}
}

static void keep_ms(struct made *m, json_t *t, json_t *ms, const struct point *p)
{
	add(m, t, value(p->due));
	add(m, ms, value(p->ms));
}

static void keep_end(struct made *m, json_t *t, json_t *end, const struct point *p)
{
	add(m, t, value(p->due));
	add(m, end, json_string(p->end));
}

/* How many share a place, so that at most `room` stay: two of each few. */
static size_t share(size_t n, size_t room)
{
	return n <= room ? 1 : (2 * n + room - 1) / room;
}

static json_t *honest(struct made *outer, const json_t *latency, double step, double to,
		      size_t room)
{
	json_t *out = json_array(), *one;
	size_t i;

	json_array_foreach(latency, i, one)
	{
		json_t *t = json_array(), *ms = json_array();
		json_t *failed_t = json_array(), *failed_end = json_array();
		struct made m = { .object = json_object() };
		struct points p;

		if (points_open(&p, latency, text_in(one, "name"))) {
			put(&m, "name", json_string(text_in(one, "name")));
			put(&m, "of", value((double)p.n));
			keep_some(&m, &p, true, share(p.n, room), keep_ms, t, ms);
			keep_some(&m, &p, false, share(p.n, room), keep_end, failed_t,
				  failed_end);
			put(&m, "steps", steps(&m, &p, step, to));
		} else {
			m.failed = true;
		}
		points_close(&p);
		put(&m, "t", t);
		put(&m, "ms", ms);
		put(&m, "failed_t", failed_t);
		put(&m, "failed_end", failed_end);
		outer->failed |= m.failed;
		add(outer, out, m.object);
	}
	return out;
}

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
			n = json_array_size(line) > n ? json_array_size(line) : n;
	}
	return n;
}

static json_t *over_time(const json_t *result, size_t room, bool *failed)
{
	const json_t *time = json_object_get(result, "time");
	const json_t *actors = json_object_get(time, "actors");
	const json_t *latency = json_object_get(time, "latency");
	const json_t *server = json_object_get(time, "server");
	double bucket = number_in(time, "bucket_s"), to = 0, step;
	size_t buckets = longest(actors), i;
	size_t each = buckets / DIGEST_POINTS + (buckets % DIGEST_POINTS > 0);
	struct made m = { .object = json_object() };
	struct points all;
	json_t *phase;

	if (!(bucket > 0)) {
		json_decref(m.object);
		return json_null();
	}
	json_array_foreach(json_object_get(result, "phases"), i, phase)
		to = fmax(to, number_in(phase, "to_s"));
	if (to <= 0)
		to = bucket * (double)buckets;
	step = fmax(1, ceil(to / DIGEST_STEPS));
	each = each ? each : 1;
	put(&m, "bucket_s", value(bucket * (double)each));
	put(&m, "to_s", value(to));
	put(&m, "step_s", value(step));
	put(&m, "attackers", attackers(&m, actors, each));
	put(&m, "refused", refused(&m, actors, buckets, each));
	put(&m, "honest", honest(&m, latency, step, to, room));
	if (points_open(&all, latency, NULL))
		put(&m, "all", steps(&m, &all, step, to));
	else
		m.failed = true;
	points_close(&all);
	put(&m, "server", json_is_object(server) ? costs(&m, server) : json_null());
	*failed |= m.failed;
	return m.object;
}

/* Rounds of the same thing. */

struct round {
	const json_t *result; /* borrowed */
	json_t *summary;      /* borrowed */
	size_t same;	      /* the first result of this scenario and server */
	size_t given;	      /* as the how many-th */
};

static bool same(const json_t *a, const json_t *b)
{
	return strcmp(text_in(json_object_get(a, "scenario"), "id"),
		      text_in(json_object_get(b, "scenario"), "id")) == 0 &&
	       strcmp(text_in(a, "server"), text_in(b, "server")) == 0;
}

/* From the best to the worst: more served, then faster. */
static int by_service(const void *a, const void *b)
{
	const struct round *x = a, *y = b;
	double sx = number_in(x->summary, "success"),
	       sy = number_in(y->summary, "success");
	double lx = number_in(x->summary, "p99_ms"), ly = number_in(y->summary, "p99_ms");

	sx = isfinite(sx) ? sx : -1;
	sy = isfinite(sy) ? sy : -1;
	if (sx != sy)
		return sx > sy ? -1 : 1;
	lx = isfinite(lx) ? lx : INFINITY;
	ly = isfinite(ly) ? ly : INFINITY;
	if (lx != ly)
		return lx < ly ? -1 : 1;
	return (x->given > y->given) - (x->given < y->given);
}

static json_t *verdicts(struct made *m, const json_t *result)
{
	json_t *out = json_array(), *one;
	size_t i;

	json_array_foreach(json_object_get(result, "promises"), i, one)
		add(m, out, json_string(text_in(one, "verdict")));
	return out;
}

static json_t *round_line(struct made *outer, const struct round *r, bool is_shown)
{
	const json_t *figures = json_object_get(r->result, "figures");
	json_t *said = json_object_get(r->result, "round");
	struct made m = { .object = json_object() };

	put(&m, "round", said ? json_incref(said) : value((double)(r->given + 1)));
	put(&m, "shown", json_boolean(is_shown));
	put(&m, "complete",
	    json_boolean(json_is_true(json_object_get(r->result, "complete"))));
	put(&m, "limited",
	    json_boolean(json_is_true(json_object_get(figures, "generator_limited"))));
	put(&m, "verdicts", verdicts(&m, r->result));
	put(&m, "summary", json_incref(r->summary));
	outer->failed |= m.failed;
	return m.object;
}

static int by_given(const void *a, const void *b)
{
	const struct round *x = a, *y = b;

	return (x->given > y->given) - (x->given < y->given);
}

/* of[0..n) are the rounds of one scenario and server. Sorted anew. */
static json_t *shown(struct made *outer, struct round *of, size_t n, size_t room)
{
	struct made m = { 0 };
	json_t *rounds = json_array(), *seed;
	const struct round *median;
	size_t chosen;
	char text[32];

	qsort(of, n, sizeof(*of), by_service);
	median = &of[n / 2];
	chosen = median->given;
	m.object = json_copy((json_t *)(uintptr_t)median->result);
	put(&m, "summary", json_incref(median->summary));
	put(&m, "time", over_time(median->result, room, &m.failed));
	seed = json_object_get(median->result, "seed");
	if (json_is_integer(seed)) {
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT,
			 json_integer_value(seed));
		put(&m, "seed", json_string(text));
	}
	qsort(of, n, sizeof(*of), by_given);
	for (size_t i = 0; i < n; i++)
		add(&m, rounds, round_line(&m, &of[i], of[i].given == chosen));
	put(&m, "rounds", rounds);
	outer->failed |= m.failed;
	return m.object;
}

static int by_same(const void *a, const void *b)
{
	const struct round *x = a, *y = b;

	if (x->same != y->same)
		return x->same < y->same ? -1 : 1;
	return by_given(a, b);
}

/* How many samples each kind of honest client may keep. */
static size_t room_for(const struct round *rounds, size_t n)
{
	size_t kinds = 1, room;

	for (size_t i = 0; i < n; i++)
		if (rounds[i].same == i)
			kinds += json_array_size(json_object_get(
				json_object_get(rounds[i].result, "time"), "latency"));
	room = DIGEST_SAMPLES / kinds;
	return room < 2 ? 2 : room > DIGEST_SAMPLE_1 ? DIGEST_SAMPLE_1 : room;
}

static bool check(const json_t *results, struct err *e)
{
	size_t i;
	json_t *one;

	if (!json_is_array(results) || json_array_size(results) == 0)
		return err_set(e, "there is no result to show");
	json_array_foreach(results, i, one)
	{
		const json_t *scenario = json_object_get(one, "scenario");

		if (!json_is_string(json_object_get(scenario, "id")) ||
		    !json_is_string(json_object_get(one, "server")))
			return err_set(e, "result %zu: not made by holdfast-rehearse",
				       i + 1);
		if (number_in(one, "format") != 1)
			return err_set(e,
				       "result %zu: made by another version of "
				       "holdfast-rehearse; repeat the run",
				       i + 1);
	}
	return true;
}

static json_t *all_shown(struct made *m, const json_t *results, struct round *rounds)
{
	json_t *out = json_array(), *summaries = json_array();
	size_t n = json_array_size(results), room, end;

	for (size_t i = 0; i < n; i++) {
		rounds[i] = (struct round){ .result = json_array_get(results, i),
					    .given = i,
					    .same = i };
		for (size_t k = 0; k < i && rounds[i].same == i; k++)
			if (same(rounds[k].result, rounds[i].result))
				rounds[i].same = k;
		rounds[i].summary = summary(rounds[i].result, &m->failed);
		add(m, summaries, rounds[i].summary);
	}
	room = room_for(rounds, n);
	qsort(rounds, n, sizeof(*rounds), by_same);
	for (size_t i = 0; i < n && !m->failed; i = end) {
		for (end = i + 1; end < n && rounds[end].same == rounds[i].same; end++)
			continue;
		for (size_t k = i; k < end; k++)
			rounds[k].given = k - i;
		add(m, out, shown(m, rounds + i, end - i, room));
	}
	json_decref(summaries);
	return out;
}

json_t *digest_make(const json_t *results, struct err *e)
{
	struct made m = { 0 };
	struct round *rounds;

	if (!check(results, e))
		return NULL;
	rounds = calloc(json_array_size(results), sizeof(*rounds));
	m.object = json_object();
	if (!rounds) {
		m.failed = true;
	} else {
		put(&m, "words", all_words(&m));
		put(&m, "shown", all_shown(&m, results, rounds));
	}
	free(rounds);
	if (!m.failed)
		return m.object;
	json_decref(m.object);
	err_set(e, "out of memory for the page");
	return NULL;
}
