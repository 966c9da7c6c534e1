#include "expect.h"

#include "base/buf.h"
#include "wire/header.h"
#include "wire/mailboxes.h"

static const struct {
	const char *why, *text;
	const char *want; /* addresses with spaces between them; ! at the end: then it is bad */
} rows[] = {
	/* clang-format off */
	{ "one",                     "a@b",                                   "a@b" },
	{ "with a name",             "Alice Example <a@b>",                   "a@b" },
	{ "several",                 "a@b, Bob <c@d>,e@f",                    "a@b c@d e@f" },
	{ "folded",                  "a@b,\r\n\t\"B, C\"\r\n <c@d>",          "a@b c@d" },
	{ "a quoted name",           "\"<x@y>, z@z\" <a@b>",                  "a@b" },
	{ "quotes in quotes",        "\"a \\\" <x@y>\" <a@b>",                "a@b" },
	{ "a quoted local part",     "\"a b\"@c",                             "\"a b\"@c" },
	{ "comments",                "(x@y) a@b (<z@z>, (in) it)",            "a@b" },
	{ "a comment in brackets",   "A <a@b(x)>",                            "a@b" },
	{ "blanks in brackets",      "A < a@b >",                             "a@b" },
	{ "a bracket in a comment",  "A (\\) <x@y>) <a@b>",                   "a@b" },
	{ "a group",                 "Team: a@b, C <c@d>; e@f",               "a@b c@d e@f" },
	{ "an empty group",          "undisclosed-recipients:;",              "" },
	{ "in upper case",           "A@B.Example",                           "A@b.example" },
	{ "in UTF-8",                "\xc3\xbc <\xc3\xbc@b>",                 "\xc3\xbc@b" },
	{ "nothing",                 "",                                      "" },
	{ "commas",                  " , ,",                                  "" },
	{ "a route",                 "<@x,@y:a@b>",                           "a@b" },
	{ "two in one",              "<a@b> <c@d>",                           "!" },
	{ "an address as a name",    "c@d <a@b>",                             "a@b" },
	{ "text behind it",          "<a@b> c@d",                             "!" },
	{ "no domain",               "alice",                                 "!" },
	{ "two words",               "a@b c@d",                               "!" },
	{ "no end of brackets",      "<a@b",                                  "!" },
	{ "no end of quotes",        "\"a@b",                                 "!" },
	{ "no end of a comment",     "a@b (c",                                "!" },
	{ "nobody",                  "<>",                                    "!" },
	{ "good ones before",        "a@b, <c@d",                             "a@b !" },
	/* clang-format on */
};

static void print_all(struct span text, struct span domain, struct buf *out)
{
	struct address a;
	enum mailbox_got got;

	while ((got = mailboxes_next_at(&text, domain, &a)) == MAILBOX_GOT) {
		if (out->len)
			buf_byte(out, ' ');
		buf_put(out, address_span(&a));
	}
	if (got == MAILBOX_BAD)
		buf_put(out, out->len ? SPAN(" !") : SPAN("!"));
}

static void addresses_are_found_as_the_rows_say(void **unused)
{
	uint8_t mem[256];
	struct buf out;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		buf_init(&out, mem, sizeof(mem));
		print_all(span_str(rows[i].text), SPAN_NONE, &out);
		expect_span(rows[i].why, buf_span(&out), span_str(rows[i].want));
	}
}

static void names_without_a_domain_may_get_one(void **unused)
{
	uint8_t mem[256];
	struct buf out;

	(void)unused;
	buf_init(&out, mem, sizeof(mem));
	print_all(SPAN("root, Bob <bob>, c@d, postmaster"), SPAN("mx.example"), &out);
	expect_span("names", buf_span(&out),
		    SPAN("root@mx.example bob@mx.example c@d postmaster@mx.example"));
}

/* From as a header has it. */
static void collect(struct span text, size_t chunk, struct buf *from)
{
	struct header h;

	header_init(&h);
	while (text.n) {
		header_scan_from(&h, span_head(text, chunk), from);
		text = span_skip(text, chunk);
	}
}

static void the_from_field_is_found_however_it_is_chopped(void **unused)
{
	static const struct span text = SPAN_INIT(
		"Subject: x\r\nFROM: a@b,\r\n\t\"C\" <c@d>\r\nX-From: x@y\r\n"
		"From : e@f\r\nFrom-X: x@y\r\n\r\nFrom: x@y\r\n");
	uint8_t mem[2][256];
	struct buf from, out;

	(void)unused;
	for (size_t chunk = 1; chunk < text.n + 1; chunk++) {
		buf_init(&from, mem[0], sizeof(mem[0]));
		buf_init(&out, mem[1], sizeof(mem[1]));
		collect(text, chunk, &from);
		print_all(buf_span(&from), SPAN_NONE, &out);
		expect_span("found", buf_span(&out), SPAN("a@b c@d e@f"));
	}
}

static void a_from_field_that_does_not_fit_is_noticed(void **unused)
{
	uint8_t mem[16];
	struct buf from;

	(void)unused;
	buf_init(&from, mem, sizeof(mem));
	collect(SPAN("From: a@b, c@d, e@f, g@h\r\n\r\n"), 5, &from);
	assert_true(from.full);
}

static void fields_that_are_there_are_known(void **unused)
{
	struct header h;

	(void)unused;
	header_init(&h);
	header_scan(&h,
		    SPAN("Date: x\r\nmessage-ID : y\r\nDate-X: z\r\nFromm: x\r\n\r\n"));
	assert_int_equal(h.has, HEADER_DATE | HEADER_MESSAGE_ID);
	assert_true(h.ended);
	assert_int_equal(h.size - h.line, 2);
	header_init(&h);
	header_scan(&h, SPAN("Date: x\r\nHello Bob\r\n"));
	assert_int_equal(h.at, HEADER_OVER);
	assert_false(h.ended);
	assert_int_equal(h.line, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_found_as_the_rows_say),
		cmocka_unit_test(names_without_a_domain_may_get_one),
		cmocka_unit_test(the_from_field_is_found_however_it_is_chopped),
		cmocka_unit_test(a_from_field_that_does_not_fit_is_noticed),
		cmocka_unit_test(fields_that_are_there_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
