#include <string.h>

#include "base/siphash.h"
#include "guard/snapshot.h"
#include "tests/unit/remember.h"

#define NOW    (MS_HOUR * 1000)
#define WALL   INT64_C(1790000000000)
#define PEOPLE 500
#define PAUSE  64 /* seconds, one that is kept exactly */

static const struct memory_shape shape = { 64, 4096, 1, 1 };

/* Whoever is n: some banned, some good, some who offended. */
static void remember_people(const struct memory *m, uint32_t from, uint32_t to)
{
	for (uint32_t n = from; n < to; n++) {
		struct guard_hot *row = memory_open_row(m, nth_key(n), NOW);

		assert_non_null(row);
		row->last = row->points_at = memory_second(NOW - (ms_t)n * MS_MINUTE);
		row->slow = (float)(n % 64);
		row->good = n % 3 ? 0 : n;
		row->visits = n % 5;
		row->connects = n;
		row->flags = n % 7 ? 0 : HOT_PASSED;
		if (n % 2) {
			row->ban = (struct guard_ban){
				.since = memory_second(NOW) - 100,
				.until = memory_second(NOW) + n * 60,
				.step = STEP_KERNEL,
				.rule = (uint8_t)(n % (RULE_COUNT - 1) + 1),
				.level = (uint8_t)(n % 9),
			};
			row->last = memory_second(NOW) - 50;
		}
		row->first = row->last - (n < 2 ? 0 : PAUSE * (n - 1));
		memory_close_row(m, row);
	}
}

struct disk {
	uint8_t *mem;
	struct buf buf;
};

static void write_disk(const struct remember *r, struct disk *d)
{
	d->mem = malloc(snapshot_room(&r->m));
	assert_non_null(d->mem);
	buf_init(&d->buf, d->mem, snapshot_room(&r->m));
	assert_true(snapshot_write(&r->m, NOW, WALL, &d->buf));
	assert_true(d->buf.len % SNAPSHOT_ROW == 0);
}

static void same_but_older(const struct remember *was, const struct remember *is,
			   int64_t shift, uint32_t from, uint32_t to)
{
	for (uint32_t n = from; n < to; n++) {
		struct guard_hot a, b;

		assert_true(memory_peek(&was->m, nth_key(n), &a));
		assert_true(memory_peek(&is->m, nth_key(n), &b));
		assert_int_equal(b.last, a.last + shift);
		assert_int_equal(b.ban.until, a.ban.until ? a.ban.until + shift : 0);
		assert_int_equal(b.ban.level, a.ban.level);
		assert_int_equal(b.ban.rule, a.ban.rule);
		assert_int_equal(b.ban.step, a.ban.step);
		assert_int_equal(b.good, a.good);
		assert_int_equal(b.visits, a.visits);
		assert_int_equal(b.connects, a.connects);
		assert_int_equal(b.last - b.first, n < 2 ? 0 : PAUSE * (n - 1));
		assert_int_equal(b.flags, a.flags);
		assert_true(b.points_at == a.points_at + shift || n % 2);
		assert_float_equal(b.slow, a.slow,
				   (n % 2 ? 3.0F : 0.07F)); /* odd ones fade a little */
	}
}

static void what_was_written_is_read_into_a_memory_whose_clock_began_elsewhere(void **unused)
{
	struct remember a, b;
	struct disk d;
	size_t torn;

	(void)unused;
	remember_open(&a, shape);
	remember_open(&b, shape);
	remember_people(&a.m, 0, PEOPLE);
	write_disk(&a, &d);
	assert_int_equal(d.buf.len, SNAPSHOT_HEAD + PEOPLE * SNAPSHOT_ROW);
	assert_int_equal(snapshot_read(&b.m, buf_span(&d.buf), 5000, WALL, &torn), PEOPLE);
	assert_int_equal(torn, 0);
	same_but_older(&a, &b, 5 - NOW / 1000, 0, PEOPLE);
	free(d.mem);
	remember_close(&a);
	remember_close(&b);
}

/* clang-format off */
static const struct {
	const char *why;
	int64_t wall; /* when it is read */
	int64_t away; /* seconds that count */
} aways[] = {
	{ "at once",                        WALL, 0 },
	{ "an hour",                        WALL + MS_HOUR, 3600 },
	{ "a year",                         WALL + 365 * MS_DAY, 365 * 86400 },
	{ "a clock that went back",         WALL - MS_DAY, 0 },
	{ "a clock that is at its beginning", 0, 0 },
	{ "a clock before that",            INT64_MIN, 0 },
	{ "a clock far ahead",              WALL + 10000 * MS_DAY, 0 },
	{ "a clock at its end",             INT64_MAX, 0 },
};
/* clang-format on */

static void the_time_that_nobody_was_running_counts_if_it_can_be_true(void **unused)
{
	struct remember a;
	struct disk d;

	(void)unused;
	remember_open(&a, shape);
	remember_people(&a.m, 0, PEOPLE);
	write_disk(&a, &d);
	for (size_t i = 0; i < sizeof(aways) / sizeof(aways[0]); i++) {
		struct remember b;
		size_t torn;

		remember_open(&b, shape);
		expect_number(aways[i].why,
			      (int64_t)snapshot_read(&b.m, buf_span(&d.buf), NOW,
						     aways[i].wall, &torn),
			      PEOPLE);
		same_but_older(&a, &b, -aways[i].away, 0, PEOPLE);
		remember_close(&b);
	}
	free(d.mem);
	remember_close(&a);
}

static void what_is_known_already_wins(void **unused)
{
	struct guard_hot *row, out;
	struct remember a, b;
	struct disk d;
	size_t torn;

	(void)unused;
	remember_open(&a, shape);
	remember_open(&b, shape);
	remember_people(&a.m, 0, 10);
	write_disk(&a, &d);
	row = memory_open_row(&b.m, nth_key(3), NOW);
	row->connects = 999;
	memory_close_row(&b.m, row);
	assert_int_equal(snapshot_read(&b.m, buf_span(&d.buf), NOW, WALL, &torn), 9);
	assert_int_equal(torn, 0);
	assert_true(memory_peek(&b.m, nth_key(3), &out));
	assert_int_equal(out.connects, 999);
	/* and twice is once */
	assert_int_equal(snapshot_read(&b.m, buf_span(&d.buf), NOW, WALL, &torn), 0);
	free(d.mem);
	remember_close(&a);
	remember_close(&b);
}

/* An edge serves before another one has merged what an earlier life knew. */
static void who_comes_back_before_the_merge_keeps_its_ban(void **unused)
{
	struct guard_hot *row, out;
	struct remember a, b;
	struct disk d;
	size_t torn;

	(void)unused;
	remember_open(&a, shape);
	remember_open(&b, shape);
	row = memory_open_row(&a.m, nth_key(3), NOW);
	row->last = row->first = memory_second(NOW);
	row->ban.since = memory_second(NOW);
	row->ban.until = memory_second(NOW) + 3600;
	row->ban.step = STEP_REFUSE;
	row->ban.rule = RULE_POINTS;
	row->ban.level = 2;
	row->visits = 7;
	memory_close_row(&a.m, row);
	write_disk(&a, &d);
	row = memory_open_row(&b.m, nth_key(3), NOW);
	row->connects = 5;
	memory_close_row(&b.m, row);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(snapshot_read(&b.m, buf_span(&d.buf), NOW, WALL, &torn),
				 0);
		assert_true(memory_peek(&b.m, nth_key(3), &out));
		assert_int_equal(out.ban.step, STEP_REFUSE);
		assert_int_equal(out.ban.rule, RULE_POINTS);
		assert_int_equal(out.ban.level, 2);
		assert_int_equal(out.visits, 7);
		assert_int_equal(out.connects, 5);
	}
	free(d.mem);
	remember_close(&a);
	remember_close(&b);
}

/* One bit anywhere: that row is left out, and no other. */
static void a_flipped_bit_costs_one_row(void **unused)
{
	struct remember a;
	struct disk d;

	(void)unused;
	remember_open(&a, shape);
	remember_people(&a.m, 0, 8);
	write_disk(&a, &d);
	for (size_t at = 0; at < d.buf.len; at++) {
		struct remember b;
		size_t torn, taken;

		remember_open(&b, (struct memory_shape){ 8, 64, 1, 1 });
		d.mem[at] ^= (uint8_t)(1u << at % 8);
		taken = snapshot_read(&b.m, buf_span(&d.buf), NOW, WALL, &torn);
		d.mem[at] ^= (uint8_t)(1u << at % 8);
		if (taken != (at < SNAPSHOT_HEAD ? 8 : 7) || torn != 8 - taken)
			fail_msg("byte %zu: %zu taken, %zu torn", at, taken, torn);
		remember_close(&b);
	}
	free(d.mem);
	remember_close(&a);
}

static void what_was_cut_off_is_counted_and_the_rest_is_read(void **unused)
{
	struct remember a;
	struct disk d;

	(void)unused;
	remember_open(&a, shape);
	remember_people(&a.m, 0, 8);
	write_disk(&a, &d);
	for (size_t n = 0; n < d.buf.len; n++) {
		size_t torn, taken, whole;
		struct remember b;

		remember_open(&b, (struct memory_shape){ 8, 64, 1, 1 });
		taken = snapshot_read(&b.m, span_of(d.mem, n), NOW, WALL, &torn);
		whole = n < SNAPSHOT_HEAD ? 0 : (n - SNAPSHOT_HEAD) / SNAPSHOT_ROW;
		assert_int_equal(taken, whole);
		assert_true(n < SNAPSHOT_HEAD || taken + torn == 8);
		remember_close(&b);
	}
	free(d.mem);
	remember_close(&a);
}

static void put_number(uint8_t *at, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		at[i] = (uint8_t)(v >> (8 * i));
}

/* As the first version wrote it: connections in sixteen bits, and no pauses. */
static void make_it_old(struct disk *d, uint32_t connects)
{
	static const uint64_t key[2] = { UINT64_C(0x736e617073686f74), 1 };
	uint8_t *head = d->mem;

	put_number(head + 8, 1, 4);
	put_number(head + SNAPSHOT_HEAD - 8,
		   siphash(key, span_of(head, SNAPSHOT_HEAD - 8)), 8);
	for (size_t at = SNAPSHOT_HEAD; at < d->buf.len; at += SNAPSHOT_ROW) {
		uint8_t *row = d->mem + at;

		put_number(row + 26, connects, 2);
		put_number(row + 30, siphash(key, span_of(row, 30)), 2);
	}
}

static void a_snapshot_of_the_version_before_is_read_too(void **unused)
{
	static const struct {
		uint32_t was, is;
	} connects[] = { { 0, 0 }, { 7, 7 }, { 0x8005, 1023 }, { 65535, 1023 } };

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(connects); i++) {
		struct guard_hot out;
		struct remember a, b;
		struct disk d;
		size_t torn;

		remember_open(&a, shape);
		remember_open(&b, shape);
		remember_people(&a.m, 0, 8);
		write_disk(&a, &d);
		make_it_old(&d, connects[i].was);
		assert_int_equal(snapshot_read(&b.m, buf_span(&d.buf), NOW,
					       WALL + MS_HOUR, &torn),
				 8);
		assert_int_equal(torn, 0);
		for (uint32_t n = 0; n < 8; n++) {
			assert_true(memory_peek(&b.m, nth_key(n), &out));
			assert_int_equal(out.connects, connects[i].is);
			assert_int_equal(out.first, out.last);
			assert_int_equal(out.visits, n % 5);
		}
		assert_int_equal(out.last, memory_second(NOW) - 50 - 3600);
		free(d.mem);
		remember_close(&a);
		remember_close(&b);
	}
}

static void a_buffer_that_is_too_small_is_told(void **unused)
{
	static uint8_t mem[SNAPSHOT_HEAD + 8 * SNAPSHOT_ROW];
	struct remember a;
	struct buf out;

	(void)unused;
	remember_open(&a, shape);
	remember_people(&a.m, 0, 8);
	for (size_t n = 0; n <= sizeof(mem); n++) {
		buf_init(&out, mem, n);
		assert_int_equal(snapshot_write(&a.m, NOW, WALL, &out), n == sizeof(mem));
	}
	remember_close(&a);
}

static void a_snapshot_larger_than_the_memory_leaves_what_matters_most(void **unused)
{
	struct memory_counts counts;
	struct guard_hot out;
	struct remember a, b;
	size_t torn, banned = 0;
	struct disk d;

	(void)unused;
	remember_open(&a, shape);
	remember_open(&b, (struct memory_shape){ 8, 256, 1, 1 });
	remember_people(&a.m, 1, 1500);
	write_disk(&a, &d);
	(void)snapshot_read(&b.m, buf_span(&d.buf), NOW, WALL, &torn);
	memory_counts(&b.m, &counts);
	assert_int_equal(counts.cold_used, 256);
	for (uint32_t n = 1; n < 1500; n += 2)
		banned += memory_peek(&b.m, nth_key(n), &out);
	assert_int_equal(banned, 256);
	free(d.mem);
	remember_close(&a);
	remember_close(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			what_was_written_is_read_into_a_memory_whose_clock_began_elsewhere),
		cmocka_unit_test(the_time_that_nobody_was_running_counts_if_it_can_be_true),
		cmocka_unit_test(what_is_known_already_wins),
		cmocka_unit_test(who_comes_back_before_the_merge_keeps_its_ban),
		cmocka_unit_test(a_flipped_bit_costs_one_row),
		cmocka_unit_test(what_was_cut_off_is_counted_and_the_rest_is_read),
		cmocka_unit_test(a_snapshot_of_the_version_before_is_read_too),
		cmocka_unit_test(a_buffer_that_is_too_small_is_told),
		cmocka_unit_test(
			a_snapshot_larger_than_the_memory_leaves_what_matters_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
