#include "expect.h"

#include "wire/header.h"

struct row {
	const char *why;
	struct span text;
	bool over;
	uint64_t size;
	uint32_t received;
};

static const struct row rows[] = {
	/* clang-format off */
	{ "one field",              SPAN_INIT("A: b\r\n\r\nbody"),                      true,  8,  0 },
	{ "no end yet",             SPAN_INIT("A: b\r\n"),                              false, 6,  0 },
	{ "received",               SPAN_INIT("Received: x\r\nRECEIVED:y\r\n\r\n"),     true,  27, 2 },
	{ "with a gap",             SPAN_INIT("Received \t: x\r\n\r\n"),                true,  17, 1 },
	{ "continued",              SPAN_INIT("Received: x\r\n Received: y\r\n\r\n"),   true,  29, 1 },
	{ "longer names",           SPAN_INIT("Received-SPF: x\r\nX-Received: x\r\n\r\n"), true, 34, 0 },
	{ "shorter names",          SPAN_INIT("Receive: x\r\n\r\n"),                    true,  14, 0 },
	{ "not in the body",        SPAN_INIT("A: b\r\n\r\nReceived: x\r\n"),           true,  8,  0 },
	{ "no header at all",       SPAN_INIT("\r\nReceived: x\r\n"),                   true,  2,  0 },
	{ "no field, no colon",     SPAN_INIT("Hello Bob\r\nReceived: x\r\n"),          true,  7,  0 },
	{ "continues nothing",      SPAN_INIT(" x\r\nReceived: x\r\n"),                 true,  1,  0 },
	{ "a bare LF ends lines",   SPAN_INIT("A: b\nReceived: c\n\nReceived: d"),      true,  18, 1 },
	{ "nothing",                SPAN_INIT(""),                                      false, 0,  0 },
	/* clang-format on */
};

static void headers_are_found_however_they_are_chopped(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		for (size_t chunk = 1; chunk < 40; chunk++) {
			const struct row *r = &rows[i];
			struct span left = r->text;
			struct header h;

			header_init(&h);
			while (left.n) {
				header_scan(&h, span_head(left, chunk));
				left = span_skip(left, chunk);
			}
			expect_number(r->why, h.at == HEADER_OVER, r->over);
			expect_true(r->why, h.size == r->size);
			expect_number(r->why, h.received, r->received);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_found_however_they_are_chopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
