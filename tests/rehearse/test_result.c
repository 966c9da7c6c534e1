/*
 * What a run found out, as JSON and as a table: of runs that never were.
 */
#include "made_up.h"

#include <math.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "rehearse/sums.h"

static void expect_near(double got, double want, double within)
{
	if (!(fabs(got - want) <= within))
		fail_msg("got %f instead of %f", got, want);
}

/* Figures. */

static void attack_of_40_s(struct made_up *m)
{
	add_ended(m, BOTS, PHASE_ATTACK, 2000, STAGE_RCPT, END_NO);
	add_ended(m, BOTS, PHASE_ATTACK, 400, STAGE_CONNECT, END_DROPPED);
	add_ended(m, LONE, PHASE_ATTACK, 1600, STAGE_AUTH, END_LATER);
	add_heard(m, BOTS, PHASE_ATTACK, 8000, STAGE_RCPT, 0);
	add_heard(m, LONE, PHASE_ATTACK, 4000, STAGE_RCPT, 2);
	add_done(m, REGULAR, PHASE_ATTACK, 4000, 5);
}

static void figures_are_those_of_the_attackers_in_the_attack(void **state)
{
	struct made_up *m = made_up_open();
	struct figures f;

	(void)state;
	attack_of_40_s(m);
	add_ended(m, BOTS, PHASE_QUIET, 77, STAGE_RCPT, END_NO);
	add_in_time(m, BOTS, 0.5, 0.6, 0, 30);
	add_in_time(m, LONE, 0.5, 0.6, 0, 12);
	result_figures(&m->result, &f);
	expect_near(f.begun, 100, 0.001);
	expect_near(f.ended, 90, 0.001); /* by a reply */
	expect_near(f.replies, 300, 0.001);
	expect_near(f.done, 0, 0.001);
	expect_near(f.held, 42, 0.001);
	assert_true(isnan(f.of_ceiling));
	assert_false(f.generator_limited);
	made_up_close(m);
}

static void without_attackers_figures_are_of_everybody(void **state)
{
	struct made_up *m = made_up_open();
	struct figures f;

	(void)state;
	for (int i = 0; i < MADE_UP_ACTORS; i++)
		m->scenario.actors[i].honest = true;
	attack_of_40_s(m);
	result_figures(&m->result, &f);
	expect_near(f.begun, 200, 0.001);
	expect_near(f.done, 100, 0.001);
	made_up_close(m);
}

static void figures_of_an_attack_that_was_cut_short_are_of_its_length(void **state)
{
	struct made_up *m = made_up_open();
	struct figures f;

	(void)state;
	attack_of_40_s(m);
	m->result.complete = false;
	m->result.edges[PHASE_AFTER].at = m->tally.ends[PHASE_QUIET] + 20000;
	m->result.edges[PHASE_COUNT].at = m->result.edges[PHASE_AFTER].at;
	result_figures(&m->result, &f);
	expect_near(f.begun, 200, 0.001);
	made_up_close(m);
}

/* clang-format off */
static const struct ceiling_row {
	const char *why;
	double visits, replies, opened;
	double of_ceiling;
	bool limited;
} ceilings[] = {
	{ "far from it",		900, 3000, 1000, 0.1,  false },
	{ "as many visits",		 90, 3000, 1000, 1.0,  true },
	{ "as many replies",		900,  300, 1000, 1.0,  true },
	{ "as many connections",	900, 3000,  100, 1.0,  true },
	{ "the nearest counts",		180,  600,  125, 0.8,  true },
	{ "just below",			180,  600,  126, 0.7937, false },
	{ "nothing replied there",	180,    0,  200, 0.5,  false },
};
/* clang-format on */

static void the_nearest_ceiling_limits(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(ceilings); i++) {
		const struct ceiling_row *row = &ceilings[i];
		struct made_up *m = made_up_open();
		struct figures f;

		attack_of_40_s(m);
		m->result.ceiling = (struct ceiling){ .measured = true,
						      .seconds = 3,
						      .visits = row->visits,
						      .replies = row->replies,
						      .opened = row->opened,
						      .held = 1 };
		result_figures(&m->result, &f);
		if (fabs(f.of_ceiling - row->of_ceiling) > 0.0001 ||
		    f.generator_limited != row->limited)
			fail_msg("%s: %f, %d", row->why, f.of_ceiling,
				 f.generator_limited);
		made_up_close(m);
	}
}

static void of_sessions_that_are_held_it_counts_how_many(void **state)
{
	struct made_up *m = made_up_open();
	struct figures f;

	(void)state;
	attack_of_40_s(m);
	m->steps[0].kind = STEP_HOLD;
	add_in_time(m, BOTS, 0.5, 0.6, 0, 900);
	m->result.ceiling = (struct ceiling){ .measured = true,
					      .seconds = 3,
					      .visits = 1, /* does not count */
					      .replies = 1,
					      .opened = 1000,
					      .held = 1500 };
	result_figures(&m->result, &f);
	expect_near(f.of_ceiling, 0.6, 0.0001);
	assert_false(f.generator_limited);

	/* the ceiling had too little time for so many: asked for were 2,100 */
	m->result.ceiling.held = 500;
	result_figures(&m->result, &f);
	expect_near(f.of_ceiling, 900.0 / 2100, 0.0001);
	made_up_close(m);
}

/* JSON. */

static struct made_up *a_whole_run(void)
{
	struct made_up *m = made_up_open();
	struct result *r = &m->result;

	attack_of_40_s(m);
	add_done(m, REGULAR, PHASE_QUIET, 80, 5);
	add_done(m, REGULAR, PHASE_AFTER, 80, 5);
	add_ended(m, REGULAR, PHASE_ATTACK, 40, STAGE_CONNECT, END_SILENT);
	add_ended(m, REGULAR, PHASE_ATTACK, 4, STAGE_BODY, END_OVER);
	add_in_time(m, BOTS, 0, 1, 3, 30);
	tally_at(&m->tally, 0, BOTS)->buckets[100].ended[STAGE_RCPT][END_NO] = 5;
	tally_at(&m->tally, 1, BOTS)->buckets[100].ended[STAGE_RCPT][END_LATER] = 2;
	tally_at(&m->tally, 1, BOTS)->buckets[100].ended[STAGE_RCPT][END_SILENT] = 9;
	tally_at(&m->tally, 0, BOTS)->left = 3;
	tally_at(&m->tally, 1, BOTS)->left = 4;
	counted(m, 1, BOTS, PHASE_ATTACK)->breaches = 2;
	snprintf(tally_at(&m->tally, 1, BOTS)->breach, 120, "250 \x1b[2J\xff taken");
	add_server(m);
	r->edges[PHASE_QUIET].look.cpu = 0.5;
	r->edges[PHASE_ATTACK].look.cpu = 1;
	r->edges[PHASE_AFTER].look.cpu = 5;
	r->edges[PHASE_COUNT].look.cpu = 5.25;
	r->edges[PHASE_AFTER].look.log = r->edges[PHASE_COUNT].look.log = 6000;
	r->edges[PHASE_AFTER].look.written = r->edges[PHASE_COUNT].look.written = 90000;
	add_look(m, 20000)->look.cpu = 2;
	add_look(m, 20000)->look.cpu = 2; /* a border of a phase is looked at twice */
	add_look(m, 22000)->look.cpu = 4;
	r->looks[2].look.pss = 99 << 20;
	r->generator_cpu[PHASE_ATTACK] = 1.5;
	r->ceiling = (struct ceiling){ .measured = true,
				       .seconds = 3,
				       .visits = 1000,
				       .replies = 4000,
				       .opened = 1000,
				       .held = 50,
				       .generator_cpu = 2,
				       .canned_cpu = 1 };
	add_promise(m, "served");
	add_promise(m, "alive");
	add_promise(m, "log-budget");
	add_promise(m, "no-breach");
	result_judge(r);
	return m;
}

/* Exactly these keys, in words with a space between them. */
static void expect_keys(const char *where, const json_t *object, const char *keys)
{
	struct span rest = span_str(keys);
	const char *key;
	json_t *value;
	size_t n = 0;

	if (!json_is_object(object))
		fail_msg("%s is no object", where);
	while (rest.n) {
		struct span word = span_cut(&rest, ' ');
		char name[64];

		snprintf(name, sizeof(name), "%.*s", SPAN_ARG(word));
		if (!json_object_get(object, name))
			fail_msg("%s has no %s", where, name);
		n++;
	}
	json_object_foreach((json_t *)(uintptr_t)object, key,
			    value) if (!strstr(keys, key))
		fail_msg("%s has %s", where, key);
	assert_int_equal(json_object_size(object), n);
}

static const json_t *at(const json_t *in, const char *key)
{
	const json_t *out = json_object_get(in, key);

	if (!out)
		fail_msg("no %s", key);
	return out;
}

static double real(const json_t *in, const char *key)
{
	const json_t *out = at(in, key);

	if (!json_is_number(out))
		fail_msg("%s is no number", key);
	return json_number_value(out);
}

static const char *string(const json_t *in, const char *key)
{
	const char *out = json_string_value(at(in, key));

	if (!out)
		fail_msg("%s is no text", key);
	return out;
}

/* As a program gets it: written and read. */
static json_t *as_read(const struct made_up *m)
{
	json_t *made = result_json(&m->result), *read;
	char *text;
	json_error_t e;

	assert_non_null(made);
	text = json_dumps(made, JSON_COMPACT);
	assert_non_null(text);
	read = json_loads(text, JSON_REJECT_DUPLICATES, &e);
	if (!read)
		fail_msg("%s", e.text);
	assert_true(json_equal(made, read));
	free(text);
	json_decref(made);
	return read;
}

#define COST_KEYS                                                             \
	"cpu_s pss_begin pss_end pss_most kernel_begin kernel_most fds_most " \
	"processes_most log_bytes written_bytes"

static void every_key_is_there_and_no_other(void **state)
{
	struct made_up *m = a_whole_run();
	json_t *j = as_read(m);
	const json_t *actor = json_array_get(at(j, "actors"), 0);
	const json_t *time = at(j, "time");

	(void)state;
	expect_keys("result", j,
		    "format program scenario server target started seed scale workers cores "
		    "machine measured complete why_not phases actors time figures ceiling "
		    "promises");
	expect_keys("scenario", at(j, "scenario"), "id title about ends");
	expect_keys("machine", at(j, "machine"),
		    "cores processor memory_mib kernel system descriptors_per_process");
	expect_keys("measured", at(j, "measured"), "cpu_from kernel_from");
	assert_int_equal(json_array_size(at(j, "phases")), 3);
	expect_keys("phase", json_array_get(at(j, "phases"), 1),
		    "phase from_s to_s generator_cpu_s server");
	expect_keys("cost", at(json_array_get(at(j, "phases"), 1), "server"), COST_KEYS);
	assert_int_equal(json_array_size(at(j, "actors")), MADE_UP_ACTORS);
	expect_keys("actor", actor,
		    "name title honest service addresses left breaches breach phases");
	assert_int_equal(json_array_size(at(actor, "phases")), 3);
	expect_keys("actor's phase", json_array_get(at(actor, "phases"), 1),
		    "phase begun due skipped no_port again asked done success ended heard p50_ms "
		    "p95_ms p99_ms p999_ms max_ms bytes_in bytes_out open_most");
	expect_keys("time", time, "bucket_s buckets actors latency server");
	expect_keys("actor in time", json_array_get(at(time, "actors"), 0),
		    "name honest begun done open refused");
	assert_int_equal(json_array_size(at(time, "latency")), 2);
	expect_keys("latency", json_array_get(at(time, "latency"), 0),
		    "name due_s ms end");
	expect_keys("server in time", at(time, "server"),
		    "at_s cores pss kernel fds log_bytes");
	expect_keys("figures", at(j, "figures"),
		    "begun_per_s ended_per_s replies_per_s done_per_s held of_ceiling "
		    "generator_limited");
	expect_keys("ceiling", at(j, "ceiling"),
		    "seconds visits_per_s replies_per_s opened_per_s held generator_cpu_s "
		    "canned_cpu_s");
	assert_int_equal(json_array_size(at(j, "promises")), 4);
	expect_keys("promise", json_array_get(at(j, "promises"), 0),
		    "promise says found verdict");
	json_decref(j);
	made_up_close(m);
}

static void numbers_are_those_that_were_counted(void **state)
{
	struct made_up *m = a_whole_run();
	json_t *j = as_read(m);
	const json_t *phase = json_array_get(at(j, "phases"), 1);
	const json_t *bots = json_array_get(at(j, "actors"), BOTS);
	const json_t *regular = json_array_get(at(j, "actors"), REGULAR);
	const json_t *b = json_array_get(at(bots, "phases"), 1);
	const json_t *g = json_array_get(at(regular, "phases"), 1);

	(void)state;
	assert_int_equal(real(j, "format"), 1);
	assert_int_equal(real(j, "seed"), 7);
	assert_string_equal(string(phase, "phase"), "attack");
	expect_near(real(phase, "from_s"), 11, 0);
	expect_near(real(phase, "to_s"), 51, 0);
	expect_near(real(phase, "generator_cpu_s"), 1.5, 0);
	expect_near(real(at(phase, "server"), "cpu_s"), 4, 0);
	expect_near(real(at(phase, "server"), "pss_most"), 99 << 20, 0);
	expect_near(real(at(phase, "server"), "log_bytes"), 6000, 0);
	expect_near(real(at(phase, "server"), "written_bytes"), 90000, 0);

	assert_int_equal(real(bots, "left"), 7);
	assert_int_equal(real(bots, "breaches"), 2);
	assert_string_equal(string(bots, "breach"), "250 \\x1b[2J\\xff taken");
	assert_int_equal(real(at(at(b, "ended"), "rcpt"), "refused"), 2000);
	assert_int_equal(real(at(at(b, "ended"), "connect"), "dropped"), 400);
	assert_int_equal(json_object_size(at(b, "ended")), 2);
	assert_int_equal(json_object_size(at(at(b, "ended"), "rcpt")), 1);
	assert_int_equal(real(at(at(b, "heard"), "rcpt"), "yes"), 8000);
	assert_int_equal(json_object_size(at(b, "heard")), 1);
	assert_true(json_is_null(at(b, "p99_ms")));
	assert_true(json_is_null(at(b, "max_ms")));

	assert_true(json_is_true(at(regular, "honest")));
	assert_int_equal(real(g, "done"), 4000);
	expect_near(real(g, "success"), 4000.0 / 4040, 1e-9);
	expect_near(real(g, "p50_ms"), 5, 0.1);
	expect_near(real(g, "max_ms"), 5, 0);
	assert_string_equal(string(json_array_get(at(j, "promises"), 0), "verdict"),
			    "kept");
	assert_string_equal(string(json_array_get(at(j, "promises"), 2), "verdict"),
			    "unknown");
	assert_string_equal(string(json_array_get(at(j, "promises"), 3), "verdict"),
			    "broken");
	json_decref(j);
	made_up_close(m);
}

static void lines_over_time_have_a_point_for_each_bucket(void **state)
{
	struct made_up *m = a_whole_run();
	json_t *j = as_read(m);
	const json_t *time = at(j, "time");
	const json_t *bots = json_array_get(at(time, "actors"), BOTS);
	size_t n = (size_t)(61000 / m->tally.bucket);
	const json_t *server = at(time, "server");

	(void)state;
	assert_int_equal(real(time, "buckets"), n);
	expect_near(real(time, "bucket_s"), (double)m->tally.bucket / 1000, 0);
	assert_int_equal(json_array_size(at(bots, "begun")), n);
	assert_int_equal(json_array_size(at(bots, "done")), n);
	assert_int_equal(json_array_size(at(bots, "open")), n);
	assert_int_equal(json_integer_value(json_array_get(at(bots, "begun"), 100)), 3);
	assert_int_equal(json_object_size(at(bots, "refused")), 1);
	assert_int_equal(json_array_size(at(at(bots, "refused"), "rcpt")), n);
	assert_int_equal(
		json_integer_value(json_array_get(at(at(bots, "refused"), "rcpt"), 100)),
		7);

	/* 2 CPU-s from 0 to 20 s, 2 more in two seconds */
	assert_int_equal(json_array_size(at(server, "at_s")), 2);
	expect_near(json_real_value(json_array_get(at(server, "cores"), 0)), 0.1, 1e-9);
	expect_near(json_real_value(json_array_get(at(server, "cores"), 1)), 1, 1e-9);
	json_decref(j);
	made_up_close(m);
}

static void what_is_not_known_is_null(void **state)
{
	struct made_up *m = made_up_open();
	json_t *j;

	(void)state;
	m->result.seed = UINT64_MAX;
	snprintf(m->result.server_name, sizeof(m->result.server_name), "a\xff");
	j = as_read(m);
	assert_true(json_is_null(at(j, "measured")));
	assert_true(json_is_null(at(j, "ceiling")));
	assert_true(json_is_null(at(json_array_get(at(j, "phases"), 1), "server")));
	assert_true(json_is_null(at(at(j, "time"), "server")));
	assert_true(json_is_null(at(at(j, "figures"), "of_ceiling")));
	assert_true(json_is_null(at(
		json_array_get(at(json_array_get(at(j, "actors"), REGULAR), "phases"), 1),
		"success")));
	assert_string_equal(string(j, "seed"), "18446744073709551615");
	assert_string_equal(string(j, "server"), "a\\xff");
	json_decref(j);

	add_server(m);
	for (int i = 0; i <= PHASE_COUNT; i++)
		m->result.edges[i].look.has = SERVER_HAS_CPU;
	j = as_read(m);
	expect_keys("cost", at(json_array_get(at(j, "phases"), 1), "server"), COST_KEYS);
	assert_true(json_is_null(
		at(at(json_array_get(at(j, "phases"), 1), "server"), "pss_most")));
	assert_true(json_is_null(
		at(at(json_array_get(at(j, "phases"), 1), "server"), "log_bytes")));
	json_decref(j);
	made_up_close(m);
}

static void phases_that_were_not_come_to_have_no_length(void **state)
{
	struct made_up *m = a_whole_run();
	json_t *j;

	(void)state;
	m->result.complete = false;
	snprintf(m->result.why_not, sizeof(m->result.why_not), "stopped at 31.0 s");
	m->result.edges[PHASE_AFTER].at = m->result.edges[PHASE_COUNT].at = 31000;
	j = as_read(m);
	assert_true(json_is_false(at(j, "complete")));
	assert_string_equal(string(j, "why_not"), "stopped at 31.0 s");
	expect_near(real(json_array_get(at(j, "phases"), 1), "to_s"), 31, 0);
	expect_near(real(json_array_get(at(j, "phases"), 2), "from_s"), 31, 0);
	expect_near(real(json_array_get(at(j, "phases"), 2), "to_s"), 31, 0);
	assert_true(json_is_null(at(json_array_get(at(j, "phases"), 2), "server")));
	assert_int_equal(real(at(j, "time"), "buckets"), 31000 / m->tally.bucket);
	json_decref(j);
	made_up_close(m);
}

static void the_machine_is_this_one(void **state)
{
	struct made_up *m = made_up_open();
	json_t *j = as_read(m);
	const json_t *machine = at(j, "machine");
	struct utsname u;

	(void)state;
	assert_int_equal(uname(&u), 0);
	assert_non_null(strstr(string(machine, "kernel"), u.release));
	assert_int_equal(real(machine, "cores"), sysconf(_SC_NPROCESSORS_ONLN));
	assert_true(real(machine, "memory_mib") > 10);
	assert_true(real(machine, "descriptors_per_process") > 10);
	json_decref(j);
	made_up_close(m);
}

/* n samples of the regular sender, by two workers, a millisecond apart, some of the warm phase. */
static void add_samples(struct made_up *m, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct tally_actor *a = tally_at(&m->tally, i % 2, REGULAR);
		bool slow = i % 1000 == 500, failed = i % 1000 == 501;

		a->samples[a->samples_n++] = (struct tally_sample){
			.due_ms = 11000 + i,
			.latency_us = slow ? 900000 : 2000,
			.end = failed ? END_NO : END_DONE,
			.phase = PHASE_ATTACK,
		};
	}
	for (uint32_t i = 0; i < 10; i++) {
		struct tally_actor *a = tally_at(&m->tally, 0, REGULAR);

		a->samples[a->samples_n++] = (struct tally_sample){ .due_ms = i,
								    .phase = PHASE_WARM };
	}
}

static void a_few_latencies_are_all_there_in_their_order(void **state)
{
	struct made_up *m = made_up_open();
	const json_t *latency;
	json_t *j;

	(void)state;
	add_samples(m, 4000);
	j = as_read(m);
	latency = json_array_get(at(at(j, "time"), "latency"), 0);
	assert_string_equal(string(latency, "name"), "regular");
	assert_int_equal(json_array_size(at(latency, "due_s")), 4000);
	for (size_t i = 0; i < 4000; i++)
		expect_near(json_real_value(json_array_get(at(latency, "due_s"), i)),
			    11 + (double)i / 1000, 1e-6);
	expect_near(json_real_value(json_array_get(at(latency, "ms"), 500)), 900, 1e-6);
	assert_string_equal(json_string_value(json_array_get(at(latency, "end"), 501)),
			    "refused");
	json_decref(j);
	made_up_close(m);
}

static void of_many_latencies_the_slow_and_the_failed_stay(void **state)
{
	struct made_up *m = made_up_open();
	size_t n, slow = 0, failed = 0;
	const json_t *latency;
	double before = 0;
	json_t *j;

	(void)state;
	add_samples(m, 40000);
	j = as_read(m);
	latency = json_array_get(at(at(j, "time"), "latency"), 0);
	n = json_array_size(at(latency, "due_s"));
	assert_int_equal(json_array_size(at(latency, "ms")), n);
	assert_int_equal(json_array_size(at(latency, "end")), n);
	assert_in_range(n, 1333, 4000);
	for (size_t i = 0; i < n; i++) {
		double due = json_real_value(json_array_get(at(latency, "due_s"), i));

		assert_true(due >= before);
		before = due;
		slow += json_real_value(json_array_get(at(latency, "ms"), i)) > 800;
		failed += strcmp(json_string_value(json_array_get(at(latency, "end"), i)),
				 "refused") == 0;
	}
	assert_int_equal(slow, 40);
	assert_int_equal(failed, 40);
	json_decref(j);
	made_up_close(m);
}

static void bytes_of_the_network_are_escaped_and_cut_whole(void **state)
{
	char out[9];

	(void)state;
	sums_escape("plain ~", out, sizeof(out));
	assert_string_equal(out, "plain ~");
	sums_escape("12345678", out, sizeof(out));
	assert_string_equal(out, "12345678");
	sums_escape("123456789", out, sizeof(out));
	assert_string_equal(out, "12345678");
	sums_escape("1234\x7f", out, sizeof(out));
	assert_string_equal(out, "1234\\x7f");
	sums_escape("12345\x1b", out, sizeof(out));
	assert_string_equal(out, "12345");
	sums_escape("\xc3\xa4z", out, sizeof(out));
	assert_string_equal(out, "\\xc3\\xa4");
}

/* The table. */

static char *table_of(const struct made_up *m)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	assert_non_null(f);
	result_table(&m->result, f);
	fclose(f);
	return text;
}

static void expect_in(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in:\n%s", part, text);
}

static void expect_not_in(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("\"%s\" in:\n%s", part, text);
}

static void the_table_says_what_happened(void **state)
{
	struct made_up *m = a_whole_run();
	char *text = table_of(m);

	(void)state;
	if (getenv("SHOW"))
		fputs(text, stderr);
	expect_in(text, "T1: A test");
	expect_in(text, "made up at 127.0.0.1:25");
	expect_in(text, "seed 7");
	expect_in(text, "99.01 %");
	expect_in(text, "40 silent at connect");
	expect_in(text, "rcpt refused 2,000");
	expect_in(text, "connect dropped 400");
	expect_in(text, "rcpt yes 8,000");
	expect_in(text, "4.000");
	expect_in(text, "KEPT");
	expect_in(text, "BROKEN");
	expect_in(text, "not judged");
	expect_in(text, "99 % of what honest clients want is done");
	expect_in(text, "no --log-budget");
	free(text);
	made_up_close(m);
}

static void no_line_is_wider_than_a_terminal_and_none_commands_it(void **state)
{
	struct made_up *m = a_whole_run();
	struct tally_phase *p = counted(m, 0, BOTS, PHASE_ATTACK);
	char *text;

	(void)state;
	for (int s = 0; s < STAGE_COUNT; s++) {
		for (int e = 0; e < END_COUNT; e++)
			p->ended[s][e] = 1234567;
		for (int k = 0; k < 3; k++)
			p->heard[s][k] = 1234567;
	}
	p->skipped = p->no_port = 123456789;
	memcpy(counted(m, 0, REGULAR, PHASE_ATTACK)->ended, p->ended, sizeof(p->ended));
	m->scenario.title = "A\x1btitle";
	m->result.complete = false;
	memset(m->result.why_not, 'w', sizeof(m->result.why_not) - 1);
	for (size_t i = 9; i < sizeof(m->result.why_not); i += 10)
		m->result.why_not[i - 1] = ' ';
	text = table_of(m);
	for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
		size_t n = strcspn(line, "\n");

		if (n > 100)
			fail_msg("%zu columns: %.*s", n, (int)n, line);
		for (size_t i = 0; i < n; i++)
			if (line[i] < ' ' || line[i] > '~')
				fail_msg("a byte 0x%02x: %.*s", (unsigned char)line[i],
					 (int)n, line);
	}
	expect_in(text, "250 \\x1b[2J\\xff taken");
	free(text);
	made_up_close(m);
}

static void a_figure_near_the_ceiling_is_marked(void **state)
{
	struct made_up *m = a_whole_run();
	char *text = table_of(m);

	(void)state;
	expect_not_in(text, "limited by the generator");
	free(text);
	m->result.ceiling.opened = 100;
	text = table_of(m);
	expect_in(text, "limited by the generator");
	free(text);
	m->result.ceiling.measured = false;
	text = table_of(m);
	expect_not_in(text, "limited by the generator");
	expect_in(text, "not measured");
	free(text);
	made_up_close(m);
}

static void what_nobody_looked_at_is_said_to_be_unknown(void **state)
{
	struct made_up *m = a_whole_run();
	char *text;

	(void)state;
	m->result.has_server = false;
	m->result.complete = false;
	snprintf(m->result.why_not, sizeof(m->result.why_not), "stopped at 12.0 s");
	text = table_of(m);
	expect_in(text, "no --server-pid");
	expect_in(text, "stopped at 12.0 s");
	expect_not_in(text, "PSS");
	free(text);
	made_up_close(m);
}

static void a_result_without_a_tally_can_be_told(void **state)
{
	struct made_up *m = made_up_open();
	char *text;
	json_t *j;

	(void)state;
	m->result.tally = NULL;
	m->result.complete = false;
	j = as_read(m);
	assert_int_equal(real(at(j, "time"), "buckets"), 0);
	json_decref(j);
	text = table_of(m);
	expect_in(text, "known sender");
	free(text);
	made_up_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_are_those_of_the_attackers_in_the_attack),
		cmocka_unit_test(without_attackers_figures_are_of_everybody),
		cmocka_unit_test(figures_of_an_attack_that_was_cut_short_are_of_its_length),
		cmocka_unit_test(the_nearest_ceiling_limits),
		cmocka_unit_test(of_sessions_that_are_held_it_counts_how_many),
		cmocka_unit_test(every_key_is_there_and_no_other),
		cmocka_unit_test(numbers_are_those_that_were_counted),
		cmocka_unit_test(lines_over_time_have_a_point_for_each_bucket),
		cmocka_unit_test(what_is_not_known_is_null),
		cmocka_unit_test(phases_that_were_not_come_to_have_no_length),
		cmocka_unit_test(the_machine_is_this_one),
		cmocka_unit_test(a_few_latencies_are_all_there_in_their_order),
		cmocka_unit_test(of_many_latencies_the_slow_and_the_failed_stay),
		cmocka_unit_test(bytes_of_the_network_are_escaped_and_cut_whole),
		cmocka_unit_test(the_table_says_what_happened),
		cmocka_unit_test(no_line_is_wider_than_a_terminal_and_none_commands_it),
		cmocka_unit_test(a_figure_near_the_ceiling_is_marked),
		cmocka_unit_test(what_nobody_looked_at_is_said_to_be_unknown),
		cmocka_unit_test(a_result_without_a_tally_can_be_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
