/* Senders that are rewritten: SRS for what is forwarded, BATV for what is our own. */
#include "expect.h"

#include "base/time.h"
#include "spec/limits.h"
#include "wire/address.h"
#include "wire/batv.h"
#include "wire/srs.h"

static const uint64_t key[2] = { 1, 2 }, other_key[2] = { 1, 3 };
static const int64_t today = 20778 * MS_DAY + 5 * MS_HOUR;
static const struct span ours = SPAN_INIT("us.example");

static void upper(struct buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		if (b->mem[i] >= 'a' && b->mem[i] <= 'z')
			b->mem[i] = (uint8_t)(b->mem[i] - 32);
}

/* ---- SRS ---- */

static void a_sender_is_rewritten_as_libsrs2_writes_it(void **unused)
{
	struct span left;
	BUF(out, ADDRESS_MAX);

	(void)unused;
	expect_true("forward",
		    srs_forward(key, SPAN("bob@far.example"), ours, today, &out));
	left = buf_span(&out);
	expect_span("tag", span_cut(&left, '='), SPAN("SRS0"));
	expect_number("hash", (int64_t)span_cut(&left, '=').n, 8);
	/* 20778 modulo 1024 is 298, in base 32: 9 and 10 */
	expect_span("day", span_cut(&left, '='), SPAN("JK"));
	expect_span("from whom", left, SPAN("far.example=bob@us.example"));
	expect_true("seen", srs_is(buf_span(&out)));
	expect_false("a usual one", srs_is(SPAN("srs0@us.example")));
	expect_false("one without a tag", srs_is(SPAN("bob@us.example")));
}

static const char *const senders[] = {
	"bob@far.example",
	"b=o=b@far.example",
	"\"a b\"@far.example",
	"\"a\\\"b=\"@far.example",
	"b\xc3\xbc@far.example",
	"bob@[192.0.2.1]",
	"x@f",
};

static void what_is_forwarded_comes_back(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(senders); i++) {
		struct address a;
		BUF(out, ADDRESS_MAX);
		BUF(back, ADDRESS_MAX);

		expect_true(senders[i],
			    srs_forward(key, span_str(senders[i]), ours, today, &out));
		expect_true("an address", address_parse(buf_span(&out), &a));
		expect_span("in its one form", address_span(&a), buf_span(&out));
		expect_true(senders[i], srs_reverse(key, buf_span(&out), today, &back));
		expect_text(senders[i], &back, senders[i]);
	}
}

static void case_may_be_lost_on_the_way(void **unused)
{
	BUF(out, ADDRESS_MAX);
	BUF(back, ADDRESS_MAX);

	(void)unused;
	expect_true("forward",
		    srs_forward(key, SPAN("Bob@far.example"), ours, today, &out));
	upper(&out);
	expect_true("reverse", srs_reverse(key, buf_span(&out), today, &back));
	expect_text("as it came", &back, "BOB@far.example");
}

static void a_bounce_may_take_three_weeks(void **unused)
{
	BUF(out, ADDRESS_MAX);

	(void)unused;
	expect_true("forward",
		    srs_forward(key, SPAN("bob@far.example"), ours, today, &out));
	for (int64_t day = -3; day < 1100; day++) {
		BUF(back, ADDRESS_MAX);
		bool want = day >= -1 && day <= SRS_DAYS;

		/* after 1024 days the same stamp comes again */
		want |= day >= 1023 && day <= 1024 + SRS_DAYS;
		expect_number("days",
			      srs_reverse(key, buf_span(&out), today + day * MS_DAY, &back),
			      want);
	}
}

static void nobody_else_can_make_one(void **unused)
{
	BUF(out, ADDRESS_MAX);
	BUF(back, ADDRESS_MAX);

	(void)unused;
	expect_true("forward",
		    srs_forward(key, SPAN("bob@far.example"), ours, today, &out));
	expect_false("other key", srs_reverse(other_key, buf_span(&out), today, &back));
	for (size_t i = 5; i < out.len - ours.n - 1; i++) {
		uint8_t was = out.mem[i];

		out.mem[i] = was == 'x' ? 'y' : 'x';
		expect_false("changed", srs_reverse(key, buf_span(&out), today, &back));
		out.mem[i] = was;
	}
	expect_number("nothing was written", (int64_t)back.len, 0);
}

static void rewritten_senders_of_others_keep_their_first_host(void **unused)
{
	static const char first[] = "SRS0=abcd=JK=far.example=bob@one.example";
	BUF(out, ADDRESS_MAX);
	BUF(again, ADDRESS_MAX);
	BUF(back, ADDRESS_MAX);
	struct span left;

	(void)unused;
	expect_true("forward", srs_forward(key, span_str(first), ours, today, &out));
	left = buf_span(&out);
	expect_span("tag", span_cut(&left, '='), SPAN("SRS1"));
	(void)span_cut(&left, '=');
	expect_span("rest", left, SPAN("one.example==abcd=JK=far.example=bob@us.example"));
	expect_true("reverse", srs_reverse(key, buf_span(&out), today, &back));
	expect_text("to the first that forwarded", &back, first);

	/* one more on the way: ours replaces its hash, and its host is left out */
	expect_true("third", srs_forward(other_key, buf_span(&out), SPAN("them.example"),
					 today, &again));
	buf_reset(&back);
	expect_true("reverse", srs_reverse(other_key, buf_span(&again), today, &back));
	expect_text("still the first", &back, first);
	buf_reset(&back);
	expect_false("not ours", srs_reverse(key, buf_span(&again), today, &back));
	expect_true("other separators",
		    srs_forward(key, SPAN("SRS0+abcd=JK=f=b@one.example"), ours, today,
				(buf_reset(&out), &out)));
	expect_true("reverse", srs_reverse(key, buf_span(&out), today, &back));
	expect_text("kept", &back, "SRS0+abcd=JK=f=b@one.example");
}

static void what_does_not_fit_is_not_rewritten(void **unused)
{
	char text[ADDRESS_MAX + 1];
	BUF(out, ADDRESS_MAX);
	BUF(little, 20);

	(void)unused;
	memset(text, 'a', sizeof(text));
	memcpy(text + 235, "@far.example", 13);
	expect_false("too long", srs_forward(key, span_str(text), ours, today, &out));
	expect_false("no room",
		     srs_forward(key, SPAN("bob@far.example"), ours, today, &little));
	expect_false("no address",
		     srs_forward(key, SPAN("postmaster"), ours, today, &out));
	expect_false("empty", srs_forward(key, SPAN(""), ours, today, &out));
	expect_false("SRS1 of nothing",
		     srs_forward(key, SPAN("SRS1=x@y.example"), ours, today, &out));
	expect_false("no address", srs_reverse(key, SPAN("SRS0=a=b=c=d"), today, &out));
	expect_number("nothing was written", (int64_t)(out.len + little.len), 0);
}

/* ---- BATV ---- */

static void a_tag_is_as_the_draft_has_it(void **unused)
{
	struct span left;
	BUF(out, ADDRESS_MAX);

	(void)unused;
	expect_true("tag", batv_tag(key, 3, SPAN("bob@us.example"), today, &out));
	left = buf_span(&out);
	expect_span("mark", span_cut(&left, '='), SPAN("prvs"));
	/* day 20778 + 7, modulo 1000 */
	expect_span("number and day", span_head(left, 4), SPAN("3785"));
	expect_number("with the hash", (int64_t)span_cut(&left, '=').n, 10);
	expect_span("rest", left, SPAN("bob@us.example"));
	expect_number("number", batv_number(buf_span(&out)), 3);
	expect_number("of none", batv_number(SPAN("bob@us.example")), 10);
	expect_false("twice", batv_tag(key, 3, buf_span(&out), today, &out));
	expect_false("no such key",
		     batv_tag(key, 10, SPAN("bob@us.example"), today, &out));
	expect_false("no mailbox", batv_tag(key, 0, SPAN(""), today, &out));
}

static void bounces_within_a_week_are_taken(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(senders); i++) {
		BUF(out, ADDRESS_MAX);

		expect_true(senders[i],
			    batv_tag(key, 0, span_str(senders[i]), today, &out));
		for (int64_t day = -3; day < 990; day++) {
			enum batv want = day >= 0 && day <= BATV_DAYS ? BATV_GOOD
								      : BATV_BAD;
			BUF(plain, ADDRESS_MAX);

			expect_number("days",
				      batv_check(key, buf_span(&out),
						 today + day * MS_DAY, &plain),
				      want);
			expect_text("without its tag", &plain, senders[i]);
		}
	}
}

static void forged_tags_are_seen_and_others_left_alone(void **unused)
{
	static const char *const without[] = {
		"bob@us.example",
		"prvs=@us.example",
		"prvs=1234567890@us.example",
		"prvs=123456789=bob@us.example",
		"prvs=12345678xy=bob@us.example",
		"prvs=12x4567890=bob@us.example",
		"postmaster",
		"",
	};
	BUF(out, ADDRESS_MAX);

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(without); i++) {
		BUF(plain, ADDRESS_MAX);

		expect_number(without[i],
			      batv_check(key, span_str(without[i]), today, &plain),
			      BATV_NONE);
		expect_text(without[i], &plain, without[i]);
	}
	expect_true("tag", batv_tag(key, 1, SPAN("bob@us.example"), today, &out));
	for (size_t i = 5; i < 19; i++) {
		uint8_t was = out.mem[i];
		BUF(plain, ADDRESS_MAX);

		if (was == '=')
			continue;
		out.mem[i] = was == '2' ? '3' : '2';
		expect_number("changed", batv_check(key, buf_span(&out), today, &plain),
			      BATV_BAD);
		out.mem[i] = was;
	}
	upper(&out);
	{
		BUF(plain, ADDRESS_MAX);

		expect_number("case", batv_check(key, buf_span(&out), today, &plain),
			      BATV_GOOD);
		buf_reset(&plain);
		expect_number("other key",
			      batv_check(other_key, buf_span(&out), today, &plain),
			      BATV_BAD);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sender_is_rewritten_as_libsrs2_writes_it),
		cmocka_unit_test(what_is_forwarded_comes_back),
		cmocka_unit_test(case_may_be_lost_on_the_way),
		cmocka_unit_test(a_bounce_may_take_three_weeks),
		cmocka_unit_test(nobody_else_can_make_one),
		cmocka_unit_test(rewritten_senders_of_others_keep_their_first_host),
		cmocka_unit_test(what_does_not_fit_is_not_rewritten),
		cmocka_unit_test(a_tag_is_as_the_draft_has_it),
		cmocka_unit_test(bounces_within_a_week_are_taken),
		cmocka_unit_test(forged_tags_are_seen_and_others_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
