/* Domains in letters of all scripts, and what the DNS knows them as. */
#include "expect.h"

#include "io/idn.h"
#include "spec/limits.h"

static const struct {
	const char *why, *domain, *is;
} names[] = {
	{ "plain", "mx1.example.org", "mx1.example.org" },
	{ "upper case", "MX1.Example.ORG", "mx1.example.org" },
	{ "underscores are in the DNS", "_dmarc.a_b.example", "_dmarc.a_b.example" },
	{ "two hyphens alone say nothing", "r3---sn.example", "r3---sn.example" },
	{ "a literal is no name", "[IPv6:2001:db8::1]", "[ipv6:2001:db8::1]" },
	{ "nothing", "", "" },
	{ "letters", "b\u00fccher.example", "xn--bcher-kva.example" },
	{ "in upper case", "B\u00dcCHER.Example", "xn--bcher-kva.example" },
	{ "in two parts (NFD)", "bu\u0308cher.example", "xn--bcher-kva.example" },
	{ "in full width", "\uff42\u00fccher.example", "xn--bcher-kva.example" },
	{ "with another full stop", "b\u00fccher\u3002example", "xn--bcher-kva.example" },
	{ "the A-label", "xn--bcher-kva.example", "xn--bcher-kva.example" },
	{ "in upper case, too", "XN--BCHER-KVA.EXAMPLE", "xn--bcher-kva.example" },
	{ "sharp s is a letter (RFC 5894, 7.2)", "fa\u00df.example", "xn--fa-hia.example" },
	{ "and so is the final sigma", "\u03c2.example", "xn--3xa.example" },
	{ "from right to left", "\u05d0\u05d1.example", "xn--4dbc.example" },
	{ "all labels", "\u4f8b\u3048.\u30c6\u30b9\u30c8", "xn--r8jz45g.xn--zckzah" },
	{ "a heart as it is registered", "xn--i-7iq.example", "xn--i-7iq.example" },
	/* why not */
	{ "a snowman", "\u2603.example", NULL },
	{ "a heart", "i\u2764.example", NULL },
	{ "both directions", "\u05d0a.example", NULL },
	{ "an accent on nothing", "\u0308u.example", NULL },
	{ "nothing behind xn--", "a.xn--", NULL },
	{ "what cannot be decoded", "xn--99999999.example", NULL },
	{ "what stands for ASCII", "xn--foo-.example", NULL },
	{ "letters in an A-label", "xn--b\u00fccher.example", NULL },
	{ "an at sign in disguise", "a\uff20b.example", NULL },
	{ "a letter that is nothing", "\u00ad.example", NULL },
	{ "a label without any", "a..\u00fc", NULL },
	{ "not UTF-8",
	  "b\xfc"
	  "cher.example",
	  NULL },
};

static void a_domain_has_one_form(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		BUF(out, DOMAIN_MAX);
		const char *why = idn_domain(span_str(names[i].domain), &out);

		expect_true(names[i].why, (why == NULL) == (names[i].is != NULL));
		if (why)
			expect_number(names[i].why, (int64_t)out.len, 0);
		else
			expect_text(names[i].why, &out, names[i].is);
	}
}

static void fill(struct buf *b, size_t labels, size_t letters)
{
	for (size_t i = 0; i < labels; i++) {
		for (size_t n = 0; n < letters; n++)
			buf_put(b, SPAN("\u00fc"));
		buf_put(b, SPAN(".x."));
	}
	buf_put(b, SPAN("example"));
}

static void what_is_too_long_in_the_dns_is_no_domain(void **unused)
{
	BUF(out, DOMAIN_MAX);
	BUF(label, 200);
	BUF(name, 300);
	BUF(fits, 200);

	(void)unused;
	/* what counts is its length there: this one has 112 bytes here */
	fill(&fits, 1, 56);
	assert_null(idn_domain(buf_span(&fits), &out));
	expect_number("a label", (int64_t)span_find(buf_span(&out), '.'), 62);
	fill(&label, 1, 60);
	assert_non_null(idn_domain(buf_span(&label), &out));
	/* each of these is fine, but together they are not */
	fill(&name, 30, 1);
	assert_in_range(name.len, 0, DOMAIN_MAX);
	assert_non_null(idn_domain(buf_span(&name), &out));
}

static void what_does_not_fit_is_told(void **unused)
{
	BUF(out, 20);

	(void)unused;
	assert_non_null(idn_domain(SPAN("b\u00fccher.example"), &out));
	buf_reset(&out);
	assert_non_null(idn_domain(SPAN("twenty-one.characters"), &out));
}

static void an_address_keeps_what_is_before_its_last_at_sign(void **unused)
{
	static const struct {
		const char *address, *is;
	} rows[] = {
		{ "J\u00fcrgen@B\u00fccher.example", "J\u00fcrgen@xn--bcher-kva.example" },
		{ "\"a@\u2603\"@b\u00fccher.example",
		  "\"a@\u2603\"@xn--bcher-kva.example" },
		{ "@b\u00fccher.example", "@xn--bcher-kva.example" },
		{ "J\u00fcrgen", "J\u00fcrgen" },
		{ "", "" },
		{ "a@\u2603", NULL },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		BUF(out, ADDRESS_MAX);
		const char *why = idn_address(span_str(rows[i].address), &out);

		expect_true(rows[i].address, (why == NULL) == (rows[i].is != NULL));
		if (!why)
			expect_text(rows[i].address, &out, rows[i].is);
	}
}

static void a_host_in_ascii_keeps_its_case_and_its_port(void **unused)
{
	static const struct {
		const char *host, *is;
	} rows[] = {
		{ "MX.Example.org", "MX.Example.org" },
		{ "MX.Example.org:25", "MX.Example.org:25" },
		{ "[2001:DB8::1]:25", "[2001:DB8::1]:25" },
		{ "B\u00dcCHER.example:587", "xn--bcher-kva.example:587" },
		{ "XN--BCHER-KVA.example", "xn--bcher-kva.example" },
		{ "no host at all", "no host at all" },
		{ "", "" },
		{ "\u2603.example:25", NULL },
		{ "xn--99999999:25", NULL },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		BUF(out, DOMAIN_MAX);
		const char *why = idn_host(span_str(rows[i].host), &out);

		expect_true(rows[i].host, (why == NULL) == (rows[i].is != NULL));
		if (!why)
			expect_text(rows[i].host, &out, rows[i].is);
	}
}

/* NULL: it is shown as it is. */
static const struct {
	const char *why, *text, *is;
} shown[] = {
	{ "a domain", "xn--bcher-kva.example", "b\u00fccher.example" },
	{ "in upper case", "XN--BCHER-KVA.Example", "b\u00fccher.Example" },
	{ "an address", "bob@xn--bcher-kva.example", "bob@b\u00fccher.example" },
	{ "a path", "<bob@xn--bcher-kva.example>, <eve@a.example>",
	  "<bob@b\u00fccher.example>, <eve@a.example>" },
	{ "a next hop", "smtp:xn--bcher-kva.example:25", "smtp:b\u00fccher.example:25" },
	{ "a sentence", "asked mx.xn--bcher-kva.example. It said no.",
	  "asked mx.b\u00fccher.example. It said no." },
	{ "two scripts in two labels", "xn--bcher-kva.xn--p1ai",
	  "b\u00fccher.\u0440\u0444" },
	{ "Han and kana are one script", "xn--r8jz45g.example", "\u4f8b\u3048.example" },
	{ "one of two labels", "xn--bcher-kva.xn--fa-hia.xn--4dbc",
	  "b\u00fccher.fa\u00df.xn--4dbc" },
	/* as it is */
	{ "nothing to show", "a.example", NULL },
	{ "a name in front of an @", "xn--bcher-kva@a.example", NULL },
	{ "also with more in it", "xn--bcher-kva+x=xn--fa-hia.example@a.example", NULL },
	{ "also in quotes", "\"a xn--bcher-kva \"@a.example", NULL },
	{ "in the middle of a label", "axn--bcher-kva.example", NULL },
	{ "Cyrillic beside Latin", "xn--pypal-4ve.example", NULL },
	{ "Cyrillic that looks Latin", "xn--80ak6aa92e.example", NULL },
	{ "from right to left", "xn--4dbc.example", NULL },
	{ "a heart", "xn--i-7iq.example", NULL },
	{ "a letter of no language here", "xn--qha.example", NULL },
	{ "what cannot be decoded", "xn--99999999.example", NULL },
	{ "what stands for ASCII", "xn--foo-.example", NULL },
	{ "nothing behind it", "xn--.example", NULL },
};

static void people_see_letters_that_are_what_they_seem_to_be(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(shown); i++) {
		BUF(out, 200);
		bool changed = idn_show(span_str(shown[i].text), &out);

		expect_true(shown[i].why, changed == (shown[i].is != NULL));
		expect_text(shown[i].why, &out, shown[i].is ? shown[i].is : "");
	}
}

static void what_is_shown_with_letters_and_does_not_fit_is_not_shown(void **unused)
{
	BUF(out, 10);

	(void)unused;
	assert_false(idn_show(SPAN("xn--bcher-kva.example"), &out));
	assert_int_equal(out.len, 0);
}

static void the_library_can_be_opened_twice(void **unused)
{
	struct err err = { 0 };

	(void)unused;
	assert_true(idn_open(&err));
	assert_true(idn_open(&err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_domain_has_one_form),
		cmocka_unit_test(what_is_too_long_in_the_dns_is_no_domain),
		cmocka_unit_test(what_does_not_fit_is_told),
		cmocka_unit_test(an_address_keeps_what_is_before_its_last_at_sign),
		cmocka_unit_test(a_host_in_ascii_keeps_its_case_and_its_port),
		cmocka_unit_test(people_see_letters_that_are_what_they_seem_to_be),
		cmocka_unit_test(what_is_shown_with_letters_and_does_not_fit_is_not_shown),
		cmocka_unit_test(the_library_can_be_opened_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
