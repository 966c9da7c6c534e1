/*
 * The bytes that DKIM signs (RFC 6376): bodies and headers in their relaxed form, which
 * fields, whose domain, and how the field is written.
 */
#include "expect.h"

#include "wire/dkim.h"

static void put(void *arg, struct span bytes)
{
	buf_put(arg, bytes);
}

/* ---- bodies ---- */

struct body_row {
	const char *why, *text, *want;
};

static const struct body_row bodies[] = {
	/* clang-format off */
	{ "RFC 6376, 3.4.5",        " C \r\nD \t E\r\n\r\n\r\n",     " C\r\nD E\r\n" },
	{ "empty",                  "",                              "" },
	{ "one empty line",         "\r\n",                          "" },
	{ "empty lines",            "\r\n\r\n\r\n",                  "" },
	{ "lines of blanks",        " \r\n\t\r\n  ",                 "" },
	{ "no end of line",         "a",                             "a\r\n" },
	{ "blanks at the very end", "a \t",                          "a\r\n" },
	{ "empty lines between",    "a\r\n\r\n\r\nb\r\n",            "a\r\n\r\n\r\nb\r\n" },
	{ "blank lines between",    "a\r\n \r\nb\r\n",               "a\r\n\r\nb\r\n" },
	{ "at the beginning",       "\r\n\r\na\r\n",                 "\r\n\r\na\r\n" },
	{ "indented",               "\t a\r\n",                      " a\r\n" },
	{ "a CR alone",             "a\rb\r\n",                      "a\rb\r\n" },
	{ "a CR at the end",        "a\r",                           "a\r\r\n" },
	{ "two CRs",                "a\r\r\nb",                      "a\r\r\nb\r\n" },
	{ "an LF alone",            "a\nb\r\n",                      "a\nb\r\n" },
	{ "a blank, then a CR",     "a \rb\r\n",                     "a \rb\r\n" },
	{ "bytes above 127",        "\xc3\xbc  \xff\r\n",            "\xc3\xbc \xff\r\n" },
	/* clang-format on */
};

static void relax(struct span text, size_t chunk, struct buf *out)
{
	struct dkim_body b;

	dkim_body_init(&b, put, out);
	for (; text.n; text = span_skip(text, chunk))
		dkim_body(&b, span_head(text, chunk));
	dkim_body_end(&b);
}

static void bodies_are_relaxed_however_they_are_chopped(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(bodies); i++)
		for (size_t chunk = 1; chunk < 30; chunk++) {
			BUF(out, 100);

			relax(span_str(bodies[i].text), chunk, &out);
			expect_text(bodies[i].why, &out, bodies[i].want);
		}
}

static void many_empty_lines_are_kept_when_something_follows(void **unused)
{
	char text[2 * 1000 + 3];
	BUF(out, 4000);

	(void)unused;
	for (size_t i = 0; i < 1000; i++)
		memcpy(text + 2 * i, "\r\n", 2);
	memcpy(text + 2000, "x", 2);
	relax(span_of(text, 2001), 7, &out);
	expect_number("all of them", (int64_t)out.len, 2003);
}

/* ---- headers ---- */

static void fields_are_relaxed_and_taken_from_the_bottom(void **unused)
{
	static const struct span header = SPAN_INIT(
		"Received: by x\r\nTo: first\r\nFROM :  Bob \t <b@x>\r\nX-Other: y\r\n"
		"Subject: a\r\n\tb\r\n  c  \r\nTo: second\r\n");
	struct dkim_fields f;
	BUF(out, 400);

	(void)unused;
	expect_true("read", dkim_fields_read(&f, header));
	dkim_signed_put(&f, SPAN("DKIM-Signature: v=1;\r\n\tb="), put, &out);
	expect_text("in the order of the table", &out,
		    "from:Bob <b@x>\r\nto:second\r\nto:first\r\nsubject:a b c\r\n"
		    "dkim-signature:v=1; b=");
}

static void a_field_that_must_not_be_added_is_named_once_more(void **unused)
{
	const struct dkim_signature s = {
		.algorithm = "rsa-sha256",
		.domain = "x.example",
		.selector = "one",
		.body_hash = SPAN("abc"),
		.time = 7,
		.expires = 8,
	};
	struct dkim_fields f;
	BUF(out, 1000);

	(void)unused;
	expect_true("read",
		    dkim_fields_read(&f, SPAN("From: b@x\r\nDate: now\r\nTo: c\r\nTo: d\r\n"
					      "List-Id: l\r\n")));
	dkim_print(&s, &f, &out);
	dkim_finish(SPAN("signature"), &out);
	expect_text("the field", &out,
		    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
		    "\td=x.example;\r\n\ts=one; t=7; x=8;\r\n"
		    "\th=from:from:to:to:to:cc:subject:reply-to:date:date:list-id;\r\n"
		    "\tbh=YWJj;\r\n\tb=c2lnbmF0dXJl\r\n");
}

static void lines_of_the_field_are_short(void **unused)
{
	static const char *const names[] = { "From",	     "To",
					     "Cc",	     "Date",
					     "Message-ID",   "In-Reply-To",
					     "References",   "MIME-Version",
					     "Content-Type", "Content-Transfer-Encoding" };
	const struct dkim_signature s = { "rsa-sha256", "x.example", "one",
					  SPAN("hash"), 0,	     0 };
	uint8_t signature[256] = { 0 };
	struct dkim_fields f;
	BUF(header, 1000);
	BUF(out, 4000);

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		buf_fmt(&header, "%s: x\r\n", names[i]);
	expect_true("read", dkim_fields_read(&f, buf_span(&header)));
	dkim_print(&s, &f, &out);
	dkim_finish(span_of(signature, sizeof(signature)), &out);
	for (struct span left = buf_span(&out); left.n;) {
		struct span line = span_cut(&left, '\n');

		expect_true("78 columns at most", line.n <= 79);
		expect_true("ends with CRLF", line.n && line.p[line.n - 1] == '\r');
		expect_true("continues", left.n == 0 || left.p[0] == '\t');
	}
}

static void what_nobody_should_vouch_for_is_not_signed(void **unused)
{
	struct dkim_fields f;
	BUF(many, 4000);

	(void)unused;
	expect_false("no From", dkim_fields_read(&f, SPAN("To: x\r\n")));
	expect_false("two From", dkim_fields_read(&f, SPAN("From: a@x\r\nFrom: b@y\r\n")));
	expect_false("nothing", dkim_fields_read(&f, SPAN("")));
	buf_put(&many, SPAN("From: a@x\r\n"));
	for (size_t i = 0; i < DKIM_FIELDS_MAX; i++)
		buf_put(&many, SPAN("To: x\r\n"));
	expect_false("too many", dkim_fields_read(&f, buf_span(&many)));
}

/* ---- From ---- */

struct from_row {
	const char *from, *domain; /* NULL: none */
};

static const struct from_row froms[] = {
	{ "bob@x.example", "x.example" },
	{ " Bob <bob@X.Example> ", "x.example" },
	{ "\"Bob, the @ <b@evil.example>\" <bob@x.example>", "x.example" },
	{ "\"a \\\" b\" <bob@x.example>", "x.example" },
	{ "(b@evil.example (c)) bob@x.example (d)", "x.example" },
	{ "Bob\r\n <bob@x.example>", "x.example" },
	{ "\"a b\"@x.example", "x.example" },
	{ "a@one.example, b@two.example", "one.example" },
	{ "Bob <a@one.example>, Carol <b@two.example>", "one.example" },
	{ "friends: a@one.example, b@two.example;", "one.example" },
	{ "undisclosed:;", NULL },
	{ "", NULL },
	{ "bob", NULL },
	{ "<>", NULL },
	{ "bob@[192.0.2.1]", NULL },
	{ "bob@b\xc3\xbc"
	  "cher.example",
	  "b\xc3\xbc"
	  "cher.example" },
	{ "\"never closed <a@x.example>", NULL },
	{ "(never closed <a@x.example>", NULL },
};

static void the_domain_is_that_of_the_first_address(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(froms); i++) {
		struct dkim_fields f;
		BUF(header, 200);
		BUF(out, 100);

		buf_fmt(&header, "From:%s\r\n", froms[i].from);
		expect_true(froms[i].from, dkim_fields_read(&f, buf_span(&header)));
		expect_true(froms[i].from,
			    dkim_from_domain(&f, &out) == (froms[i].domain != NULL));
		if (froms[i].domain)
			expect_text(froms[i].from, &out, froms[i].domain);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_are_relaxed_however_they_are_chopped),
		cmocka_unit_test(many_empty_lines_are_kept_when_something_follows),
		cmocka_unit_test(fields_are_relaxed_and_taken_from_the_bottom),
		cmocka_unit_test(a_field_that_must_not_be_added_is_named_once_more),
		cmocka_unit_test(lines_of_the_field_are_short),
		cmocka_unit_test(what_nobody_should_vouch_for_is_not_signed),
		cmocka_unit_test(the_domain_is_that_of_the_first_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
