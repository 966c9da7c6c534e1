/*
 * The promise: records written and records in summaries are all that were seen, whatever
 * the number of sources.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "watch/fold.h"

static struct fold f;
static struct fold_sum sums[FOLD_SUMS];

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void the_first_few_are_written_and_the_rest_is_summed_up(void **state)
{
	(void)state;
	fold_init(&f, 1);
	for (int i = 0; i < 100; i++) {
		enum fold_say want = i < 5 ? FOLD_WRITE : FOLD_COUNT;

		assert_int_equal(fold_see(&f, LOG_OFFENCE, SPAN("a"), 1000 + i, 5), want);
	}
	assert_int_equal(fold_end(&f, sums), 1);
	assert_int_equal(sums[0].kind, LOG_OFFENCE);
	assert_true(span_eq(sums[0].source, SPAN("a")));
	assert_int_equal(sums[0].count, 95);
	assert_int_equal(sums[0].first, 1005);
	assert_int_equal(sums[0].last, 1099);
}

static void each_interval_starts_anew(void **state)
{
	(void)state;
	fold_init(&f, 1);
	assert_int_equal(fold_see(&f, LOG_DEAD, SPAN("a"), 0, 1), FOLD_WRITE);
	assert_int_equal(fold_see(&f, LOG_DEAD, SPAN("a"), 0, 1), FOLD_COUNT);
	assert_int_equal(fold_end(&f, sums), 1);
	assert_int_equal(fold_see(&f, LOG_DEAD, SPAN("a"), 0, 1), FOLD_WRITE);
	assert_int_equal(fold_end(&f, sums), 0);
}

static void kinds_and_sources_do_not_share_their_first_few(void **state)
{
	(void)state;
	fold_init(&f, 1);
	assert_int_equal(fold_see(&f, LOG_DEAD, SPAN("a"), 0, 1), FOLD_WRITE);
	assert_int_equal(fold_see(&f, LOG_TROUBLE, SPAN("a"), 0, 1), FOLD_WRITE);
	assert_int_equal(fold_see(&f, LOG_DEAD, SPAN("b"), 0, 1), FOLD_WRITE);
	assert_int_equal(fold_see(&f, LOG_DEAD, SPAN(""), 0, 1), FOLD_WRITE);
	assert_int_equal(fold_see(&f, LOG_DEAD, SPAN("a"), 0, 1), FOLD_COUNT);
}

static void the_clock_may_go_back(void **state)
{
	(void)state;
	fold_init(&f, 1);
	for (int64_t wall = 100; wall > 90; wall--)
		(void)fold_see(&f, LOG_DEAD, SPAN("a"), wall, 1);
	assert_int_equal(fold_end(&f, sums), 1);
	assert_int_equal(sums[0].first, 91);
	assert_int_equal(sums[0].last, 99);
}

static void the_worst_sources_are_named_and_the_others_summed_up(void **state)
{
	char name[16];

	(void)state;
	fold_init(&f, 1);
	for (int i = 0; i < 100; i++)
		for (int n = 0; n < 2 + i; n++) {
			snprintf(name, sizeof(name), "s%d", i);
			(void)fold_see(&f, LOG_OFFENCE, span_str(name), n, 1);
		}
	assert_int_equal(fold_end(&f, sums), FOLD_NAMED + 1);
	for (size_t i = 0; i < FOLD_NAMED; i++)
		assert_int_equal(sums[i].count, 100 - i);
	assert_int_equal(sums[FOLD_NAMED].source.n, 0);
	assert_int_equal(sums[FOLD_NAMED].sources, 36);
	assert_int_equal(sums[FOLD_NAMED].count, 36 * 37 / 2);
}

static void one_loud_source_is_not_crowded_out_by_many_quiet_ones(void **state)
{
	(void)state;
	fold_init(&f, 1);
	for (uint64_t i = 0; i < 100; i++)
		(void)fold_see(&f, LOG_OFFENCE, SPAN("loud"), 0, 5);
	for (uint64_t i = 0; i < 1000000; i++)
		(void)fold_see(&f, LOG_OFFENCE, span_of(&i, sizeof(i)), 0, 5);
	assert_int_equal(fold_see(&f, LOG_OFFENCE, SPAN("loud"), 0, 5), FOLD_COUNT);
	assert_true(fold_end(&f, sums) >= 1);
	assert_true(span_eq(sums[0].source, SPAN("loud")));
	assert_int_equal(sums[0].count, 96);
}

static void counts_are_exact_whatever_comes(void **state)
{
	uint64_t seed = 0xf01d;

	(void)state;
	for (int round = 0; round < 50; round++) {
		uint64_t sources = (uint64_t)1 << next_random(&seed) % 18;
		uint64_t full = next_random(&seed) % 4;
		uint64_t seen[RECORD_COUNT] = { 0 }, told[RECORD_COUNT] = { 0 };

		fold_init(&f, next_random(&seed));
		for (int i = 0; i < 40000; i++) {
			enum record kind = 1 + next_random(&seed) % (RECORD_COUNT - 1);
			uint64_t from = next_random(&seed) % sources;

			seen[kind]++;
			if (fold_see(&f, kind, span_of(&from, sizeof(from)), i, full) ==
			    FOLD_WRITE)
				told[kind]++;
			if (i % 10000 != 9999)
				continue;
			for (size_t n = fold_end(&f, sums); n > 0; n--) {
				assert_in_range(sums[n - 1].first, i - 9999, i);
				assert_in_range(sums[n - 1].last, sums[n - 1].first, i);
				told[sums[n - 1].kind] += sums[n - 1].count;
			}
		}
		assert_memory_equal(seen, told, sizeof(seen));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_few_are_written_and_the_rest_is_summed_up),
		cmocka_unit_test(each_interval_starts_anew),
		cmocka_unit_test(kinds_and_sources_do_not_share_their_first_few),
		cmocka_unit_test(the_clock_may_go_back),
		cmocka_unit_test(the_worst_sources_are_named_and_the_others_summed_up),
		cmocka_unit_test(one_loud_source_is_not_crowded_out_by_many_quiet_ones),
		cmocka_unit_test(counts_are_exact_whatever_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
