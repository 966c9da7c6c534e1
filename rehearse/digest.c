#include "rehearse/digest.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/attr.h"
#include "rehearse/course.h"
#include "rehearse/summary.h"

static json_t *words(struct made *m, const char *const (*rows)[2], size_t n)
{
	json_t *out = json_array();

	for (size_t i = 0; i < n; i++)
		made_add(m, out, json_pack("[ss]", rows[i][0], rows[i][1]));
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

	made_put(&m, "stages", words(&m, stages, COUNT_OF(stages)));
	made_put(&m, "ends", words(&m, ends, COUNT_OF(ends)));
	outer->failed |= m.failed;
	return m.object;
}

/* Rounds of the same thing. */

struct round {
	const json_t *result; /* borrowed */
	json_t *summary;      /* owned */
	size_t same;  /* the number of the first result of this scenario and server */
	size_t given; /* as the how many-th of them */
};

static bool same(const json_t *a, const json_t *b)
{
	const json_t *x = json_object_get(a, "scenario");
	const json_t *y = json_object_get(b, "scenario");

	return strcmp(text_in(x, "id"), text_in(y, "id")) == 0 &&
	       strcmp(text_in(x, "title"), text_in(y, "title")) == 0 &&
	       strcmp(text_in(a, "server"), text_in(b, "server")) == 0;
}

static int order(double a, double b)
{
	return (a > b) - (a < b);
}

static int by_given(const void *a, const void *b)
{
	const struct round *x = a, *y = b;

	return (x->given > y->given) - (x->given < y->given);
}

static int by_same(const void *a, const void *b)
{
	const struct round *x = a, *y = b;

	return x->same != y->same ? x->same < y->same ? -1 : 1 : by_given(a, b);
}

/* From the best to the worst: more served, then faster. What is not known is worst. */
static int by_service(const void *a, const void *b)
{
	const struct round *x = a, *y = b;
	double sx = figure_in(x->summary, "success"),
	       sy = figure_in(y->summary, "success");
	double lx = figure_in(x->summary, "p99_ms"), ly = figure_in(y->summary, "p99_ms");
	int more = order(isfinite(sy) ? sy : -1, isfinite(sx) ? sx : -1);
	int slower = order(isfinite(lx) ? lx : HUGE_VAL, isfinite(ly) ? ly : HUGE_VAL);

	return more ? more : slower ? slower : by_given(a, b);
}

static json_t *round_line(struct made *outer, const struct round *r, bool is_shown)
{
	const json_t *rates = json_object_get(r->result, "figures");
	json_t *said = json_object_get(r->result, "round");
	json_t *verdicts = json_array(), *promise;
	struct made m = { .object = json_object() };
	size_t i;

	json_array_foreach(json_object_get(r->result, "promises"), i, promise)
	{
		made_add(&m, verdicts, json_string(text_in(promise, "verdict")));
	}
	made_put(&m, "round",
		 said ? json_incref(said) : figure_json((double)r->given + 1));
	made_put(&m, "shown", json_boolean(is_shown));
	made_put(&m, "complete",
		 json_boolean(json_is_true(json_object_get(r->result, "complete"))));
	made_put(&m, "limited",
		 json_boolean(json_is_true(json_object_get(rates, "generator_limited"))));
	made_put(&m, "verdicts", verdicts);
	made_put(&m, "summary", json_incref(r->summary));
	outer->failed |= m.failed;
	return m.object;
}

static void put_seed(struct made *m, const json_t *result)
{
	const json_t *seed = json_object_get(result, "seed");
	char text[32];

	if (!json_is_integer(seed))
		return;
	snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(seed));
	made_put(m, "seed", json_string(text));
}

/* The rounds of one scenario and server, which are sorted anew. */
static json_t *shown(struct made *outer, struct round *of, size_t n, size_t room)
{
	json_t *rounds = json_array();
	struct made m = { 0 };
	struct round median;

	qsort(of, n, sizeof(*of), by_service);
	median = of[n / 2];
	qsort(of, n, sizeof(*of), by_given);
	for (size_t i = 0; i < n; i++)
		made_add(&m, rounds, round_line(&m, &of[i], of[i].given == median.given));
	/* a new object, but of the same values: jansson only wants to count another reference */
	m.object = json_copy((json_t *)(uintptr_t)median.result);
	made_put(&m, "summary", json_incref(median.summary));
	made_put(&m, "rounds", rounds);
	made_put(&m, "time", course_of(median.result, room, &m.failed));
	put_seed(&m, median.result);
	outer->failed |= m.failed;
	return m.object;
}

/* How many visits of each kind of honest client may stay. */
static size_t room_for(const struct round *rounds, size_t n)
{
	size_t kinds = 1, room;

	for (size_t i = 0; i < n; i++) {
		const json_t *time = json_object_get(rounds[i].result, "time");

		if (rounds[i].same == i)
			kinds += json_array_size(json_object_get(time, "latency"));
	}
	room = DIGEST_SAMPLES / kinds;
	return room < 2 ? 2 : room > DIGEST_SAMPLE_1 ? DIGEST_SAMPLE_1 : room;
}

/* The first that is about the same. */
static size_t first_same(const struct round *rounds, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (same(rounds[k].result, rounds[i].result))
			return k;
	return i;
}

static json_t *all_shown(struct made *m, const json_t *results, struct round *rounds)
{
	json_t *out = json_array();
	size_t n = json_array_size(results), room, end;

	for (size_t i = 0; i < n; i++) {
		rounds[i].result = json_array_get(results, i);
		rounds[i].same = first_same(rounds, i);
		rounds[i].given = i;
		rounds[i].summary = summary_of(rounds[i].result, &m->failed);
	}
	room = room_for(rounds, n);
	qsort(rounds, n, sizeof(*rounds), by_same);
	for (size_t i = 0; i < n; i = end) {
		for (end = i + 1; end < n && rounds[end].same == rounds[i].same; end++)
			continue;
		for (size_t k = i; k < end; k++)
			rounds[k].given = k - i;
		made_add(m, out, shown(m, rounds + i, end - i, room));
	}
	for (size_t i = 0; i < n; i++)
		json_decref(rounds[i].summary);
	return out;
}

static bool check(const json_t *results, struct err *e)
{
	size_t i;
	json_t *one;

	if (json_array_size(results) == 0)
		return err_set(e, "there is no result to show");
	json_array_foreach(results, i, one)
	{
		const json_t *scenario = json_object_get(one, "scenario");

		if (!json_is_string(json_object_get(scenario, "id")) ||
		    !json_is_string(json_object_get(one, "server")))
			return err_set(e, "result %zu: not made by holdfast-rehearse",
				       i + 1);
		if (order(figure_in(one, "format"), 1) != 0 ||
		    !json_is_number(json_object_get(one, "format")))
			return err_set(e,
				       "result %zu: made by another version of "
				       "holdfast-rehearse; repeat the run",
				       i + 1);
	}
	return true;
}

json_t *digest_make(const json_t *results, struct err *e)
{
	struct made m = { 0 };
	struct round *rounds;

	if (!check(results, e))
		return NULL;
	rounds = calloc(json_array_size(results), sizeof(*rounds));
	if (!rounds) {
		err_set(e, "out of memory for the page");
		return NULL;
	}
	m.object = json_object();
	made_put(&m, "words", all_words(&m));
	made_put(&m, "shown", all_shown(&m, results, rounds));
	free(rounds);
	if (!m.failed)
		return m.object;
	json_decref(m.object);
	err_set(e, "out of memory for the page");
	return NULL;
}
