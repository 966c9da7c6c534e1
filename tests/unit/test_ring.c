#include "expect.h"

#include "base/ring.h"

#define NAMES 20000

static const char *const members[] = { "a", "b", "c", "d" };

static size_t choose(size_t count, const uint32_t *weights, unsigned name)
{
	uint64_t nearest = UINT64_MAX;
	size_t best = 0;
	BUF(text, 40);

	buf_fmt(&text, "user%u@example.org", name);
	for (size_t i = 0; i < count; i++) {
		uint64_t d;

		if (!weights[i])
			continue;
		d = ring_distance(span_str(members[i]), buf_span(&text), weights[i]);
		if (d < nearest) {
			nearest = d;
			best = i;
		}
	}
	return best;
}

static void each_has_as_many_names_as_its_weight_says(void **state)
{
	const uint32_t weights[] = { 1, 2, 3, 4 };
	unsigned got[4] = { 0 };

	(void)state;
	for (unsigned n = 0; n < NAMES; n++)
		got[choose(4, weights, n)]++;
	for (size_t i = 0; i < 4; i++)
		assert_in_range(got[i], NAMES / 10 * weights[i] * 95 / 100,
				NAMES / 10 * weights[i] * 105 / 100);
}

static void when_one_leaves_only_its_names_move(void **state)
{
	const uint32_t all[] = { 1, 1, 2, 1 }, without[] = { 1, 1, 0, 1 };
	unsigned moved[4] = { 0 };

	(void)state;
	for (unsigned n = 0; n < NAMES; n++) {
		size_t before = choose(4, all, n), after = choose(4, without, n);

		if (before != 2)
			assert_int_equal(after, before);
		else
			moved[after]++;
	}
	/* and they are shared by all others */
	assert_true(moved[0] > NAMES / 10 && moved[1] > NAMES / 10 &&
		    moved[3] > NAMES / 10);
}

static void a_greater_weight_takes_names_and_gives_none(void **state)
{
	const uint32_t before[] = { 1, 1, 1, 1 }, after[] = { 1, 3, 1, 1 };

	(void)state;
	for (unsigned n = 0; n < NAMES; n++) {
		size_t was = choose(4, before, n), is = choose(4, after, n);

		if (is != was)
			assert_int_equal(is, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_has_as_many_names_as_its_weight_says),
		cmocka_unit_test(when_one_leaves_only_its_names_move),
		cmocka_unit_test(a_greater_weight_takes_names_and_gives_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
