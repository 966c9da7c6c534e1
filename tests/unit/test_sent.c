/*
 * How much an account has sent, and when it is braked. Pure: time is told.
 */
#include "expect.h"

#include <stdlib.h>

#include "store/sent.h"

#define NOW ((int64_t)1700000000000)

static const struct sent_limits limits = { .messages = 10, .recipients = 100, .fresh = 20 };

static void release(struct account *a)
{
	free(a->contacts);
	a->contacts = NULL;
}

/* A message to so many people, numbered from there. */
static struct sent_verdict sends(struct account *a, uint32_t from, size_t count,
				 int64_t at)
{
	static uint32_t to[10000];

	for (size_t i = 0; i < count; i++)
		to[i] = from + (uint32_t)i;
	return account_sends(a, &limits,
			     &(struct sending){ .recipients = to, .count = count }, at);
}

static void a_sum_counts_the_part_of_the_time_before_that_is_still_in_it(void **unused)
{
	struct slide s = { 0 };

	(void)unused;
	slide_add(&s, NOW, MS_HOUR, 60);
	assert_int_equal(slide_sum(&s, NOW, MS_HOUR), 60);
	assert_int_equal(slide_sum(&s, NOW + MS_HOUR - 1, MS_HOUR), 60);
	assert_int_equal(slide_sum(&s, NOW + MS_HOUR, MS_HOUR), 60);
	assert_int_equal(slide_sum(&s, NOW + MS_HOUR + 30 * MS_MINUTE, MS_HOUR), 30);
	assert_int_equal(slide_sum(&s, NOW + 2 * MS_HOUR, MS_HOUR), 0);
	slide_add(&s, NOW + 9 * MS_HOUR, MS_HOUR, 5);
	assert_int_equal(slide_sum(&s, NOW + 9 * MS_HOUR, MS_HOUR), 5);
	/* a clock that was set back */
	assert_int_equal(slide_sum(&s, NOW, MS_HOUR), 0);
}

static void who_stays_below_its_limits_is_never_braked(void **unused)
{
	struct account a = { 0 };

	(void)unused;
	for (int hour = 0; hour < 240; hour++)
		for (int i = 0; i < 4; i++) {
			int64_t at = NOW + hour * MS_HOUR + i * MS_MINUTE;

			assert_int_equal(sends(&a, 5, 1, at).brake, BRAKE_NOT);
		}
	release(&a);
}

static void each_limit_brakes(void **unused)
{
	static const struct {
		const char *why;
		int messages;
		size_t each;
		bool same;
		enum brake brake;
	} rows[] = {
		{ "as many messages as there may be", 10, 1, true, BRAKE_NOT },
		{ "one more", 11, 1, true, BRAKE_MESSAGES },
		{ "many recipients", 9, 12, true, BRAKE_RECIPIENTS },
		{ "new ones, as many as there may be", 5, 4, false, BRAKE_NOT },
		{ "more new ones", 6, 4, false, BRAKE_FRESH },
		{ "all in one message", 1, 21, false, BRAKE_FRESH },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct account a = { 0 };
		struct sent_verdict v = { 0 };

		for (int k = 0; k < rows[i].messages; k++)
			v = sends(&a, rows[i].same ? 0 : (uint32_t)k * 1000, rows[i].each,
				  NOW);
		if (v.brake != rows[i].brake)
			fail_msg("%s: %s", rows[i].why, brake_word[v.brake]);
		release(&a);
	}
}

static void an_incident_begins_once_and_ends_when_the_sums_are_low_again(void **unused)
{
	struct account a = { 0 };
	struct sent_verdict v = { 0 };

	(void)unused;
	for (int i = 0; i < 11; i++)
		v = sends(&a, 0, 1, NOW);
	assert_true(v.begins);
	a.incident = 7;
	assert_false(sends(&a, 0, 1, NOW).begins);
	assert_int_equal(a.incident, 7);
	v = sends(&a, 0, 1, NOW + 3 * MS_HOUR);
	assert_int_equal(v.brake, BRAKE_NOT);
	assert_int_equal(a.incident, 0);
	release(&a);
}

static void who_was_written_to_is_not_new_a_second_time(void **unused)
{
	struct account a = { 0 };

	(void)unused;
	assert_int_equal(sends(&a, 0, 20, NOW).brake, BRAKE_NOT);
	assert_int_equal(sends(&a, 0, 20, NOW).brake, BRAKE_NOT);
	assert_int_equal(sends(&a, 100, 1, NOW).brake, BRAKE_FRESH);
	/* what was held made nobody known */
	assert_int_equal(sends(&a, 100, 1, NOW).brake, BRAKE_FRESH);
	assert_int_equal(a.count, 20);
	release(&a);
}

static void ten_times_above_nothing_more_is_taken(void **unused)
{
	struct account a = { 0 };
	struct sent_verdict v = { 0 };

	(void)unused;
	for (int i = 0; i < 100; i++) {
		v = sends(&a, 0, 1, NOW);
		assert_false(v.refused);
	}
	assert_true(sends(&a, 0, 1, NOW).refused);
	release(&a);
}

static void no_limit_is_none(void **unused)
{
	const struct sent_limits none = { 0 };
	const struct sending what = { .recipients = (const uint32_t[]){ 1 }, .count = 1 };
	struct account a = { 0 };

	(void)unused;
	for (int i = 0; i < 10000; i++)
		assert_int_equal(account_sends(&a, &none, &what, NOW).brake, BRAKE_NOT);
	release(&a);
}

static void the_oldest_contacts_go_first(void **unused)
{
	const struct sent_limits none = { 0 };
	struct account a = { 0 };

	(void)unused;
	for (uint32_t i = 0; i < CONTACTS_MAX + 10; i++)
		account_sends(&a, &none,
			      &(struct sending){ .recipients = &i, .count = 1 }, NOW);
	assert_int_equal(a.count, CONTACTS_MAX);
	assert_int_equal(a.contacts[9], CONTACTS_MAX + 9);
	assert_int_equal(a.contacts[10], 10);
	release(&a);
}

static void an_account_comes_back_from_the_database_as_it_was(void **unused)
{
	static uint8_t mem[8192], twice[8192];
	struct account a = { .incident = 99 }, b = { 0 };
	struct buf out, again;

	(void)unused;
	for (uint32_t i = 0; i < 5; i++)
		sends(&a, i * 100, 3, NOW);
	buf_init(&out, mem, sizeof(mem));
	account_print(&a, &out);
	assert_true(account_parse(&b, buf_span(&out)));
	assert_int_equal(b.count, 15);
	assert_int_equal(sends(&b, 1000, 6, NOW).brake, BRAKE_FRESH);
	buf_init(&again, twice, sizeof(twice));
	account_print(&b, &again);
	assert_false(span_eq(buf_span(&out), buf_span(&again)));
	release(&a);
	release(&b);
}

static void a_row_that_makes_no_sense_is_refused(void **unused)
{
	static uint8_t mem[8192];
	struct account a = { 0 };
	struct buf out;

	(void)unused;
	sends(&a, 0, 3, NOW);
	buf_init(&out, mem, sizeof(mem));
	account_print(&a, &out);
	for (size_t n = 0; n < out.len; n++) {
		struct account b = { 0 };

		assert_false(account_parse(&b, span_head(buf_span(&out), n)));
		release(&b);
	}
	for (size_t at = 0; at < 16; at++) {
		struct account b = { 0 };

		mem[at] ^= 0xff;
		/* any number may be that of an incident, and the oldest may be the 256th */
		assert_true(account_parse(&b, buf_span(&out)) == (at >= 4 && at <= 8));
		mem[at] ^= 0xff;
		release(&b);
	}
	release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_sum_counts_the_part_of_the_time_before_that_is_still_in_it),
		cmocka_unit_test(who_stays_below_its_limits_is_never_braked),
		cmocka_unit_test(each_limit_brakes),
		cmocka_unit_test(
			an_incident_begins_once_and_ends_when_the_sums_are_low_again),
		cmocka_unit_test(who_was_written_to_is_not_new_a_second_time),
		cmocka_unit_test(ten_times_above_nothing_more_is_taken),
		cmocka_unit_test(no_limit_is_none),
		cmocka_unit_test(the_oldest_contacts_go_first),
		cmocka_unit_test(an_account_comes_back_from_the_database_as_it_was),
		cmocka_unit_test(a_row_that_makes_no_sense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
