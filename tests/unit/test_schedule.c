/*
 * When which destination gets how much, and when a failed delivery is tried again.
 */
#include "expect.h"

#include "store/schedule.h"

#define FIRST	(5 * MS_MINUTE)
#define LONGEST (4 * MS_HOUR)

static void each_pause_is_twice_the_last_up_to_the_longest(void **unused)
{
	ms_t whole = FIRST;

	(void)unused;
	for (uint32_t tries = 1; tries < 20; tries++) {
		ms_t pause = schedule_pause(tries, FIRST, LONGEST, 42);

		assert_true(pause <= whole && pause >= whole - whole / 8);
		whole = whole * 2 < LONGEST ? whole * 2 : LONGEST;
	}
	assert_true(schedule_pause(UINT32_MAX, FIRST, LONGEST, 1) <= LONGEST);
}

static void what_failed_together_is_not_tried_together(void **unused)
{
	ms_t first = schedule_pause(1, FIRST, LONGEST, 1);
	int others = 0;

	(void)unused;
	for (uint64_t seed = 2; seed < 12; seed++)
		others += schedule_pause(1, FIRST, LONGEST, seed) != first;
	assert_true(others > 7);
	assert_int_equal(schedule_pause(1, FIRST, LONGEST, 1), first);
}

static void a_destination_has_room_for_so_many(void **unused)
{
	struct destination d = { .under_way = 3 };

	(void)unused;
	assert_int_equal(destination_room(&d, 5, 0), 2);
	assert_int_equal(destination_room(&d, 3, 0), 0);
	assert_int_equal(destination_room(&d, 1, 0), 0);
}

static void one_that_does_not_answer_is_left_alone_and_then_asked_by_one(void **unused)
{
	struct destination d = { 0 };
	ms_t now = 1000000;

	(void)unused;
	destination_failed(&d, now, FIRST, LONGEST);
	assert_int_equal(destination_room(&d, 20, now), 0);
	assert_int_equal(destination_room(&d, 20, now + FIRST / 10 - 1), 0);
	assert_int_equal(destination_room(&d, 20, now + FIRST / 10), 1);
	d.under_way = 1;
	assert_int_equal(destination_room(&d, 20, now + FIRST / 10), 0);
	destination_answered(&d);
	assert_int_equal(destination_room(&d, 20, now), 19);
}

static void failures_that_were_under_way_together_count_once(void **unused)
{
	struct destination d = { 0 };

	(void)unused;
	for (int i = 0; i < 20; i++)
		destination_failed(&d, 1000, FIRST, LONGEST);
	assert_int_equal(d.fails, 1);
	destination_failed(&d, d.not_before, FIRST, LONGEST);
	assert_int_equal(d.fails, 2);
	for (int i = 0; i < 100; i++)
		destination_failed(&d, d.not_before, FIRST, LONGEST);
	assert_true(d.not_before > 0);
}

static void destinations_are_found_by_what_they_are(void **unused)
{
	struct schedule *s = calloc(1, sizeof(*s));
	BUF(out, 100);

	(void)unused;
	assert_non_null(schedule_add(s, 1, HOP_MAILDIR, SPAN("")));
	assert_non_null(schedule_add(s, 7, HOP_SMTP, SPAN("a:25")));
	assert_non_null(schedule_add(s, 3, HOP_LMTP, SPAN("a:25")));
	assert_int_equal(s->last_id, 7);
	assert_int_equal(schedule_find(s, HOP_LMTP, "a:25")->id, 3);
	assert_null(schedule_find(s, HOP_SMTP, "b:25"));
	assert_int_equal(schedule_by_id(s, 1)->hop, HOP_MAILDIR);
	destination_print(schedule_by_id(s, 7), &out);
	expect_span("word", buf_span(&out), SPAN("smtp:a:25"));
	assert_null(schedule_add(s, 9, HOP_COUNT, SPAN("")));
	schedule_close(s);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_pause_is_twice_the_last_up_to_the_longest),
		cmocka_unit_test(what_failed_together_is_not_tried_together),
		cmocka_unit_test(a_destination_has_room_for_so_many),
		cmocka_unit_test(
			one_that_does_not_answer_is_left_alone_and_then_asked_by_one),
		cmocka_unit_test(failures_that_were_under_way_together_count_once),
		cmocka_unit_test(destinations_are_found_by_what_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
