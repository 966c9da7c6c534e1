#include "expect.h"

#include "base/number.h"

/* clang-format off */
static const struct {
	const char *text;
	int64_t bytes; /* -1: refused */
	const char *print;
} sizes[] = {
	{ "0", 0, "0" },
	{ "512", 512, "512" },
	{ "1024", 1024, "1k" },
	{ "64k", 65536, "64k" },
	{ "64K", 65536, "64k" },
	{ "25m", 26214400, "25m" },
	{ "2g", 2147483648, "2g" },
	{ "1536k", 1572864, "1536k" },
	{ "8589934591g", INT64_C(8589934591) << 30, "8589934591g" },
	{ "8589934592g", -1, NULL },
	{ "9223372036854775808", -1, NULL },
	{ "", -1, NULL },
	{ "k", -1, NULL },
	{ "-1", -1, NULL },
	{ "1 k", -1, NULL },
	{ "1kb", -1, NULL },
	{ "1.5m", -1, NULL },
	{ "0x10", -1, NULL },
};

static const struct {
	const char *text;
	ms_t ms;
	const char *print;
} times[] = {
	{ "0", 0, "0" },
	{ "0s", 0, "0" },
	{ "500ms", 500, "500ms" },
	{ "30s", 30000, "30s" },
	{ "90s", 90000, "90s" },
	{ "5m", 300000, "5m" },
	{ "300s", 300000, "5m" },
	{ "12h", 43200000, "12h" },
	{ "31d", INT64_C(2678400000), "31d" },
	{ "24h", 86400000, "1d" },
	{ "5", -1, NULL },
	{ "5M", 300000, "5m" },
	{ "", -1, NULL },
	{ "s", -1, NULL },
	{ "-5s", -1, NULL },
	{ "1h30m", -1, NULL },
	{ "106751991168d", -1, NULL },
};
/* clang-format on */

static void sizes_are_read_and_printed_in_their_largest_unit(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		int64_t n = -1;
		BUF(out, 40);

		expect_true(sizes[i].text, size_parse(span_str(sizes[i].text), &n) ==
						   (sizes[i].bytes >= 0));
		expect_number(sizes[i].text, n, sizes[i].bytes);
		if (n < 0)
			continue;
		size_print(n, &out);
		expect_text(sizes[i].text, &out, sizes[i].print);
	}
}

static void durations_need_a_unit_except_zero(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(times); i++) {
		ms_t t = -1;
		BUF(out, 40);

		expect_true(times[i].text, duration_parse(span_str(times[i].text), &t) ==
						   (times[i].ms >= 0));
		expect_number(times[i].text, t, times[i].ms);
		if (t < 0)
			continue;
		duration_print(t, &out);
		expect_text(times[i].text, &out, times[i].print);
	}
}

static void numbers_stop_at_their_maximum(void **unused)
{
	uint64_t n;

	(void)unused;
	assert_true(number_parse(SPAN("255"), 255, &n));
	assert_int_equal(n, 255);
	assert_false(number_parse(SPAN("256"), 255, &n));
	assert_true(number_parse(SPAN("18446744073709551615"), UINT64_MAX, &n));
	assert_true(n == UINT64_MAX);
	assert_false(number_parse(SPAN("18446744073709551616"), UINT64_MAX, &n));
	assert_true(number_parse(SPAN("3"), 3, &n));
	assert_false(number_parse(SPAN("4"), 3, &n));
	assert_false(number_parse(SPAN(""), 9, &n));
	assert_false(number_parse(SPAN("+1"), 9, &n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_read_and_printed_in_their_largest_unit),
		cmocka_unit_test(durations_need_a_unit_except_zero),
		cmocka_unit_test(numbers_stop_at_their_maximum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
