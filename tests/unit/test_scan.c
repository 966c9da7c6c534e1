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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eight_bits_are_found_in_the_header_and_behind_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
