#include "expect.h"

#include "session/scan.h"

static void eight_bits_are_found_in_the_header_and_behind_it(void **unused)
{
	static const struct {
		const char *text;
		bool header, body;
	} rows[] = {
		{ "", false, false },
		{ "Subject: x\r\n\r\nbody\r\n", false, false },
		{ "Subject: \xc3\xb6\r\n\r\nbody\r\n", true, false },
		{ "Subject: x\r\n\r\nb\xf6"
		  "dy\r\n",
		  false, true },
		{ "Subject: x\r\n\r\nb\xf6"
		  "dy",
		  false, true },
		{ "\r\n\xc3\xb6\r\n", false, true }, /* no header at all */
		{ "Subject: x\n\n\xc3\xb6\n", false, true },
		{ "Subject: x\r\n\r \xc3\xb6\r\n", true, false },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct span all = span_str(rows[i].text);

		for (size_t cut = 1; cut <= all.n + 1; cut++) {
			struct scan s;

			scan_init(&s);
			for (struct span left = all; left.n; left = span_skip(left, cut))
				scan_put(&s, span_head(left, cut));
			if (s.header != rows[i].header || s.body != rows[i].body)
				fail_msg("%zu, cut at %zu", i, cut);
		}
	}
}

static void a_line_of(struct buf *out, size_t n, const char *end)
{
	for (size_t i = 0; i < n; i++)
		buf_byte(out, 'x');
	buf_put(out, span_str(end));
}

static void what_data_would_change_is_binary(void **unused)
{
	static const struct {
		struct span text;
		bool binary;
	} rows[] = {
		{ SPAN_INIT(""), false },
		{ SPAN_INIT("a\r\n\r\nb\r\n"), false },
		{ SPAN_INIT("a\r\n\xf6\r\n"), false },
		{ SPAN_INIT("a"), true },
		{ SPAN_INIT("a\r\nb\r"), true },
		{ SPAN_INIT("a\nb\r\n"), true },
		{ SPAN_INIT("\n"), true },
		{ SPAN_INIT("a\rb\r\n"), true },
		{ SPAN_INIT("a\r\r\n"), true },
		{ SPAN_INIT("a\r\n\n"), true },
		{ SPAN_INIT("a\0\r\n"), true },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		for (size_t cut = 1; cut <= rows[i].text.n + 1; cut++) {
			struct scan s;

			scan_init(&s);
			for (struct span left = rows[i].text; left.n;
			     left = span_skip(left, cut))
				scan_put(&s, span_head(left, cut));
			if (scan_is_binary(&s) != rows[i].binary)
				fail_msg("%zu, cut at %zu", i, cut);
		}
	}
}

static void so_is_a_line_of_more_than_998_bytes(void **unused)
{
	(void)unused;
	for (size_t n = 997; n <= 1000; n++) {
		struct scan s;
		BUF(out, 1100);

		a_line_of(&out, n, "\r\na\r\n");
		scan_init(&s);
		scan_put(&s, buf_span(&out));
		expect_number("long", scan_is_binary(&s), n > 998);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_data_would_change_is_binary),
		cmocka_unit_test(so_is_a_line_of_more_than_998_bytes),
		cmocka_unit_test(eight_bits_are_found_in_the_header_and_behind_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
