/* Who is expected to come in again. */
#include "expect.h"

#include "edge/lately.h"

static const uint64_t key[2] = { 11, 22 };

static void who_came_in_is_expected_again(void **state)
{
	struct addr a = addr_v4(192, 0, 2, 1), b = addr_v4(192, 0, 2, 2);
	static struct lately l;
	uint64_t who;

	(void)state;
	lately_init(&l, key);
	who = lately_who(&l, &a, SPAN("anna"));
	assert_false(lately_has(&l, who));
	lately_note(&l, who, true);
	assert_true(lately_has(&l, who));
	assert_false(lately_has(&l, lately_who(&l, &b, SPAN("anna"))));
	assert_false(lately_has(&l, lately_who(&l, &a, SPAN("annb"))));
}

static void until_they_are_refused(void **state)
{
	struct addr a = addr_v4(192, 0, 2, 1);
	static struct lately l;
	uint64_t who;

	(void)state;
	lately_init(&l, key);
	who = lately_who(&l, &a, SPAN("anna"));
	lately_note(&l, who, true);
	lately_note(&l, who, false);
	assert_false(lately_has(&l, who));
}

static void one_who_takes_a_place_is_not_forgotten_for_the_other(void **state)
{
	static struct lately l;
	uint64_t one = 5, other = 5 + LATELY_PLACES;

	(void)state;
	lately_init(&l, key);
	lately_note(&l, one, true);
	lately_note(&l, other, true);
	assert_false(lately_has(&l, one));
	lately_note(&l, one, false);
	assert_true(lately_has(&l, other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_came_in_is_expected_again),
		cmocka_unit_test(until_they_are_refused),
		cmocka_unit_test(one_who_takes_a_place_is_not_forgotten_for_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
