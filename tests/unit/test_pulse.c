/* link/pulse: counts are exact; the log loses text under pressure, and says how much. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fields.h"
#include "link/pulse.h"

struct both {
	struct pulse *p;
	struct pulse_reader *r;
	int bell; /* the reader's */
};

static struct both open_both(void)
{
	struct both b;
	struct err err;
	int fd, read_fd;

	assert_true(pulse_make(&fd, &read_fd, &err));
	b.bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(pulse_open(&b.p, fd, dup(b.bell), &err));
	assert_true(pulse_reader_open(&b.r, read_fd, &err));
	return b;
}

static void close_both(struct both *b)
{
	pulse_close(&b->p);
	pulse_reader_close(&b->r);
	close(b->bell);
}

/* A record that says `n` twice, with as much between as asked for. */
static void log_number(struct pulse *p, uint64_t n, size_t filling, int64_t wall)
{
	static const uint8_t filler[LOG_RECORD_MAX];
	uint8_t mem[LOG_RECORD_MAX];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	field_number(&out, "n", (int64_t)n);
	field_text(&out, "filling", span_of(filler, filling));
	field_number(&out, "again", (int64_t)n);
	assert_false(out.full);
	pulse_log(p, LOG_SESSION, wall, NULL, buf_span(&out));
}

static uint64_t number_of(const struct pulse_record *r)
{
	struct field n, again;

	assert_true(field_find(r->fields, "n", &n));
	assert_true(field_find(r->fields, "again", &again));
	assert_int_equal(n.number, again.number);
	return (uint64_t)n.number;
}

static void a_reader_sees_beats_counts_and_gauges(void **state)
{
	struct both b = open_both();

	(void)state;
	pulse_beat(b.p);
	pulse_beat(b.p);
	pulse_count(b.p, (enum event)(EV_NONE + 1), 5);
	pulse_count_end(b.p, END_QUIT);
	pulse_gauge(b.p, GAUGE_SESSIONS, 3);
	pulse_gauge(b.p, GAUGE_SESSIONS, -1);
	pulse_gauge_set(b.p, GAUGE_QUEUE, 99);
	assert_int_equal(pulse_beats(b.r), 2);
	assert_int_equal(pulse_counted(b.r, (enum event)(EV_NONE + 1)), 5);
	assert_int_equal(pulse_counted_end(b.r, END_QUIT), 1);
	assert_int_equal(pulse_gauge_now(b.r, GAUGE_SESSIONS), 2);
	assert_int_equal(pulse_gauge_now(b.r, GAUGE_QUEUE), 99);
	close_both(&b);
}

static void a_reader_finds_what_was_said_of_a_mailbox_server_by_its_name(void **state)
{
	struct both b = open_both();
	struct pulse_backend in = {
		.id = pulse_backend_id(SPAN("east")),
		.health = { BACKEND_WELL, BACKEND_ILL },
		.sessions = 7,
		.addresses = 2,
		.logins = 1000,
		.failures = 3,
	};
	struct pulse_backend out;

	(void)state;
	assert_false(pulse_backend_now(b.r, in.id, &out));
	pulse_backend(b.p, BACKENDS_MAX - 1, &in);
	assert_true(pulse_backend_now(b.r, in.id, &out));
	assert_memory_equal(&in, &out, sizeof(in));
	assert_false(pulse_backend_now(b.r, pulse_backend_id(SPAN("west")), &out));
	/* from an edge in a stranger's hands */
	in.health[1] = BACKEND_HEALTHS;
	pulse_backend(b.p, 0, &in);
	pulse_backend(b.p, BACKENDS_MAX - 1, &(struct pulse_backend){ 0 });
	assert_false(pulse_backend_now(b.r, in.id, &out));
	close_both(&b);
}

static void a_record_arrives_whole(void **state)
{
	struct both b = open_both();
	struct addr from = { { 0x20, 1, 0xd, 0xb8, [15] = 7 } };
	struct pulse_record r;
	uint64_t lost;

	(void)state;
	assert_false(pulse_next(b.r, &r, &lost));
	log_number(b.p, 42, 11, 1000);
	pulse_log(b.p, LOG_TROUBLE, 2000, &from, SPAN_NONE);
	assert_true(pulse_next(b.r, &r, &lost));
	assert_int_equal(r.kind, LOG_SESSION);
	assert_int_equal(r.wall, 1000);
	assert_int_equal(number_of(&r), 42);
	assert_false(r.has_from);
	assert_true(pulse_next(b.r, &r, &lost));
	assert_int_equal(r.kind, LOG_TROUBLE);
	assert_true(r.has_from);
	assert_memory_equal(r.from.ip, from.ip, sizeof(from.ip));
	assert_int_equal(r.fields.n, 0);
	assert_int_equal(lost, 0);
	assert_false(pulse_next(b.r, &r, &lost));
	close_both(&b);
}

static void a_record_that_is_too_long_loses_its_last_fields(void **state)
{
	struct both b = open_both();
	static uint8_t mem[2 * LOG_RECORD_MAX], text[LOG_RECORD_MAX];
	struct buf out;
	struct pulse_record r;
	struct field f;
	uint64_t lost;

	(void)state;
	buf_init(&out, mem, sizeof(mem));
	field_number(&out, "first", 1);
	field_text(&out, "long", span_of(text, sizeof(text)));
	pulse_log(b.p, LOG_TROUBLE, 1, NULL, buf_span(&out));
	assert_true(pulse_next(b.r, &r, &lost));
	assert_true(field_find(r.fields, "first", &f));
	assert_false(field_find(r.fields, "long", &f));
	close_both(&b);
}

static void a_slow_reader_loses_text_and_knows_how_much(void **state)
{
	struct both b = open_both();
	struct pulse_record r;
	uint64_t written = 0, read = 0, lost_all = 0, lost = 0, last = 0;

	(void)state;
	while (written < 20000) {
		log_number(b.p, written, written * 7 % 1900, 1);
		written++;
	}
	while (pulse_next(b.r, &r, &lost)) {
		last = number_of(&r);
		assert_int_equal(last, read + lost_all + lost);
		lost_all += lost;
		read++;
	}
	assert_int_equal(last, written - 1);
	assert_int_equal(read + lost_all, written);
	assert_true(read > 900); /* most of the ring was still there */
	assert_int_equal(pulse_counted_record(b.r, LOG_SESSION), written);
	close_both(&b);
}

static ms_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (ms_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void the_bell_rings_for_the_first_record_and_seldom_for_more(void **state)
{
	struct both b = open_both();
	uint64_t rings = 0;
	ms_t began = now(), last;

	(void)state;
	for (int i = 0; i < 1000; i++)
		log_number(b.p, 1, 0, 1000);
	last = now();
	assert_int_equal(read(b.bell, &rings, sizeof(rings)), sizeof(rings));
	assert_true(rings >= 1);
	assert_true((ms_t)rings <= 1 + (now() - began + 1) / (PULSE_RING_EVERY / 2));
	while (now() - last < 2 * PULSE_RING_EVERY)
		;
	log_number(b.p, 1, 0, 5); /* whatever its own clock says */
	assert_int_equal(read(b.bell, &rings, sizeof(rings)), sizeof(rings));
	close_both(&b);
}

static struct pulse_deed some_deed(struct span text)
{
	return (struct pulse_deed){ .session = 77,
				    .from = { .ip = { 0x20, 1, 0x0d, 0xb8, [15] = 9 } },
				    .event = EV_UNKNOWN_USER,
				    .rule = RULE_LATE,
				    .observed = true,
				    .behind = true,
				    .count = 3,
				    .listener = 2,
				    .points = -5,
				    .text = text };
}

static void a_deed_arrives_whole_and_is_counted(void **state)
{
	struct both b = open_both();
	struct pulse_record rec;
	struct pulse_deed in, out;
	char text[2 * LOG_TEXT_MAX];
	uint64_t lost;

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t n = 0; n <= sizeof(text); n++) {
		size_t kept = n < LOG_TEXT_MAX ? n : LOG_TEXT_MAX;

		in = some_deed(span_of(text, n));
		pulse_deed(b.p, 1234, &in);
		assert_true(pulse_next(b.r, &rec, &lost));
		assert_int_equal(rec.kind, LOG_OFFENCE);
		assert_int_equal(rec.wall, 1234);
		assert_true(rec.has_from);
		assert_memory_equal(&rec.from, &in.from, sizeof(in.from));
		assert_true(pulse_deed_read(rec.fields, &out));
		assert_int_equal(out.session, 77);
		assert_memory_equal(&out.from, &in.from, sizeof(in.from));
		assert_int_equal(out.event, EV_UNKNOWN_USER);
		assert_int_equal(out.rule, RULE_LATE);
		assert_true(out.observed && out.behind);
		assert_int_equal(out.count, 3);
		assert_int_equal(out.listener, 2);
		assert_int_equal(out.points, -5);
		assert_true(span_eq(out.text, span_of(text, kept)));
	}
	assert_int_equal(pulse_counted(b.r, EV_UNKNOWN_USER), 3 * (sizeof(text) + 1));
	assert_int_equal(pulse_counted_record(b.r, LOG_OFFENCE), sizeof(text) + 1);
	close_both(&b);
}

static void a_deed_that_weighs_nothing_is_only_counted(void **state)
{
	struct both b = open_both();
	struct pulse_deed deed = some_deed(SPAN("x"));
	struct pulse_record rec;
	uint64_t lost;

	(void)state;
	deed.event = EV_RECIPIENT_FULL;
	deed.rule = RULE_NONE;
	pulse_deed(b.p, 1, &deed);
	assert_false(pulse_next(b.r, &rec, &lost));
	assert_int_equal(pulse_counted(b.r, EV_RECIPIENT_FULL), 3);
	deed.event = EV_NONE;
	deed.rule = RULE_HELO;
	pulse_deed(b.p, 1, &deed);
	assert_true(pulse_next(b.r, &rec, &lost));
	assert_int_equal(pulse_counted(b.r, EV_NONE), 0);
	close_both(&b);
}

static void half_a_deed_is_none(void **state)
{
	struct both b = open_both();
	struct pulse_deed deed = some_deed(SPAN("some text")), out;
	struct pulse_record rec;
	uint64_t lost;
	uint8_t mem[256];
	size_t n;

	(void)state;
	pulse_deed(b.p, 1, &deed);
	assert_true(pulse_next(b.r, &rec, &lost));
	n = rec.fields.n;
	memcpy(mem, rec.fields.p, n);
	for (size_t i = 0; i < n; i++)
		assert_false(pulse_deed_read(span_of(mem, i), &out));
	assert_false(pulse_deed_read(span_of(mem, n + 1), &out));
	for (size_t i = 0; i < n; i++)
		for (int bit = 0; bit < 8; bit++) {
			mem[i] ^= (uint8_t)(1 << bit);
			if (pulse_deed_read(span_of(mem, n), &out))
				assert_true(out.event < EVENT_COUNT &&
					    out.rule < RULE_COUNT &&
					    out.text.n <= LOG_TEXT_MAX);
			mem[i] ^= (uint8_t)(1 << bit);
		}
	close_both(&b);
}

static void a_reader_cannot_write(void **state)
{
	struct err err;
	int fd, read_fd;

	(void)state;
	assert_true(pulse_make(&fd, &read_fd, &err));
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, read_fd, 0),
			 MAP_FAILED);
	assert_int_equal(ftruncate(fd, 1), -1);
	close(fd);
	close(read_fd);
}

static void the_next_reader_goes_on_where_one_ended(void **state)
{
	struct err err;
	int fd, read_fd, held;
	struct pulse *p;
	struct pulse_reader *r, *killed;
	struct pulse_record rec;
	uint64_t lost;

	(void)state;
	assert_true(pulse_make(&fd, &read_fd, &err));
	held = dup(read_fd); /* as the supervisor does */
	assert_true(pulse_open(&p, fd, -1, &err));
	assert_true(pulse_reader_open(&r, read_fd, &err));
	for (uint64_t n = 0; n < 10; n++)
		log_number(p, n, 100, 1);
	while (pulse_next(r, &rec, &lost))
		;
	log_number(p, 10, 100, 1);
	killed = r; /* it says no goodbye */
	assert_true(pulse_reader_open(&r, held, &err));
	assert_true(pulse_next(r, &rec, &lost));
	assert_int_equal(number_of(&rec), 10);
	assert_int_equal(lost, 0);
	assert_false(pulse_next(r, &rec, &lost));
	pulse_close(&p);
	pulse_reader_close(&r);
	pulse_reader_close(&killed);
}

#define RACE 300000

struct race {
	struct pulse *p;
	_Atomic bool over;
};

static void *write_fast(void *arg)
{
	struct race *race = arg;

	for (uint64_t n = 0; n < RACE; n++)
		log_number(race->p, n, n * 31 % 1500, 1);
	atomic_store(&race->over, true);
	return NULL;
}

static void a_racing_writer_never_shows_a_torn_record(void **state)
{
	struct both b = open_both();
	struct race race = { .p = b.p };
	struct pulse_record r;
	pthread_t writer;
	uint64_t seen = 0, lost = 0, lost_all = 0;
	bool over;

	(void)state;
	assert_int_equal(pthread_create(&writer, NULL, write_fast, &race), 0);
	do {
		over = atomic_load(&race.over);
		while (pulse_next(b.r, &r, &lost)) {
			assert_int_equal(number_of(&r), seen + lost_all + lost);
			lost_all += lost;
			seen++;
		}
	} while (!over);
	pthread_join(writer, NULL);
	assert_int_equal(seen + lost_all, RACE);
	close_both(&b);
}

/* A role that was broken into writes what it likes over its mapping. */
static void a_mad_writer_neither_crashes_nor_stops_the_reader(void **state)
{
	struct err err;
	int fd, read_fd;
	struct pulse_reader *r;
	struct pulse_record rec;
	uint64_t lost, seed = 1;
	uint64_t *mem;
	off_t size;

	(void)state;
	assert_true(pulse_make(&fd, &read_fd, &err));
	assert_true(pulse_reader_open(&r, read_fd, &err));
	size = lseek(fd, 0, SEEK_END);
	mem = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(mem, MAP_FAILED);
	for (int round = 0; round < 2000; round++) {
		/* now and then plausible: small numbers, multiples of eight */
		for (size_t i = 1; i < 1000; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			mem[i] = round % 2 ? seed : (seed >> 50) * 8;
		}
		for (int n = 0; n < 50 && pulse_next(r, &rec, &lost); n++)
			assert_true(rec.kind < RECORD_COUNT &&
				    rec.fields.n <= LOG_RECORD_MAX);
	}
	munmap(mem, (size_t)size);
	pulse_reader_close(&r);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reader_sees_beats_counts_and_gauges),
		cmocka_unit_test(
			a_reader_finds_what_was_said_of_a_mailbox_server_by_its_name),
		cmocka_unit_test(a_record_arrives_whole),
		cmocka_unit_test(a_record_that_is_too_long_loses_its_last_fields),
		cmocka_unit_test(a_slow_reader_loses_text_and_knows_how_much),
		cmocka_unit_test(the_bell_rings_for_the_first_record_and_seldom_for_more),
		cmocka_unit_test(a_deed_arrives_whole_and_is_counted),
		cmocka_unit_test(a_deed_that_weighs_nothing_is_only_counted),
		cmocka_unit_test(half_a_deed_is_none),
		cmocka_unit_test(a_reader_cannot_write),
		cmocka_unit_test(the_next_reader_goes_on_where_one_ended),
		cmocka_unit_test(a_racing_writer_never_shows_a_torn_record),
		cmocka_unit_test(a_mad_writer_neither_crashes_nor_stops_the_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
