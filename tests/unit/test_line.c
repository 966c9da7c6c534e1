#include "expect.h"

#include "wire/line.h"

struct row {
	const char *why;
	struct span in;
	bool got;
	struct span text;
	enum event odd;
};

static const struct row rows[] = {
	/* clang-format off */
	{ "a line",                  SPAN_INIT("NOOP\r\n"),         true,  SPAN_INIT("NOOP"),         EV_NONE },
	{ "an empty one",            SPAN_INIT("\r\n"),             true,  SPAN_INIT(""),             EV_NONE },
	{ "no end yet",              SPAN_INIT("NOOP\r"),           false, SPAN_INIT(""),             EV_NONE },
	{ "LF alone ends nothing",   SPAN_INIT("NO\nOP\r\n"),       true,  SPAN_INIT("NO\nOP"),       EV_BARE_LF },
	{ "nor does CR",             SPAN_INIT("NO\rOP\r\n"),       true,  SPAN_INIT("NO\rOP"),       EV_BARE_CR },
	{ "CR CR LF",                SPAN_INIT("NOOP\r\r\n"),       true,  SPAN_INIT("NOOP\r"),       EV_BARE_CR },
	{ "LF first",                SPAN_INIT("\n\r\n"),           true,  SPAN_INIT("\n"),           EV_BARE_LF },
	{ "NUL",                     SPAN_INIT("NO\0OP\r\n"),       true,  SPAN_INIT("NO\0OP"),       EV_NUL_BYTE },
	{ "the first oddity counts", SPAN_INIT("\0\n\r \r\n"),      true,  SPAN_INIT("\0\n\r "),      EV_NUL_BYTE },
	{ "exactly the limit",       SPAN_INIT("123456789012345678\r\n"),  true,  SPAN_INIT("123456789012345678"), EV_NONE },
	{ "one more",                SPAN_INIT("1234567890123456789\r\n"), true,  SPAN_INIT(""),                   EV_LONG_LINE },
	{ "much more, no end yet",   SPAN_INIT("123456789012345678901234567890"), false, SPAN_INIT(""), EV_NONE },
	/* clang-format on */
};

/* However it is chopped up: some bytes at a time. */
static bool cut(struct span bytes, size_t chunk, struct line_cut *out)
{
	uint8_t window[64];
	size_t have = 0;
	struct line l;

	line_init(&l, 20);
	while (bytes.n) {
		struct span more = span_head(bytes, chunk);
		struct span in = span_of(window, have + more.n);
		bool got;

		assert_true(in.n <= sizeof(window));
		memcpy(window + have, more.p, more.n);
		bytes = span_skip(bytes, more.n);
		got = line_next(&l, &in, out);
		if (got) {
			static uint8_t kept[64];

			if (out->text.n)
				memcpy(kept, out->text.p, out->text.n);
			out->text.p = kept;
			return true;
		}
		memmove(window, in.p, in.n);
		have = in.n;
	}
	return false;
}

static void lines_end_with_crlf_only(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		for (size_t chunk = 1; chunk < 34; chunk++) {
			const struct row *r = &rows[i];
			struct line_cut out = { .text = SPAN_NONE };

			expect_number(r->why, cut(r->in, chunk, &out), r->got);
			if (!r->got)
				continue;
			expect_span(r->why, out.text, r->text);
			expect_number(r->why, out.odd, r->odd);
		}
}

static void a_line_after_a_long_one_is_read(void **unused)
{
	struct span in = SPAN("this one is much too long for us\r\nNOOP\r\n");
	struct line_cut out;
	struct line l;

	(void)unused;
	line_init(&l, 20);
	assert_true(line_next(&l, &in, &out));
	assert_int_equal(out.odd, EV_LONG_LINE);
	assert_true(line_next(&l, &in, &out));
	expect_span("the next", out.text, SPAN("NOOP"));
	assert_int_equal(in.n, 0);
}

static void bytes_above_127_are_reported(void **unused)
{
	struct span in = SPAN("\xc3\xbc\r\nx\r\n");
	struct line_cut out;
	struct line l;

	(void)unused;
	line_init(&l, 20);
	assert_true(line_next(&l, &in, &out));
	assert_true(out.high);
	assert_true(line_next(&l, &in, &out));
	assert_false(out.high);
}

/* The scanner keeps its place, so a long wait for the end costs nothing twice. */
static void bytes_are_looked_at_once(void **unused)
{
	struct span in = SPAN("NOOP");
	struct line_cut out;
	struct line l;

	(void)unused;
	line_init(&l, 20);
	assert_false(line_next(&l, &in, &out));
	assert_int_equal(l.seen, 4);
	assert_int_equal(in.n, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_end_with_crlf_only),
		cmocka_unit_test(a_line_after_a_long_one_is_read),
		cmocka_unit_test(bytes_above_127_are_reported),
		cmocka_unit_test(bytes_are_looked_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
