/*
 * From a role's pulse to the bytes of a log file: nothing is forged, nothing is lost
 * uncounted, and nothing goes beyond the budget.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fields.h"
#include "base/number.h"
#include "watch/pulses.h"

#define TRIES 6000 /* of 10 ms */

struct bench {
	char dir[64], file[128];
	struct conf *conf;
	struct loop *loop;
	struct keep *keep;
	struct log *log;
	struct pulses *pulses;
	struct pulse *edge;
	struct timer stop;
};

static void on_stop(void *arg)
{
	loop_stop(arg);
}

static void run_for(struct bench *b, ms_t t)
{
	timer_set(&b->stop, loop_now_exact(b->loop) + t);
	loop_run(b->loop);
}

static struct pulse *add_role(struct bench *b, enum role role, unsigned number,
			      uint32_t pid)
{
	struct err err;
	struct pulse *p;
	int fd, read_fd, bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct start_pulse s = {
		.role = role, .number = number, .pid = pid, .doorbell = bell
	};

	assert_true(pulse_make(&fd, &read_fd, &err));
	assert_true(pulse_open(&p, fd, dup(bell), &err));
	s.fd = read_fd;
	assert_true(pulses_add(b->pulses, &s, &err));
	return p;
}

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct err err = { 0 };

	b->conf = calloc(1, sizeof(*b->conf));
	snprintf(b->dir, sizeof(b->dir), "/tmp/holdfast-log-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->file, sizeof(b->file), "%s/log.txt", b->dir);
	snprintf(b->conf->set.log_file, sizeof(b->conf->set.log_file), "%s", b->file);
	b->conf->set.log_to = LOG_TO_FILE;
	b->conf->listener_count = 1;
	snprintf(b->conf->listeners[0].name, sizeof(b->conf->listeners[0].name), "mx");
	b->conf->set.log_level = LEVEL_INFO;
	b->conf->set.log_full = 3;
	b->conf->set.log_interval = MS_HOUR;
	b->conf->set.log_budget = 64 << 10;
	assert_true(loop_open(&b->loop, &err));
	b->keep = keep_open(b->dir, 1, 1000, &err);
	assert_string_equal(err.text, "");
	assert_true(log_open(&b->log, b->loop, b->conf, b->keep, &err));
	assert_true(pulses_open(&b->pulses, b->loop, b->log, b->keep, &err));
	timer_init(&b->stop, b->loop, on_stop, b->loop);
	b->edge = add_role(b, ROLE_EDGE, 1, 100);
	*state = b;
	return 0;
}

static void finish(struct bench *b)
{
	bool finished = false;

	pulses_drain(b->pulses);
	pulses_close(&b->pulses);
	for (int i = 0; i < 60 && !(finished = log_finish(b->log)); i++)
		continue; /* it waits a second for its thread */
	assert_true(finished);
	loop_close(&b->loop);
	log_close(&b->log);
	keep_close(&b->keep);
	pulse_close(&b->edge);
}

static int tear_down(void **state)
{
	struct bench *b = *state;
	char path[160];

	if (b->log)
		finish(b);
	unlink(b->file);
	snprintf(path, sizeof(path), "%s.1", b->file);
	unlink(path);
	snprintf(path, sizeof(path), "%s/watch.state", b->dir);
	unlink(path);
	assert_int_equal(rmdir(b->dir), 0);
	free(b->conf);
	free(b);
	return 0;
}

static struct span file_text(const char *path)
{
	static char mem[16 << 20];
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(mem, 1, sizeof(mem), f) : 0;

	if (f)
		fclose(f);
	return span_of(mem, n);
}

static size_t lines_with(const char *path, const char *what)
{
	struct span text = file_text(path), line;
	size_t n = 0;

	while (text.n) {
		line = span_cut(&text, '\n');
		n += memmem(line.p, line.n, what, strlen(what)) != NULL;
	}
	return n;
}

/* Until the file has so many lines; a thread writes it, and the machine may be busy. */
static void run_until(struct bench *b, const char *path, size_t lines)
{
	for (int i = 0; i < TRIES && lines_with(path, "") < lines; i++)
		run_for(b, 10);
	assert_int_equal(lines_with(path, ""), lines);
}

/* The sum of count= over all lines of that kind. */
static uint64_t counted(const char *path, const char *kind)
{
	struct span text = file_text(path), line;
	uint64_t sum = 0, n;

	while (text.n) {
		const uint8_t *at;

		line = span_cut(&text, '\n');
		at = memmem(line.p, line.n, " count=", 7);
		if (!at || !memmem(line.p, line.n, kind, strlen(kind)))
			continue;
		line = span_of(at + 7, (size_t)(line.p + line.n - at - 7));
		assert_true(number_parse(span_cut(&line, ' '), UINT64_MAX, &n));
		sum += n;
	}
	return sum;
}

static void offence(struct pulse *p, uint8_t host, struct span text)
{
	static int64_t wall;

	wall += 1000;
	pulse_deed(p, wall,
		   &(struct pulse_deed){ .session = 1,
					 .from = addr_v4(192, 0, 2, host),
					 .event = EV_EARLY_TALK,
					 .count = 1,
					 .points = 30,
					 .text = text });
}

static void a_record_becomes_one_line(void **state)
{
	struct bench *b = *state;

	offence(b->edge, 7, SPAN("client.example"));
	run_until(b, b->file, 1);
	assert_int_equal(lines_with(b->file, "time=1970-01-01T00:00:01.000Z level=notice "
					     "log=offence role=edge.1 from=192.0.2.7 "
					     "session=0000000000001 peer=192.0.2.7 "
					     "listener=mx event=early-talk points=30 "
					     "text=client.example"),
			 1);
}

static void a_peer_cannot_forge_a_field_or_a_line(void **state)
{
	struct bench *b = *state;

	offence(b->edge, 7, SPAN("x\" level=error log=dead\nlevel=error \x1b[2J\0"));
	run_until(b, b->file, 1);
	assert_int_equal(lines_with(b->file, ""), 1);
	assert_int_equal(lines_with(b->file, "\x1b"), 0);
	assert_int_equal(lines_with(b->file, "x\\x22 level=error"), 1);
}

static void a_role_cannot_write_the_fields_that_are_ours(void **state)
{
	struct bench *b = *state;
	uint8_t mem[256];
	struct buf fields;

	buf_init(&fields, mem, sizeof(mem));
	field_text(&fields, "role", SPAN("supervisor"));
	field_text(&fields, "why", SPAN("because"));
	field_text(&fields, "log", SPAN("reloaded"));
	pulse_log(b->edge, LOG_TROUBLE, 1000, NULL, buf_span(&fields));
	run_until(b, b->file, 1);
	assert_int_equal(lines_with(b->file, "log=trouble role=edge.1 why=because"), 1);
	assert_int_equal(lines_with(b->file, "supervisor"), 0);
	assert_int_equal(lines_with(b->file, "reloaded"), 0);
}

static void what_is_folded_is_summed_up_with_its_exact_count(void **state)
{
	struct bench *b = *state;

	for (int i = 0; i < 1000; i++)
		offence(b->edge, 7, SPAN("a"));
	offence(b->edge, 8, SPAN("b"));
	finish(b);
	assert_int_equal(lines_with(b->file, "log=offence"), 4);
	assert_int_equal(lines_with(b->file,
				    "log=folded role=watch from=192.0.2.7 of=offence "
				    "count=997"),
			 1);
}

static void a_flood_stays_within_the_budget_and_every_record_is_accounted_for(void **state)
{
	struct bench *b = *state;
	uint64_t total = 0;

	for (int round = 0; round < 20; round++) {
		for (int host = 0; host < 250; host++)
			for (int i = 0; i < 8; i++, total++)
				offence(b->edge, (uint8_t)host,
					SPAN("a quite talkative host"));
		run_for(b, 60);
	}
	finish(b);
	assert_in_range(file_text(b->file).n, 1000, 32 << 10);
	assert_int_equal(lines_with(b->file, "log=offence") +
				 counted(b->file, "log=folded") +
				 counted(b->file, "log=log-budget") +
				 counted(b->file, "log=log-lost"),
			 total);
}

/* Everything that strangers can have written about them, from very many of them. */
static void very_many_addresses_stay_within_the_budget_and_no_count_is_lost(void **state)
{
	static const enum record kinds[] = { LOG_REFUSED, LOG_WOULD_REFUSE, LOG_REJECTED,
					     LOG_SESSION, LOG_BANNED,	    LOG_BAN_ENDED };
	const uint64_t addresses = 100000;
	struct bench *b = *state;
	uint64_t lines;
	uint8_t mem[128];
	struct buf fields;

	buf_init(&fields, mem, sizeof(mem));
	field_text(&fields, "rule", SPAN("points"));
	field_text(&fields, "code", SPAN("P7K2Q9M"));
	for (uint32_t i = 0; i < addresses; i++) {
		struct addr from = addr_v4(10, (uint8_t)(i >> 16), (uint8_t)(i >> 8),
					   (uint8_t)i);

		pulse_deed(b->edge, i,
			   &(struct pulse_deed){ .session = i + 1,
						 .from = from,
						 .event = EV_RELAY_DENIED,
						 .count = 2 });
		for (size_t k = 0; k < 4; k++)
			pulse_log(b->edge, kinds[k], i, &from, buf_span(&fields));
		for (size_t k = 4; k < COUNT_OF(kinds); k++)
			log_about(b->log, kinds[k], &from, buf_span(&fields));
		if (i % 500 == 0)
			pulses_drain(b->pulses);
	}
	pulses_drain(b->pulses);
	assert_int_equal(pulses_events(b->pulses, EV_RELAY_DENIED), 2 * addresses);
	assert_int_equal(pulses_records(b->pulses, LOG_OFFENCE), addresses);
	for (size_t k = 0; k < COUNT_OF(kinds); k++)
		assert_int_equal(pulses_records(b->pulses, kinds[k]), addresses);
	finish(b);
	assert_in_range(file_text(b->file).n, 1000, 32 << 10);
	lines = lines_with(b->file, "log=offence");
	for (size_t k = 0; k < COUNT_OF(kinds); k++) {
		char what[64];

		snprintf(what, sizeof(what), "log=%s ", record_table[kinds[k]].word);
		lines += lines_with(b->file, what);
	}
	assert_int_equal(lines + counted(b->file, "log=folded") +
				 counted(b->file, "log=log-budget") +
				 counted(b->file, "log=log-lost"),
			 addresses * (1 + COUNT_OF(kinds)));
}

static void what_only_a_rule_refused_is_not_told_twice(void **state)
{
	struct bench *b = *state;

	pulse_deed(b->edge, 1000,
		   &(struct pulse_deed){
			   .from = addr_v4(192, 0, 2, 7), .rule = RULE_LATE, .count = 1 });
	offence(b->edge, 8, SPAN("then"));
	run_until(b, b->file, 1);
	assert_int_equal(lines_with(b->file, "log=offence"), 1);
	assert_int_equal(lines_with(b->file, "192.0.2.8"), 1);
	assert_int_equal(pulses_records(b->pulses, LOG_OFFENCE), 2);
	assert_int_equal(log_unwritten(b->log), 1);
}

static void what_was_overwritten_is_counted(void **state)
{
	struct bench *b = *state;
	static const uint8_t filling[LOG_RECORD_MAX - 64];
	const uint64_t total = 20000;
	struct addr from = addr_v4(192, 0, 2, 1);
	uint8_t mem[LOG_RECORD_MAX];
	struct buf fields;

	/* large ones, so that few of them are in the ring, and few lines are to be written */
	buf_init(&fields, mem, sizeof(mem));
	field_text(&fields, "what", span_of(filling, sizeof(filling)));
	b->conf->set.log_full = 1000000;
	b->conf->set.log_budget = 1 << 30;
	log_conf(b->log, b->conf);
	for (uint64_t i = 0; i < total; i++)
		pulse_log(b->edge, LOG_REJECTED, 1000, &from, buf_span(&fields));
	run_for(b, 300);
	finish(b);
	assert_true(counted(b->file, "overwritten") > 0);
	assert_int_equal(lines_with(b->file, "log=rejected") +
				 counted(b->file, "log=log-lost"),
			 total);
}

static void a_rotated_file_is_opened_again_on_reload(void **state)
{
	struct bench *b = *state;
	char old[160];

	offence(b->edge, 1, SPAN("before"));
	run_until(b, b->file, 1);
	snprintf(old, sizeof(old), "%s.1", b->file);
	assert_int_equal(rename(b->file, old), 0);
	log_conf(b->log, b->conf);
	offence(b->edge, 1, SPAN("after"));
	run_until(b, b->file, 1);
	assert_int_equal(lines_with(old, "before"), 1);
	assert_int_equal(lines_with(old, "after"), 0);
	assert_int_equal(lines_with(b->file, "after"), 1);
}

static void a_full_disk_holds_up_nothing_and_its_lines_come_later(void **state)
{
	struct bench *b = *state;

	snprintf(b->conf->set.log_file, sizeof(b->conf->set.log_file), "/dev/full");
	log_conf(b->log, b->conf);
	offence(b->edge, 1, SPAN("kept"));
	for (int i = 0; i < TRIES && !*log_trouble(b->log); i++)
		run_for(b, 10);
	assert_string_equal(log_trouble(b->log), "No space left on device");
	snprintf(b->conf->set.log_file, sizeof(b->conf->set.log_file), "%s", b->file);
	log_conf(b->log, b->conf);
	run_until(b, b->file, 1);
	for (int i = 0; i < TRIES && *log_trouble(b->log); i++)
		run_for(b, 10);
	assert_string_equal(log_trouble(b->log), "");
	assert_int_equal(lines_with(b->file, "kept"), 1);
}

static void json_lines_are_json(void **state)
{
	struct bench *b = *state;

	b->conf->set.log_format = LOG_JSON;
	offence(b->edge, 7, SPAN("a\"b"));
	run_until(b, b->file, 1);
	assert_int_equal(lines_with(b->file, "\"log\":\"offence\",\"role\":\"edge.1\","
					     "\"from\":\"192.0.2.7\",\"session\":"
					     "\"0000000000001\",\"peer\":\"192.0.2.7\","
					     "\"listener\":\"mx\",\"event\":\"early-talk\","
					     "\"points\":30,\"text\":\"a\\\"b\"}"),
			 1);
}

static void below_the_level_records_are_only_counted(void **state)
{
	struct bench *b = *state;

	b->conf->set.log_level = LEVEL_WARN;
	offence(b->edge, 7, SPAN("a"));
	run_for(b, 60);
	assert_int_equal(lines_with(b->file, ""), 0);
	assert_int_equal(pulses_records(b->pulses, LOG_OFFENCE), 1);
	assert_int_equal(log_unwritten(b->log), 1);
}

static void counts_outlive_the_role_and_the_watch(void **state)
{
	struct bench *b = *state;
	struct err err = { 0 };
	struct keep *again;

	pulse_count(b->edge, EV_EARLY_TALK, 5);
	pulse_gauge(b->edge, GAUGE_CONNECTIONS, 7);
	pulse_gauge(b->edge, GAUGE_SESSIONS, 3);
	offence(b->edge, 7, SPAN("last words"));
	pulses_drop(b->pulses, ROLE_EDGE, 1);
	pulse_close(&b->edge);
	b->edge = add_role(b, ROLE_EDGE, 1, 101);
	pulse_count(b->edge, EV_EARLY_TALK, 1);
	pulse_gauge(b->edge, GAUGE_CONNECTIONS, 1);
	/* the offence itself is one */
	assert_int_equal(pulses_events(b->pulses, EV_EARLY_TALK), 7);
	assert_int_equal(pulses_gauge(b->pulses, ROLE_EDGE, GAUGE_CONNECTIONS), 8);
	assert_int_equal(pulses_gauge(b->pulses, ROLE_EDGE, GAUGE_SESSIONS), 0);
	assert_int_equal(pulses_records(b->pulses, LOG_OFFENCE), 1);
	again = keep_open(b->dir, 1, 2000, &err);
	assert_int_equal(again->past.events[EV_EARLY_TALK], 6);
	assert_int_equal(again->began, 1000);
	assert_true(again->budget_left < 32 << 10);
	keep_close(&again);
	again = keep_open(b->dir, 2, 3000, &err);
	assert_int_equal(again->past.events[EV_EARLY_TALK], 0);
	assert_int_equal(again->began, 3000);
	keep_close(&again);
	run_until(b, b->file, 1);
	assert_int_equal(lines_with(b->file, "last words"), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_record_becomes_one_line),
		TEST(a_peer_cannot_forge_a_field_or_a_line),
		TEST(a_role_cannot_write_the_fields_that_are_ours),
		TEST(what_is_folded_is_summed_up_with_its_exact_count),
		TEST(a_flood_stays_within_the_budget_and_every_record_is_accounted_for),
		TEST(very_many_addresses_stay_within_the_budget_and_no_count_is_lost),
		TEST(what_only_a_rule_refused_is_not_told_twice),
		TEST(what_was_overwritten_is_counted),
		TEST(a_rotated_file_is_opened_again_on_reload),
		TEST(a_full_disk_holds_up_nothing_and_its_lines_come_later),
		TEST(json_lines_are_json),
		TEST(below_the_level_records_are_only_counted),
		TEST(counts_outlive_the_role_and_the_watch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
