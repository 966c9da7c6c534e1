/*
 * Counts by key: exact while there is room, and the large ones are kept when there is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/tally.h"

static const uint64_t seed[2] = { 1, 2 };
static struct tally t;

static void add(const char *prefix, int n)
{
	char key[32];

	snprintf(key, sizeof(key), "%s%d", prefix, n);
	tally_add(&t, span_str(key), (unsigned)n % TALLY_COLUMNS, 10);
}

static int64_t total(void)
{
	int64_t sum = t.others.sum;

	for (size_t i = 0; i < t.used; i++)
		sum += t.row[i].sum;
	return sum;
}

static void few_keys_are_counted_exactly_and_sorted(void **state)
{
	(void)state;
	tally_init(&t, seed);
	for (int n = 1; n <= 100; n++)
		for (int i = 0; i < n; i++)
			add("key", n);
	tally_sort(&t);
	assert_int_equal(t.used, 100);
	assert_int_equal(t.others.sum, 0);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(t.row[i].sum, 100 - i);
		assert_int_equal(t.row[i].bytes, 10 * (100 - i));
	}
	assert_int_equal(t.row[0].column[0], 100);
}

static void nothing_is_lost_from_the_sum_however_many_keys(void **state)
{
	(void)state;
	tally_init(&t, seed);
	for (int i = 0; i < 100000; i++)
		add("key", i);
	assert_true(t.used <= TALLY_ROWS);
	assert_int_equal(total(), 100000);
}

static void a_large_one_is_found_even_if_it_begins_late(void **state)
{
	(void)state;
	tally_init(&t, seed);
	for (int i = 0; i < 50000; i++)
		add("key", i);
	for (int i = 0; i < 50000; i++) {
		add("late", 7);
		add("more", i);
	}
	tally_sort(&t);
	assert_true(span_eq(tally_key(&t.row[0]), SPAN("late7")));
	assert_true(t.row[0].sum > 49000);
	assert_int_equal(total(), 150000);
}

static void a_long_key_is_cut(void **state)
{
	uint8_t key[2 * TALLY_KEY] = { 0 };

	(void)state;
	tally_init(&t, seed);
	tally_add(&t, span_of(key, sizeof(key)), 0, 0);
	key[2 * TALLY_KEY - 1] = 1;
	tally_add(&t, span_of(key, sizeof(key)), 0, 0);
	assert_int_equal(t.used, 1);
	assert_int_equal(t.row[0].sum, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_keys_are_counted_exactly_and_sorted),
		cmocka_unit_test(nothing_is_lost_from_the_sum_however_many_keys),
		cmocka_unit_test(a_large_one_is_found_even_if_it_begins_late),
		cmocka_unit_test(a_long_key_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
