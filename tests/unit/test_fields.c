#include "expect.h"

#include "base/fields.h"
#include "base/utf8.h"

/* clang-format off */
static const struct {
	const char *why;
	struct span text;
	const char *logfmt, *json, *plain;
} texts[] = {
	{ "a word",          SPAN_INIT("abc-1.2"),   "abc-1.2",       "\"abc-1.2\"",         "abc-1.2" },
	{ "nothing",         SPAN_INIT(""),          "\"\"",          "\"\"",                "" },
	{ "a space",         SPAN_INIT("a b"),       "\"a b\"",       "\"a b\"",             "a b" },
	{ "an equals sign",  SPAN_INIT("a=b"),       "\"a=b\"",       "\"a=b\"",             "a=b" },
	{ "a quote",         SPAN_INIT("a\"b"),      "\"a\\x22b\"",   "\"a\\\"b\"",          "a\"b" },
	{ "a backslash",     SPAN_INIT("a\\b"),      "\"a\\x5cb\"",   "\"a\\\\b\"",          "a\\b" },
	{ "a line's end",    SPAN_INIT("a\r\nb"),    "\"a\\x0d\\x0ab\"", "\"a\\u000d\\u000ab\"", "a\\x0d\\x0ab" },
	{ "a NUL",           SPAN_INIT("a\0b"),      "\"a\\x00b\"",   "\"a\\u0000b\"",       "a\\x00b" },
	{ "an escape",       SPAN_INIT("\x1b[2J"),   "\"\\x1b[2J\"",  "\"\\u001b[2J\"",      "\\x1b[2J" },
	{ "delete",          SPAN_INIT("\x7f"),      "\"\\x7f\"",     "\"\\u007f\"",         "\\x7f" },
	{ "text above ASCII", SPAN_INIT("gr\xc3\xbc\xc3\x9f"), "\"gr\xc3\xbc\xc3\x9f\"", "\"gr\xc3\xbc\xc3\x9f\"", "gr\xc3\xbc\xc3\x9f" },
	{ "not UTF-8",       SPAN_INIT("a\xff" "b"), "\"a\\xffb\"",   "\"a\xef\xbf\xbd" "b\"", "a\\xffb" },
	{ "half a character", SPAN_INIT("a\xc3"),    "\"a\\xc3\"",    "\"a\xef\xbf\xbd\"",   "a\\xc3" },
	{ "a C1 control",    SPAN_INIT("\xc2\x9b"),  "\"\\xc2\\x9b\"", "\"\\u009b\"",        "\\xc2\\x9b" },
	{ "turned around",   SPAN_INIT("\xe2\x80\xae"), "\"\\xe2\\x80\\xae\"", "\"\\u202e\"", "\\xe2\\x80\\xae" },
	{ "a line separator", SPAN_INIT("\xe2\x80\xa8"), "\"\\xe2\\x80\\xa8\"", "\"\\u2028\"", "\\xe2\\x80\\xa8" },
};

static const struct {
	const char *why;
	int64_t wall;
	const char *print;
} times[] = {
	{ "the beginning",      0,                      "1970-01-01T00:00:00.000Z" },
	{ "a leap day",         INT64_C(1709210096789), "2024-02-29T12:34:56.789Z" },
	{ "after a leap day",   INT64_C(1709251200000), "2024-03-01T00:00:00.000Z" },
	{ "no leap day",        INT64_C(4107542400000), "2100-03-01T00:00:00.000Z" },
	{ "the end of a year",  INT64_C(1798761599999), "2026-12-31T23:59:59.999Z" },
	{ "the last of all",    INT64_C(253402300799999), "9999-12-31T23:59:59.999Z" },
	{ "beyond the calendar", INT64_C(253402300800000), "253402300800000" },
	{ "before it",          -1,                     "-1" },
};
/* clang-format on */

static void no_text_can_forge_a_field_or_a_line(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct field f;
		char want[200];
		BUF(row, 200);
		BUF(out, 200);

		field_text(&row, "x", texts[i].text);
		fields_print_logfmt(buf_span(&row), 0, &out);
		snprintf(want, sizeof(want), "x=%s", texts[i].logfmt);
		expect_text(texts[i].why, &out, want);

		buf_reset(&out);
		fields_print_json(buf_span(&row), 0, &out);
		snprintf(want, sizeof(want), "{\"x\":%s}", texts[i].json);
		expect_text(texts[i].why, &out, want);

		buf_reset(&out);
		assert_true(field_find(buf_span(&row), "x", &f));
		field_print_plain(&f, &out);
		expect_text(texts[i].why, &out, texts[i].plain);
	}
}

static void random_bytes_print_as_one_clean_line(void **unused)
{
	uint64_t seed = 7;

	(void)unused;
	for (int i = 0; i < 5000; i++) {
		uint8_t bytes[40];
		size_t n = dice_below(&seed, sizeof(bytes) + 1);
		BUF(row, 100);
		BUF(out, 400);

		for (size_t j = 0; j < n; j++)
			bytes[j] = (uint8_t)dice(&seed);
		field_text(&row, "x", span_of(bytes, n));
		fields_print_logfmt(buf_span(&row), dice_below(&seed, 30), &out);
		assert_false(out.full);
		assert_true(utf8_ok(buf_span(&out)));
		for (size_t j = 0; j < out.len; j++)
			assert_true(out.mem[j] >= ' ' && out.mem[j] != 0x7f);
		buf_reset(&out);
		fields_print_json(buf_span(&row), dice_below(&seed, 30), &out);
		assert_true(utf8_ok(buf_span(&out)));
		for (size_t j = 0; j < out.len; j++)
			assert_true(out.mem[j] >= ' ' && out.mem[j] != 0x7f);
	}
}

static void times_are_printed_as_rfc_3339(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(times); i++) {
		struct field f = { .kind = FIELD_TIME, .number = times[i].wall };
		BUF(out, 60);

		field_print_plain(&f, &out);
		expect_text(times[i].why, &out, times[i].print);
	}
}

static void a_row_prints_all_its_fields(void **unused)
{
	BUF(row, 200);
	BUF(out, 200);

	(void)unused;
	field_text(&row, "log", SPAN("session"));
	field_number(&row, "bytes", -12);
	field_flag(&row, "tls", true);
	field_flag(&row, "late", false);
	field_time(&row, "at", 0);
	fields_print_logfmt(buf_span(&row), 0, &out);
	expect_text(
		"logfmt", &out,
		"log=session bytes=-12 tls=true late=false at=1970-01-01T00:00:00.000Z");
	buf_reset(&out);
	fields_print_json(buf_span(&row), 0, &out);
	expect_text("json", &out,
		    "{\"log\":\"session\",\"bytes\":-12,\"tls\":true,\"late\":false,"
		    "\"at\":\"1970-01-01T00:00:00.000Z\"}");
}

static void a_cut_text_says_how_much_is_missing(void **unused)
{
	BUF(row, 200);
	BUF(out, 200);

	(void)unused;
	field_text(&row, "x", SPAN("abcdefghij"));
	fields_print_logfmt(buf_span(&row), 4, &out);
	expect_text("logfmt", &out, "x=\"abcd\\+6\"");
	buf_reset(&out);
	fields_print_json(buf_span(&row), 4, &out);
	expect_text("json", &out, "{\"x\":\"abcd\\\\+6\"}");
	buf_reset(&out);
	fields_print_logfmt(buf_span(&row), 10, &out);
	expect_text("not cut", &out, "x=abcdefghij");
	buf_reset(&row);
	buf_reset(&out);
	field_text(&row, "x", SPAN("ab\xc3\xbc"));
	fields_print_logfmt(buf_span(&row), 3, &out);
	expect_text("not inside a character", &out, "x=\"ab\\+2\"");
}

static void a_field_that_does_not_fit_leaves_a_whole_row(void **unused)
{
	BUF(row, 24);

	(void)unused;
	field_number(&row, "one", 1);
	field_text(&row, "two", SPAN("a long text"));
	assert_true(row.full);
	assert_true(fields_ok(buf_span(&row)));
}

static void a_broken_row_is_noticed(void **unused)
{
	struct field f;
	BUF(row, 100);

	(void)unused;
	field_text(&row, "text", SPAN("value"));
	field_number(&row, "n", 5);
	for (size_t n = 1; n < row.len; n++)
		assert_int_equal(fields_ok(span_head(buf_span(&row), n)), n == 15);
	row.mem[2] = 'T';
	expect_false("a name in upper case", fields_ok(buf_span(&row)));
	row.mem[2] = 't';
	row.mem[0] = 9;
	expect_false("a kind that does not exist", fields_ok(buf_span(&row)));
	expect_false("nothing is found in it", field_find(buf_span(&row), "n", &f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_text_can_forge_a_field_or_a_line),
		cmocka_unit_test(random_bytes_print_as_one_clean_line),
		cmocka_unit_test(times_are_printed_as_rfc_3339),
		cmocka_unit_test(a_row_prints_all_its_fields),
		cmocka_unit_test(a_cut_text_says_how_much_is_missing),
		cmocka_unit_test(a_field_that_does_not_fit_leaves_a_whole_row),
		cmocka_unit_test(a_broken_row_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
