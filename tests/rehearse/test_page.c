#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "rehearse/course.h"
#include "rehearse/digest.h"
#include "rehearse/figures.h"
#include "rehearse/page.h"

/* What tests begin with: ten seconds of quiet, twenty of attack, ten of after. */
static const char plain[] =
	"{'format': 1, 'program': 'holdfast-rehearse test', 'server': 'S', 'seed': 7,"
	" 'scenario': {'id': 'A4', 'title': 'T', 'about': '', 'ends': ''}, 'complete': true,"
	" 'phases': ["
	"  {'phase': 'quiet', 'from_s': 0, 'to_s': 10, 'server': null},"
	"  {'phase': 'attack', 'from_s': 10, 'to_s': 30, 'server':"
	"   {'cpu_s': 3, 'pss_most': 9000, 'kernel_most': null, 'log_bytes': 500}},"
	"  {'phase': 'after', 'from_s': 30, 'to_s': 40, 'server': {'pss_most': 9500}}],"
	" 'actors': [], 'promises': [], 'figures': {'begun_per_s': 50, 'held': 4},"
	" 'time': {'bucket_s': 0.5, 'buckets': 80, 'actors': [], 'latency': [], 'server': null}}";

/* JSON with ' for ". */
static json_t *parsed(const char *text)
{
	char *copy = strdup(text);
	json_error_t why;
	json_t *out;

	assert_non_null(copy);
	for (char *c = copy; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	out = json_loads(copy, JSON_DECODE_ANY, &why);
	if (!out)
		fail_msg("%s: %s", why.text, text);
	free(copy);
	return out;
}

static json_t *result(void)
{
	return parsed(plain);
}

static void set(json_t *object, const char *key, const char *text)
{
	assert_int_equal(json_object_set_new(object, key, parsed(text)), 0);
}

static json_t *time_of(const json_t *result)
{
	return json_object_get(result, "time");
}

/* Of one result that is used up. */
static json_t *digest_of(json_t *result)
{
	json_t *all = json_array(), *out;
	struct err e = { "" };

	json_array_append_new(all, result);
	out = digest_make(all, &e);
	if (!out)
		fail_msg("%s", e.text);
	json_decref(all);
	return out;
}

static json_t *shown(const json_t *digest, size_t i)
{
	return json_array_get(json_object_get(digest, "shown"), i);
}

static json_t *summary(const json_t *digest)
{
	return json_object_get(shown(digest, 0), "summary");
}

static void expect_json(const char *why, const json_t *got, const char *text)
{
	json_t *want = parsed(text);
	char *is = got ? json_dumps(got, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	if (!got || !json_equal(got, want))
		fail_msg("%s: got %s instead of %s", why, is ? is : "nothing", text);
	free(is);
	json_decref(want);
}

/* Sums. */

static void what_was_due_and_never_began_was_not_served(void **unused)
{
	json_t *r = result(), *d;

	(void)unused;
	set(r, "actors",
	    "[{'name': 'a', 'honest': true, 'phases': [{'phase': 'attack', 'begun': 90,"
	    " 'due': 100, 'done': 80, 'again': 4, 'p99_ms': 30,"
	    " 'ended': {'body': {'done': 80, 'over': 5}, 'rcpt': {'later': 4, 'no': 1}}}]}]");
	d = digest_of(r);
	/* 80 of: 80, 1 that failed, and 10 that did not begin */
	assert_true(fabs(figure_in(summary(d), "success") - 80.0 / 91) < 1e-9);
	json_decref(d);
}

static void costs_are_spread_over_what_everybody_did(void **unused)
{
	json_t *r = result(), *d;

	(void)unused;
	set(r, "actors",
	    "[{'name': 'bots', 'honest': false, 'phases': [{'phase': 'attack', 'begun': 900,"
	    " 'heard': {'rcpt': {'yes': 5, 'no': 30, 'later': 15}},"
	    " 'ended': {'connect': {'dropped': 5}}}]},"
	    " {'name': 'a', 'honest': true, 'phases': [{'phase': 'attack', 'begun': 100,"
	    " 'p99_ms': 20}]},"
	    " {'name': 'b', 'honest': true, 'phases': [{'phase': 'attack', 'begun': 0,"
	    " 'p99_ms': 90}, {'phase': 'quiet', 'p99_ms': 7}]}]");
	d = digest_of(r);
	expect_json("attackers' visits", json_object_get(summary(d), "attempts"), "900");
	expect_json("3 s over 1,000 visits", json_object_get(summary(d), "cpu_per_1000"),
		    "3");
	expect_json("500 bytes over 50 refusals",
		    json_object_get(summary(d), "log_per_1000"), "10000");
	expect_json("the slowest kind", json_object_get(summary(d), "p99_ms"), "90");
	expect_json("when quiet", json_object_get(summary(d), "quiet_p99_ms"), "7");
	expect_json("over all phases", json_object_get(summary(d), "pss_most"), "9500");
	expect_json("what no phase knows", json_object_get(summary(d), "kernel_most"),
		    "null");
	json_decref(d);
}

static void without_attackers_everybody_counts(void **unused)
{
	json_t *r = result(), *d;

	(void)unused;
	set(r, "actors",
	    "[{'name': 'a', 'honest': true, 'phases': [{'phase': 'attack', 'begun': 70}]}]");
	set(time_of(r), "actors",
	    "[{'name': 'a', 'honest': true, 'begun': [1, 2], 'open': [1, 1], 'refused': {}}]");
	d = digest_of(r);
	expect_json("visits", json_object_get(summary(d), "attempts"), "70");
	expect_json("over time", json_object_get(time_of(shown(d, 0)), "attackers"),
		    "[{'name': 'a', 'begun': [1, 2], 'open': [1, 1]}]");
	json_decref(d);
}

/* Rounds. */

static json_t *round_with(double success, double p99)
{
	json_t *r = result();
	char text[300];

	snprintf(text, sizeof(text),
		 "[{'name': 'a', 'honest': true, 'phases': [{'phase': 'attack', 'begun': 1000,"
		 " 'due': 1000, 'done': %d, 'p99_ms': %g, 'ended': {'body': {'done': %d},"
		 " 'connect': {'silent': %d}}}]}]",
		 (int)(1000 * success), p99, (int)(1000 * success),
		 (int)(1000 * (1 - success) + 0.5));
	set(r, "actors", text);
	set(r, "promises", "[{'promise': 'served', 'verdict': 'kept'}]");
	return r;
}

static void of_several_rounds_the_median_is_shown(void **unused)
{
	static const struct {
		const char *why;
		struct {
			double success, p99;
		} rounds[3];
		size_t n, shown;
	} rows[] = {
		{ "by success", { { 0.9, 5 }, { 0.5, 5 }, { 0.7, 5 } }, 3, 2 },
		{ "then by p99", { { 1, 40 }, { 1, 20 }, { 1, 30 } }, 3, 2 },
		{ "of two the worse", { { 1, 20 }, { 1, 30 } }, 2, 1 },
		{ "the only one", { { 1, 20 } }, 1, 0 },
		{ "all alike: the one in the middle",
		  { { 1, 5 }, { 1, 5 }, { 1, 5 } },
		  3,
		  1 },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		json_t *all = json_array(), *d, *lines;
		struct err e;

		for (size_t k = 0; k < rows[i].n; k++)
			json_array_append_new(all, round_with(rows[i].rounds[k].success,
							      rows[i].rounds[k].p99));
		d = digest_make(all, &e);
		assert_non_null(d);
		assert_int_equal(json_array_size(json_object_get(d, "shown")), 1);
		lines = json_object_get(shown(d, 0), "rounds");
		assert_int_equal(json_array_size(lines), rows[i].n);
		for (size_t k = 0; k < rows[i].n; k++) {
			const json_t *line = json_array_get(lines, k);

			if (json_is_true(json_object_get(line, "shown")) !=
			    (k == rows[i].shown))
				fail_msg("%s: not round %zu", rows[i].why, rows[i].shown);
			expect_json(rows[i].why, json_object_get(line, "verdicts"),
				    "['kept']");
		}
		if (!json_equal(json_object_get(shown(d, 0), "actors"),
				json_object_get(json_array_get(all, rows[i].shown),
						"actors")))
			fail_msg("%s: shown with the figures of another", rows[i].why);
		json_decref(d);
		json_decref(all);
	}
}

static void other_scenarios_and_servers_are_no_rounds(void **unused)
{
	json_t *all = json_array(), *d;
	struct err e;

	(void)unused;
	for (int i = 0; i < 5; i++)
		json_array_append_new(all, result());
	set(json_array_get(all, 1), "server", "'other'");
	set(json_object_get(json_array_get(all, 2), "scenario"), "id", "'A5'");
	set(json_object_get(json_array_get(all, 3), "scenario"), "title", "'half of it'");
	d = digest_make(all, &e);
	assert_non_null(d);
	assert_int_equal(json_array_size(json_object_get(d, "shown")), 4);
	expect_json("as they came", json_object_get(shown(d, 1), "server"), "'other'");
	assert_int_equal(json_array_size(json_object_get(shown(d, 0), "rounds")), 2);
	json_decref(d);
	json_decref(all);
}

/* Over time. */

static void thinned_lines_lose_nothing_of_their_sum(void **unused)
{
	json_t *r = result(), *begun = json_array(), *d, *line;
	double sum = 0, open = 0;
	size_t n, i;
	json_t *v;

	(void)unused;
	set(time_of(r), "actors",
	    "[{'name': 'bots', 'honest': false}, {'name': 'a', 'honest': true, 'begun': [9],"
	    " 'refused': {'rcpt': [500]}}]");
	for (i = 0; i < 1000; i++)
		json_array_append_new(begun, json_integer(i == 777 ? 5000 : 2));
	line = json_array_get(json_object_get(time_of(r), "actors"), 0);
	json_object_set(line, "begun", begun);
	json_object_set(line, "open", begun);
	json_object_set_new(line, "refused",
			    json_pack("{s:O, s:[]}", "rcpt", begun, "tls"));
	json_decref(begun);
	d = digest_of(r);

	line = json_array_get(json_object_get(time_of(shown(d, 0)), "attackers"), 0);
	n = json_array_size(json_object_get(line, "begun"));
	assert_in_range(n, COURSE_POINTS / 2, COURSE_POINTS);
	json_array_foreach(json_object_get(line, "begun"), i, v)
	{
		sum += json_number_value(v);
	}
	json_array_foreach(json_object_get(line, "open"), i, v)
	{
		open = fmax(open, json_number_value(v));
	}
	assert_true(fabs(sum - 999 * 2 - 5000) < 1e-9);
	assert_true(fabs(open - 5000) < 1e-9);
	expect_json("each of four", json_object_get(time_of(shown(d, 0)), "bucket_s"),
		    "2");

	/* honest clients' refusals are in the plot of their latency */
	line = json_object_get(time_of(shown(d, 0)), "refused");
	assert_int_equal(json_object_size(line), 1);
	sum = 0;
	json_array_foreach(json_object_get(line, "rcpt"), i, v)
	{
		sum += json_number_value(v);
	}
	assert_true(fabs(sum - 999 * 2 - 5000) < 1e-9);
	json_decref(d);
}

static void what_no_phase_knows_is_no_line(void **unused)
{
	json_t *r = result(), *d, *server;

	(void)unused;
	set(time_of(r), "server",
	    "{'at_s': [1, 2], 'cores': [0.5, 0.25], 'pss': [7, 8], 'kernel': [0, 0],"
	    " 'fds': [1, 1], 'log_bytes': [0, 500]}");
	d = digest_of(r);
	server = json_object_get(time_of(shown(d, 0)), "server");
	expect_json("PSS is known", json_object_get(server, "pss"), "[7, 8]");
	expect_json("nobody could read it", json_object_get(server, "kernel"), "[]");
	json_decref(d);
}

static void quantiles_are_of_each_second(void **unused)
{
	json_t *r = result(), *d, *steps;

	(void)unused;
	set(time_of(r), "latency",
	    "[{'name': 'a', 'due_s': [39.5, 2.1, 2.2, 2.9, 5.5, 2.5, 7, 8],"
	    " 'ms': [1, 10, 20, 40, 9, 30, null, 3],"
	    " 'end': ['done', 'done', 'done', 'done', 'silent', 'done', 'done', 'over']}]");
	d = digest_of(r);
	steps = json_object_get(time_of(shown(d, 0)), "all");
	assert_int_equal(json_array_size(json_object_get(steps, "n")), 40);
	expect_json("four", json_array_get(json_object_get(steps, "n"), 2), "4");
	expect_json("of them half", json_array_get(json_object_get(steps, "p50"), 2),
		    "20");
	expect_json("nearly all", json_array_get(json_object_get(steps, "p99"), 2), "40");
	expect_json("none done", json_array_get(json_object_get(steps, "p50"), 5), "null");
	expect_json("one failed", json_array_get(json_object_get(steps, "failed"), 5),
		    "1");
	expect_json("the last second", json_array_get(json_object_get(steps, "p50"), 39),
		    "1");
	expect_json("done, but nobody knows when",
		    json_array_get(json_object_get(steps, "n"), 7), "0");
	expect_json("cut off by the end",
		    json_array_get(json_object_get(steps, "failed"), 8), "0");
	json_decref(d);
}

static void later_is_no_failure_to_those_who_come_again(void **unused)
{
	json_t *r = result(), *d, *kinds;

	(void)unused;
	set(r, "actors",
	    "[{'name': 'a', 'honest': true, 'phases': [{'phase': 'attack', 'again': 1}]},"
	    " {'name': 'b', 'honest': true, 'phases': [{'phase': 'attack', 'again': 0}]}]");
	set(time_of(r), "latency",
	    "[{'name': 'a', 'due_s': [3, 4], 'ms': [1, 1], 'end': ['later', 'refused']},"
	    " {'name': 'b', 'due_s': [5], 'ms': [1], 'end': ['later']}]");
	d = digest_of(r);
	kinds = json_object_get(time_of(shown(d, 0)), "honest");
	expect_json("comes again", json_object_get(json_array_get(kinds, 0), "later_t"),
		    "[3]");
	expect_json("gone for good",
		    json_object_get(json_array_get(kinds, 0), "failed_t"), "[4]");
	expect_json("never comes again",
		    json_object_get(json_array_get(kinds, 1), "failed_t"), "[5]");
	json_decref(d);
}

static json_t *many_points(json_t *due, json_t *ms, json_t *end)
{
	json_t *r = result();

	for (int i = 0; i < 20000; i++) {
		json_array_append_new(due, json_real(i * 40.0 / 20000));
		json_array_append_new(ms, json_real(i % 7 == 0 ? 3 : 2));
		json_array_append_new(end, json_string(i % 50 ? "done" : "silent"));
	}
	json_array_set_new(ms, 12345, json_real(800));
	set(time_of(r), "latency", "[{'name': 'a'}]");
	json_t *one = json_array_get(json_object_get(time_of(r), "latency"), 0);
	json_object_set_new(one, "due_s", due);
	json_object_set_new(one, "ms", ms);
	json_object_set_new(one, "end", end);
	return r;
}

static void of_too_many_visits_the_slowest_stay(void **unused)
{
	json_t *d = digest_of(many_points(json_array(), json_array(), json_array()));
	json_t *one, *v, *course = time_of(shown(d, 0));
	size_t n, failed, i;
	double slowest = 0, served = 0;

	(void)unused;
	one = json_array_get(json_object_get(course, "honest"), 0);
	n = json_array_size(json_object_get(one, "t"));
	failed = json_array_size(json_object_get(one, "failed_t"));
	assert_int_equal(n, json_array_size(json_object_get(one, "ms")));
	assert_int_equal(failed, json_array_size(json_object_get(one, "failed_end")));
	assert_in_range(n + failed, DIGEST_SAMPLE_1 / 2, DIGEST_SAMPLE_1);
	assert_true(failed > 0);
	expect_json("of all", json_object_get(one, "of"), "20000");
	json_array_foreach(json_object_get(one, "ms"), i, v)
	{
		slowest = fmax(slowest, json_number_value(v));
	}
	assert_true(fabs(slowest - 800) < 1e-9);
	json_array_foreach(json_object_get(json_object_get(course, "all"), "n"), i, v)
	{
		served += json_number_value(v);
	}
	assert_true(fabs(served - 19600) < 1e-9); /* counted before any was left out */
	json_decref(d);
}

static void nothing_known_is_no_mistake(void **unused)
{
	static const char *const rows[][2] = {
		{ "time", "null" },
		{ "time", "{}" },
		{ "time", "{'bucket_s': 1}" },
		{ "actors", "null" },
		{ "actors", "[{}]" },
		{ "actors", "[null, 3]" },
		{ "phases", "null" },
		{ "phases", "[{'phase': 'attack'}]" },
		{ "figures", "null" },
		{ "promises", "null" },
		{ "seed", "'18446744073709551615'" },
		{ "time", "{'bucket_s': 1, 'actors': [{'begun': null}, {'begun': [null]}],"
			  " 'latency': [{'name': 'a', 'due_s': [1, 2]}, null],"
			  " 'server': {'at_s': []}}" },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		json_t *r = result(), *d;

		set(r, rows[i][0], rows[i][1]);
		d = digest_of(r);
		assert_non_null(shown(d, 0));
		json_decref(d);
	}
}

static void what_is_no_result_is_named(void **unused)
{
	static const struct {
		const char *results, *says;
	} rows[] = {
		{ "[]", "no result" },
		{ "{}", "no result" },
		{ "[null]", "result 1: not made by" },
		{ "[{'format': 1}]", "result 1: not made by" },
		{ "[{'format': 1, 'scenario': {'id': 'A'}, 'server': 'S'},"
		  " {'format': 2, 'scenario': {'id': 'A'}, 'server': 'S'}]",
		  "result 2: made by another version" },
		{ "[{'scenario': {'id': 'A'}, 'server': 'S'}]",
		  "result 1: made by another version" },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		json_t *all = parsed(rows[i].results);
		struct err e = { "" };

		assert_null(digest_make(all, &e));
		if (!strstr(e.text, rows[i].says))
			fail_msg("%s: %s", rows[i].results, e.text);
		json_decref(all);
	}
}

/* The page. */

struct place {
	char dir[64], path[96];
};

static struct place place(void)
{
	struct place p = { .dir = "/tmp/test-page-XXXXXX" };

	assert_non_null(mkdtemp(p.dir));
	snprintf(p.path, sizeof(p.path), "%s/page.html", p.dir);
	return p;
}

static void leave(const struct place *p)
{
	unlink(p->path);
	assert_int_equal(rmdir(p->dir), 0); /* nothing else is in it */
}

static char *contents(const char *path)
{
	FILE *f = fopen(path, "r");
	struct stat about;
	char *text;
	size_t n;

	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &about), 0);
	n = (size_t)about.st_size;
	text = malloc(n + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, n, f), n);
	text[n] = '\0';
	fclose(f);
	return text;
}

/* What stands between the tags of the results; cuts the page. */
static char *results_in(char *page)
{
	static const char tag[] = "<script type=\"application/json\" id=\"results\">";
	char *from = strstr(page, tag), *to;

	assert_non_null(from);
	from += sizeof(tag) - 1;
	to = strstr(from, "</script>");
	assert_non_null(to);
	*to = '\0';
	return from;
}

static void no_text_ends_the_script_that_it_is_in(void **unused)
{
	static const char hostile[] =
		"</script><!--<script>]]>\xe2\x80\xa8\xe2\x80\xa9 ' \" \\ &";
	struct place p = place();
	json_t *all = json_array(), *r = result(), *back;
	char *page, *inside;
	json_error_t why;
	struct err e;

	(void)unused;
	json_object_set_new(r, "server", json_string(hostile));
	json_object_set_new(r, hostile, json_string(hostile));
	json_array_append_new(all, r);
	assert_true(page_write(p.path, all, &e));
	page = contents(p.path);
	inside = results_in(page);
	for (const char *c = inside; *c; c++)
		if (*c == '<' || (unsigned char)*c >= 0x7f || (unsigned char)*c < ' ')
			fail_msg("byte 0x%02x in: %.40s", (unsigned)(unsigned char)*c, c);
	back = json_loads(inside, 0, &why);
	assert_non_null(back);
	assert_string_equal(text_in(shown(back, 0), "server"), hostile);
	assert_string_equal(text_in(shown(back, 0), hostile), hostile);
	json_decref(back);
	free(page);
	json_decref(all);
	leave(&p);
}

static void a_seed_keeps_all_its_digits(void **unused)
{
	struct place p = place();
	json_t *all = parsed("[]"), *r = result();
	struct err e;
	char *page;

	(void)unused;
	json_object_set_new(r, "seed", json_integer(INT64_MAX));
	json_array_append_new(all, r);
	assert_true(page_write(p.path, all, &e));
	page = contents(p.path);
	assert_non_null(strstr(page, "\"seed\":\"9223372036854775807\""));
	free(page);
	json_decref(all);
	leave(&p);
}

static void the_page_asks_for_nothing(void **unused)
{
	/* What would load something: from the network, or from a file beside the page. */
	static const char *const words[] = { " src=",	       "@import",
					     "url(",	       "fetch(",
					     "import(",	       "XMLHttp",
					     "WebSocket",      "innerHTML",
					     "outerHTML",      "insertAdjacentHTML",
					     "document.write", "eval(",
					     "@SCRIPT",	       "@STYLE",
					     "@RESULTS" };
	struct place p = place();
	json_t *all = json_array();
	struct err e;
	char *page;

	(void)unused;
	json_array_append_new(all, result());
	assert_true(page_write(p.path, all, &e));
	page = contents(p.path);
	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (strstr(page, words[i]))
			fail_msg("%s: %.60s", words[i], strstr(page, words[i]));
	assert_non_null(strstr(page, "default-src 'none'; script-src 'sha256-"));
	assert_null(strstr(page, "unsafe"));
	free(page);
	json_decref(all);
	leave(&p);
}

static void a_page_that_cannot_be_made_leaves_the_old_one(void **unused)
{
	struct place p = place();
	json_t *all = json_array(), *none = json_array();
	char *page, beside[128];
	struct err e;
	FILE *f = fopen(p.path, "w");

	(void)unused;
	assert_non_null(f);
	assert_true(fputs("old", f) >= 0 && fclose(f) == 0);
	assert_false(page_write(p.path, none, &e));
	page = contents(p.path);
	assert_string_equal(page, "old");
	free(page);

	json_array_append_new(all, result());
	assert_false(page_write("/nowhere/at/all.html", all, &e));
	assert_non_null(strstr(e.text, "/nowhere/at/all.html"));
	snprintf(beside, sizeof(beside), "%s/directory", p.dir);
	assert_int_equal(mkdir(beside, 0700), 0);
	assert_false(page_write(beside, all, &e));
	assert_non_null(strstr(e.text, beside));
	assert_int_equal(rmdir(beside), 0);
	json_decref(all);
	json_decref(none);
	leave(&p);
}

static void nobody_can_lay_a_link_where_it_is_written(void **unused)
{
	struct place p = place();
	json_t *all = json_array();
	char link[128], target[128];
	struct err e;

	(void)unused;
	snprintf(link, sizeof(link), "%s.%ld.new", p.path, (long)getpid());
	snprintf(target, sizeof(target), "%s/target", p.dir);
	assert_int_equal(symlink(target, link), 0);
	json_array_append_new(all, result());
	assert_false(page_write(p.path, all, &e));
	assert_int_equal(access(target, F_OK), -1);
	assert_int_equal(unlink(link), 0);
	json_decref(all);
	leave(&p);
}

/* jansson's memory, with a limit. */
static long allocations_left;

static void *limited_malloc(size_t n)
{
	return allocations_left-- > 0 ? malloc(n) : NULL;
}

static void without_memory_there_is_no_page_and_no_harm(void **unused)
{
	json_t *all = json_array(), *d = NULL;
	struct err e;
	long n = 0;

	(void)unused;
	json_array_append_new(all, round_with(0.9, 20));
	json_array_append_new(all, round_with(0.8, 20));
	set(time_of(json_array_get(all, 1)), "latency",
	    "[{'name': 'a', 'due_s': [1, 2, 3], 'ms': [1, 1, 1], 'end': ['done', 'later', 'no']}]");
	set(time_of(json_array_get(all, 1)), "actors",
	    "[{'name': 'b', 'begun': [1, 2], 'open': [1, 2], 'refused': {'rcpt': [0, 1]}}]");
	set(time_of(json_array_get(all, 1)), "server", "{'at_s': [1], 'cores': [1]}");
	for (; !d && n < 100000; n++) {
		json_set_alloc_funcs(limited_malloc, free);
		allocations_left = n;
		d = digest_make(all, &e);
		json_set_alloc_funcs(malloc, free);
		if (!d)
			assert_string_equal(e.text, "out of memory for the page");
	}
	assert_in_range(n, 100, 99999);
	assert_int_equal(json_array_size(json_object_get(d, "shown")), 1);
	json_decref(d);
	json_decref(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_due_and_never_began_was_not_served),
		cmocka_unit_test(costs_are_spread_over_what_everybody_did),
		cmocka_unit_test(without_attackers_everybody_counts),
		cmocka_unit_test(of_several_rounds_the_median_is_shown),
		cmocka_unit_test(other_scenarios_and_servers_are_no_rounds),
		cmocka_unit_test(thinned_lines_lose_nothing_of_their_sum),
		cmocka_unit_test(what_no_phase_knows_is_no_line),
		cmocka_unit_test(quantiles_are_of_each_second),
		cmocka_unit_test(later_is_no_failure_to_those_who_come_again),
		cmocka_unit_test(of_too_many_visits_the_slowest_stay),
		cmocka_unit_test(nothing_known_is_no_mistake),
		cmocka_unit_test(what_is_no_result_is_named),
		cmocka_unit_test(no_text_ends_the_script_that_it_is_in),
		cmocka_unit_test(a_seed_keeps_all_its_digits),
		cmocka_unit_test(the_page_asks_for_nothing),
		cmocka_unit_test(a_page_that_cannot_be_made_leaves_the_old_one),
		cmocka_unit_test(nobody_can_lay_a_link_where_it_is_written),
		cmocka_unit_test(without_memory_there_is_no_page_and_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
