/*
 * When the next commit begins: at once for who is alone, a little later for many.
 */
#include "expect.h"

#include "store/gather.h"

static void put(struct gather *g, unsigned urgent, ms_t now)
{
	while (urgent-- > 0)
		gather_put(g, true, now);
}

static void nothing_begins_when_there_is_nothing(void **unused)
{
	struct gather g = { 0 };

	(void)unused;
	assert_int_equal(gather_when(&g), MS_NEVER);
}

static void who_is_alone_does_not_wait(void **unused)
{
	struct gather g = { 0 };

	(void)unused;
	for (ms_t now = 100; now < 200; now += 10) {
		put(&g, 1, now);
		assert_true(gather_when(&g) <= now);
		assert_int_equal(gather_begin(&g), 1);
		gather_ended(&g, 1, 8, now + 8);
	}
}

static void those_who_were_answered_are_waited_for(void **unused)
{
	struct gather g = { 0 };

	(void)unused;
	put(&g, 10, 100);
	assert_int_equal(gather_begin(&g), 10);
	put(&g, 10, 102);
	gather_ended(&g, 10, 6, 106);
	assert_int_equal(gather_when(&g), 106 + GATHER_MOST);
	put(&g, 9, 107);
	assert_int_equal(gather_when(&g), 106 + GATHER_MOST);
	put(&g, 1, 107);
	assert_true(gather_when(&g) <= 107);
	assert_int_equal(gather_begin(&g), 20);
}

static void nobody_waits_where_a_sync_is_fast(void **unused)
{
	struct gather g = { 0 };

	(void)unused;
	put(&g, 5, 100);
	gather_ended(&g, 10, 1, 101);
	assert_true(gather_when(&g) <= 101);
}

static void waiting_that_does_not_pay_is_given_up_for_a_while(void **unused)
{
	struct gather g = { 0 };
	unsigned waited = 0;

	(void)unused;
	for (ms_t now = 1000; now < 2000; now += 10) {
		put(&g, 10, now);
		(void)gather_begin(&g);
		put(&g, 10, now + 5);
		gather_ended(&g, 10, 8, now + 8);
		waited += gather_when(&g) > now + 8;
		(void)gather_begin(&g); /* nobody came */
		gather_ended(&g, 0, 0, now + 9);
	}
	assert_true(waited >= 2 && waited <= 6);
}

static void what_nobody_waits_for_goes_with_what_somebody_does(void **unused)
{
	struct gather g = { 0 };

	(void)unused;
	gather_put(&g, false, 100);
	gather_put(&g, false, 120);
	assert_int_equal(gather_when(&g), 100 + GATHER_LAZY);
	put(&g, 1, 130);
	assert_true(gather_when(&g) <= 130);
	assert_int_equal(gather_begin(&g), 1);
	assert_int_equal(gather_when(&g), MS_NEVER);
	for (unsigned i = 0; i < GATHER_MANY; i++)
		gather_put(&g, false, 200);
	assert_true(gather_when(&g) <= 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_begins_when_there_is_nothing),
		cmocka_unit_test(who_is_alone_does_not_wait),
		cmocka_unit_test(those_who_were_answered_are_waited_for),
		cmocka_unit_test(nobody_waits_where_a_sync_is_fast),
		cmocka_unit_test(waiting_that_does_not_pay_is_given_up_for_a_while),
		cmocka_unit_test(what_nobody_waits_for_goes_with_what_somebody_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
