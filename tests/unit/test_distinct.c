#include <string.h>

#include "base/attr.h"
#include "expect.h"
#include "guard/distinct.h"

static void up_to_eight_are_counted_exactly(void **unused)
{
	struct distinct d = { 0 };
	uint64_t dices = 1;

	(void)unused;
	assert_int_equal(distinct_count(&d), 0);
	for (uint32_t n = 1; n <= DISTINCT_EXACT; n++) {
		assert_true(distinct_add(&d, dice(&dices)));
		assert_true(distinct_is_exact(&d));
		assert_int_equal(distinct_count(&d), n);
	}
}

static void the_same_again_changes_nothing(void **unused)
{
	struct distinct d = { 0 }, was;
	uint64_t dices = 1, hash[200];

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(hash); i++) {
		hash[i] = dice(&dices);
		(void)distinct_add(&d, hash[i]);
		was = d;
		for (size_t j = 0; j <= i; j++)
			assert_false(distinct_add(&d, hash[j]));
		assert_memory_equal(&was, &d, sizeof(d));
	}
}

static void zero_is_a_thing_like_any_other(void **unused)
{
	struct distinct d = { 0 };

	(void)unused;
	assert_true(distinct_add(&d, 0));
	assert_false(distinct_add(&d, 0));
	assert_int_equal(distinct_count(&d), 1);
}

static void the_ninth_is_new_and_makes_it_a_sketch(void **unused)
{
	struct distinct d = { 0 };
	uint64_t dices = 1;

	(void)unused;
	for (int i = 0; i < 9; i++)
		assert_true(distinct_add(&d, dice(&dices)));
	assert_false(distinct_is_exact(&d));
	assert_true(distinct_count(&d) >= 9);
}

static uint32_t count_of(uint64_t seed, size_t n)
{
	struct distinct d = { 0 };

	for (size_t i = 0; i < n; i++)
		(void)distinct_add(&d, dice(&seed));
	return distinct_count(&d);
}

/* 13 % is one standard deviation; of 200 sets the mean must be near, and none far off. */
static void large_sets_are_counted_to_about_13_percent(void **unused)
{
	static const size_t sizes[] = { 12,  20,  50,	100,   160,
					200, 500, 1000, 10000, 100000 };

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		size_t sets = sizes[i] > 5000 ? 30 : 200;
		double n = (double)sizes[i], sum = 0;

		for (size_t s = 0; s < sets; s++) {
			double c = count_of(s * 1000003 + i, sizes[i]);

			if (c < 0.45 * n || c > 1.75 * n)
				fail_msg("%zu were counted as %.0f", sizes[i], c);
			sum += c;
		}
		if (sum / (double)sets < 0.92 * n || sum / (double)sets > 1.08 * n)
			fail_msg("%zu are %.1f in the mean", sizes[i], sum / (double)sets);
	}
}

static void counts_never_fall(void **unused)
{
	struct distinct d = { 0 };
	uint64_t dices = 7;
	uint32_t was = 0;

	(void)unused;
	for (int i = 0; i < 20000; i++) {
		uint32_t is;

		(void)distinct_add(&d, dice(&dices));
		is = distinct_count(&d);
		assert_true(is >= was);
		was = is;
	}
}

static void two_sets_merged_are_the_set_of_both(void **unused)
{
	uint64_t dices = 3;

	(void)unused;
	for (int round = 0; round < 500; round++) {
		struct distinct a = { 0 }, b = { 0 }, both = { 0 };
		size_t n = dice_below(&dices, 30);

		for (size_t i = 0; i < n; i++) {
			uint64_t h = dice_below(&dices, 40) * UINT64_C(0x9e3779b97f4a7c15);
			size_t where = dice_below(&dices, 3);

			if (where != 1)
				(void)distinct_add(&a, h);
			if (where != 0)
				(void)distinct_add(&b, h);
			(void)distinct_add(&both, h);
		}
		distinct_merge(&a, &b);
		assert_int_equal(distinct_count(&a), distinct_count(&both));
	}
}

static void no_bytes_are_a_set_that_breaks_us(void **unused)
{
	uint64_t dices = 9;

	(void)unused;
	for (int i = 0; i < 100000; i++) {
		struct distinct d, e;

		for (size_t j = 0; j < sizeof(d); j++)
			((uint8_t *)&d)[j] = (uint8_t)dice(&dices);
		e = d;
		e.n = (uint8_t)dice(&dices);
		(void)distinct_add(&d, dice(&dices));
		(void)distinct_count(&d);
		distinct_merge(&d, &e);
		assert_true(distinct_count(&d) < 10000000);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(up_to_eight_are_counted_exactly),
		cmocka_unit_test(the_same_again_changes_nothing),
		cmocka_unit_test(zero_is_a_thing_like_any_other),
		cmocka_unit_test(the_ninth_is_new_and_makes_it_a_sketch),
		cmocka_unit_test(large_sets_are_counted_to_about_13_percent),
		cmocka_unit_test(counts_never_fall),
		cmocka_unit_test(two_sets_merged_are_the_set_of_both),
		cmocka_unit_test(no_bytes_are_a_set_that_breaks_us),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
