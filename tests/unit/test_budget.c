/*
 * The promise: whatever is asked for, whenever, the bytes let through in any 60 minutes
 * are never more than the budget of one hour.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "watch/budget.h"

#define ROUNDS 200
#define TAKES  4000

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void a_fresh_bucket_gives_half_of_the_hour_at_once(void **state)
{
	struct budget b;

	(void)state;
	budget_init(&b, 64 << 10, 5);
	assert_true(budget_take(&b, BUDGET_LAST, 32 << 10, 5));
	assert_false(budget_take(&b, BUDGET_LAST, 1, 5));
}

static void what_peers_cause_leaves_an_eighth_alone(void **state)
{
	struct budget b;
	size_t taken = 0;

	(void)state;
	budget_init(&b, 64 << 10, 0);
	while (budget_take(&b, BUDGET_PEER, 100, 0))
		taken += 100;
	assert_true(taken <= (32 << 10) - (8 << 10));
	assert_true(taken > (32 << 10) - (8 << 10) - 100);
	while (budget_take(&b, BUDGET_OURS, 100, 0))
		taken += 100;
	assert_true(taken <= (32 << 10) - (1 << 10));
	assert_true(taken > (32 << 10) - (1 << 10) - 100);
	assert_true(budget_take(&b, BUDGET_LAST, 100, 0));
}

static void an_empty_bucket_fills_at_half_an_hours_bytes_an_hour(void **state)
{
	struct budget b;

	(void)state;
	budget_init(&b, 7200, 0);
	assert_true(budget_take(&b, BUDGET_LAST, 3600, 0));
	assert_false(budget_take(&b, BUDGET_LAST, 1, 999));
	assert_true(budget_take(&b, BUDGET_LAST, 1, 1000));
	assert_false(budget_take(&b, BUDGET_LAST, 1, 1000));
	assert_true(budget_take(&b, BUDGET_LAST, 1800, 1000 + MS_HOUR / 2));
	assert_false(budget_take(&b, BUDGET_LAST, 3601, 100 * MS_HOUR));
	assert_true(budget_take(&b, BUDGET_LAST, 3600, 100 * MS_HOUR));
}

static void a_clock_that_goes_back_gives_nothing(void **state)
{
	struct budget b;

	(void)state;
	budget_init(&b, 7200, MS_HOUR);
	assert_true(budget_take(&b, BUDGET_LAST, 3600, MS_HOUR));
	assert_false(budget_take(&b, BUDGET_LAST, 1, 0));
	assert_false(budget_take(&b, BUDGET_LAST, 1, MS_HOUR));
}

static void a_change_keeps_what_was_used(void **state)
{
	struct budget b;

	(void)state;
	budget_init(&b, 10000, 0);
	assert_true(budget_take(&b, BUDGET_LAST, 4000, 0));
	budget_change(&b, 20000, 0);
	assert_int_equal(budget_left(&b), 6000);
	budget_change(&b, 2000, 0);
	assert_int_equal(budget_left(&b), 0);
}

static void a_new_process_goes_on_where_the_old_one_stopped(void **state)
{
	struct budget b;

	(void)state;
	budget_init(&b, 7200, 10 * MS_HOUR);
	budget_resume(&b, 10, 30 * MS_SECOND);
	assert_int_equal(budget_left(&b), 40);
	budget_resume(&b, 1 << 30, 0);
	assert_int_equal(budget_left(&b), 3600);
	budget_resume(&b, -5, -7);
	assert_int_equal(budget_left(&b), 0);
	budget_resume(&b, 0, INT64_MAX / 2);
	assert_int_equal(budget_left(&b), 3600);
}

static void no_sixty_minutes_ever_hold_more_than_the_budget(void **state)
{
	static ms_t when[TAKES];
	static size_t bytes[TAKES];
	uint64_t seed = 0x5eed;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		int64_t per_hour = 1000 + (int64_t)(next_random(&seed) % 100000);
		ms_t pace = (ms_t)1 << next_random(&seed) % 18, now = 0;
		size_t in_window = 0, start = 0;
		struct budget b;

		budget_init(&b, per_hour, now);
		for (size_t i = 0; i < TAKES; i++) {
			size_t n = 1 + next_random(&seed) % ((size_t)per_hour / 8);
			enum budget_rank rank = next_random(&seed) % 3;

			now += (ms_t)(next_random(&seed) % (uint64_t)pace);
			when[i] = now;
			bytes[i] = budget_take(&b, rank, n, now) ? n : 0;
			in_window += bytes[i];
			while (when[start] <= now - MS_HOUR)
				in_window -= bytes[start++];
			assert_true(in_window <= (size_t)per_hour);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fresh_bucket_gives_half_of_the_hour_at_once),
		cmocka_unit_test(what_peers_cause_leaves_an_eighth_alone),
		cmocka_unit_test(an_empty_bucket_fills_at_half_an_hours_bytes_an_hour),
		cmocka_unit_test(a_clock_that_goes_back_gives_nothing),
		cmocka_unit_test(a_change_keeps_what_was_used),
		cmocka_unit_test(a_new_process_goes_on_where_the_old_one_stopped),
		cmocka_unit_test(no_sixty_minutes_ever_hold_more_than_the_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
