#include "expect.h"

#include "rehearse/timers.h"

#define MOST 300

static struct timers open_timers(void)
{
	struct timers t;
	struct err e;

	assert_true(timers_open(&t, MOST, &e));
	return t;
}

static void who_is_put_off_is_woken_early_and_not_late(void **state)
{
	struct timers t = open_timers();
	uint32_t who;

	(void)state;
	timers_put(&t, 7, 100);
	timers_put(&t, 7, 200);
	assert_int_equal(timers_next(&t), 100);
	timers_put(&t, 7, 50);
	assert_int_equal(timers_next(&t), 50);
	assert_false(timers_take(&t, 49, &who));
	assert_true(timers_take(&t, 50, &who));
	assert_int_equal(who, 7);
	assert_true(timers_next(&t) == MS_NEVER);
	assert_false(timers_take(&t, MS_NEVER, &who));
	timers_put(&t, 7, MS_NEVER);
	assert_true(timers_next(&t) == MS_NEVER);
	timers_drop(&t, 7);
	timers_close(&t);
}

/* Against an array that is searched. */
static void it_wakes_whom_a_list_would_wake(void **state)
{
	struct timers t = open_timers();
	ms_t model[MOST];
	uint64_t dices = 3;
	ms_t now = 0;

	(void)state;
	for (size_t i = 0; i < MOST; i++)
		model[i] = MS_NEVER;
	for (int round = 0; round < 100000; round++) {
		uint32_t who = (uint32_t)dice_below(&dices, MOST);
		ms_t at = now + (ms_t)dice_below(&dices, 1000), first = MS_NEVER;

		if (dice_below(&dices, 4) == 0) {
			timers_drop(&t, who);
			model[who] = MS_NEVER;
		} else {
			timers_put(&t, who, at);
			model[who] = model[who] < at ? model[who] : at;
		}
		now += (ms_t)dice_below(&dices, 5);
		while (timers_take(&t, now, &who)) {
			assert_true(model[who] <= now);
			model[who] = MS_NEVER;
		}
		for (size_t i = 0; i < MOST; i++)
			first = model[i] < first ? model[i] : first;
		assert_true(timers_next(&t) == first);
	}
	timers_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_put_off_is_woken_early_and_not_late),
		cmocka_unit_test(it_wakes_whom_a_list_would_wake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
