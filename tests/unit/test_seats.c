#include <string.h>

#include "tests/unit/remember.h"

#define NOW (MS_HOUR * 1000)

static const struct memory_shape shape = { 1024, 1024, 3, 5000 };

static struct seat seat_of(uint32_t n)
{
	return (struct seat){ .session = n,
			      .peer = nth_addr(n),
			      .opened = NOW + n,
			      .state = SEAT_TALKS,
			      .name_n = 4,
			      .name = "host" };
}

static void what_a_worker_writes_everybody_reads(void **unused)
{
	struct remember r;
	struct memory other;
	struct seat s = seat_of(7), out;
	uint32_t n;

	(void)unused;
	remember_open(&r, shape);
	other = remember_as(&r, 1);
	n = seat_take(&r.m, &s);
	assert_int_equal(n, 0);
	assert_int_equal(memory_sessions(&other), 1);
	assert_true(seat_read(&other, 0, n, &out));
	assert_memory_equal(&out, &s, sizeof(s));
	assert_memory_equal(seat_own(&r.m, n), &s, sizeof(s));
	s.state = SEAT_BODY;
	s.bytes = 1000;
	seat_write(&r.m, n, &s);
	assert_true(seat_read(&other, 0, n, &out));
	assert_int_equal(out.state, SEAT_BODY);
	assert_int_equal(out.bytes, 1000);
	assert_false(seat_read(&other, 1, n, &out));
	assert_false(seat_read(&other, 0, n + 1, &out));
	seat_leave(&r.m, n);
	assert_false(seat_read(&other, 0, n, &out));
	assert_int_equal(memory_sessions(&other), 0);
	remember_close(&r);
}

static void seats_outside_are_nobodys(void **unused)
{
	struct remember r;
	struct seat out;

	(void)unused;
	remember_open(&r, shape);
	assert_false(seat_read(&r.m, 3, 0, &out));
	assert_false(seat_read(&r.m, UINT32_MAX, 0, &out));
	assert_false(seat_read(&r.m, 0, 5000, &out));
	assert_false(seat_read(&r.m, 0, SEAT_NONE, &out));
	assert_int_equal(seats_high(&r.m, 3), 0);
	assert_int_equal(seats_workers(&r.m), 3);
	assert_int_equal(seats_room(&r.m), 5000);
	remember_close(&r);
}

/* Against a model that looks through all of them. */
static void the_lowest_free_seat_is_given_out(void **unused)
{
	static const uint32_t rooms[] = { 1, 63, 64, 65, 100, 4095, 4096, 4097, 5000 };

	(void)unused;
	for (size_t r = 0; r < sizeof(rooms) / sizeof(rooms[0]); r++) {
		static bool taken[5000];
		uint32_t room = rooms[r], low = 0, count = 0, high = 0;
		uint64_t dices = room;
		struct remember mem;

		memset(taken, 0, sizeof(taken));
		remember_open(&mem, (struct memory_shape){ 8, 8, 2, room });
		for (uint32_t step = 0; step < 6 * room + 20; step++) {
			uint32_t n = (uint32_t)dice_below(&dices, room);
			struct seat s = seat_of(step);

			if (step > 2 * room && dice_below(&dices, 2)) {
				seat_leave(&mem.m, n); /* also of a free one */
				count -= taken[n];
				taken[n] = false;
				low = n < low ? n : low;
			} else {
				while (low < room && taken[low])
					low++;
				n = seat_take(&mem.m, &s);
				assert_int_equal(n, low < room ? low : SEAT_NONE);
				if (n == SEAT_NONE)
					continue;
				taken[n] = true;
				count++;
				high = n + 1 > high ? n + 1 : high;
			}
			assert_int_equal(memory_sessions(&mem.m), count);
			assert_int_equal(seats_high(&mem.m, 0), high);
		}
		remember_close(&mem);
	}
}

static void seats_that_were_never_taken_cost_no_memory(void **unused)
{
	struct memory_shape large = { 1024, 1024, 16, SEATS_MAX };
	size_t pages, used = 0;
	struct remember r;
	unsigned char *in;

	(void)unused;
	remember_open(&r, large);
	assert_true(r.n > (size_t)300 << 20);
	for (uint32_t i = 0; i < 1000; i++) {
		struct seat s = seat_of(i);

		seat_leave(&r.m, seat_take(&r.m, &s));
	}
	pages = r.n / 4096;
	in = calloc(pages, 1);
	assert_non_null(in);
	assert_int_equal(mincore(r.mem, r.n, in), 0);
	for (size_t i = 0; i < pages; i++)
		used += in[i] & 1;
	free(in);
	/* where the kernel gives whole huge pages, a few of those */
	if (used > 4 * 512)
		fail_msg("%zu pages", used);
	remember_close(&r);
}

static void a_broken_seat_is_not_shown(void **unused)
{
	struct remember r;
	struct seat s = seat_of(1), out;
	struct seat *own;
	uint32_t n;

	(void)unused;
	remember_open(&r, shape);
	n = seat_take(&r.m, &s);
	own = (struct seat *)(uintptr_t)seat_own(&r.m, n);
	own->state = SEAT_STATES;
	assert_false(seat_read(&r.m, 0, n, &out));
	own->state = SEAT_TALKS;
	own->name_n = SEAT_NAME + 1;
	assert_false(seat_read(&r.m, 0, n, &out));
	own->name_n = 0;
	assert_true(seat_read(&r.m, 0, n, &out));
	remember_close(&r);
}

static uint32_t sessions_of(const struct memory *m, const struct addr *a,
			    enum guard_level level)
{
	struct guard_hot row;

	return memory_peek(m, guard_key_of(a, level), &row) ? row.sessions : 0;
}

static void here(const struct memory *m, const struct addr *a)
{
	for (int l = 0; l < LEVEL_COUNT; l++) {
		struct guard_hot *row = memory_open_row(
			m, guard_key_of(a, (enum guard_level)l), NOW);

		assert_non_null(row);
		row->sessions++;
		memory_close_row(m, row);
	}
}

static void the_sessions_of_a_dead_worker_are_taken_back(void **unused)
{
	struct addr a = nth_addr(0x0a000001);
	struct remember r;
	struct memory dying;

	(void)unused;
	remember_open(&r, shape);
	dying = remember_as(&r, 1);
	for (uint32_t i = 0; i < 100; i++) {
		const struct memory *m = i % 2 ? &dying : &r.m;
		struct seat s = seat_of(0x0a000001);

		if (i % 10 < 8)
			here(m, &a);
		else
			s.apart = 1;
		assert_true(seat_take(m, &s) != SEAT_NONE);
	}
	(void)memory_delayed(&dying, 5);
	assert_int_equal(memory_sessions(&r.m), 100);
	assert_int_equal(sessions_of(&r.m, &a, LEVEL_CLIENT), 80);
	for (int twice = 0; twice < 2; twice++) {
		memory_mend(&r.m, 1);
		seats_mend(&r.m, 1);
		for (int l = 0; l < LEVEL_COUNT; l++)
			assert_int_equal(sessions_of(&r.m, &a, (enum guard_level)l), 40);
		assert_int_equal(memory_sessions(&r.m), 50);
		assert_int_equal(memory_delayed(&r.m, 0), 0);
		assert_int_equal(seats_high(&r.m, 1), 0);
	}
	/* a successor begins at the front */
	assert_int_equal(seat_take(&dying, &(struct seat){ .state = SEAT_TALKS }), 0);
	seats_mend(&r.m, 3); /* there is none of that number */
	seats_mend(&r.m, UINT32_MAX);
	remember_close(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_worker_writes_everybody_reads),
		cmocka_unit_test(seats_outside_are_nobodys),
		cmocka_unit_test(the_lowest_free_seat_is_given_out),
		cmocka_unit_test(seats_that_were_never_taken_cost_no_memory),
		cmocka_unit_test(a_broken_seat_is_not_shown),
		cmocka_unit_test(the_sessions_of_a_dead_worker_are_taken_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
