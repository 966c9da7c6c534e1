#include "expect.h"

#include "wire/address.h"

#define TEN   "0123456789"
#define SIXTY TEN TEN TEN TEN TEN TEN

struct row {
	const char *why, *path;
	const char *want; /* NULL: no path */
};

static const struct row rows[] = {
	/* clang-format off */
	{ "plain",                      "<a@b.example>",               "a@b.example" },
	{ "one label",                  "<a@localhost>",               "a@localhost" },
	{ "domain in lower case",       "<Alice@B.EXAMPLE>",           "Alice@b.example" },
	{ "a dot at the end",           "<a@b.example.>",              "a@b.example" },
	{ "two dots at the end",        "<a@b.example..>",             NULL },
	{ "every kind of atom",         "<!#$%&'*+-/=?^_`{|}~.9@b>",   "!#$%&'*+-/=?^_`{|}~.9@b" },
	{ "quoted for nothing",         "<\"alice\"@b>",               "alice@b" },
	{ "quoted, with dots",          "<\"al.ice\"@b>",              "al.ice@b" },
	{ "escaped for nothing",        "<\"\\a\\l\"@b>",              "al@b" },
	{ "quoted for a space",         "<\"al ice\"@b>",              "\"al ice\"@b" },
	{ "quoted for a dot",           "<\"alice.\"@b>",              "\"alice.\"@b" },
	{ "quoted brackets",            "<\"a>b\\\"\\\\@\"@b>",        "\"a>b\\\"\\\\@\"@b" },
	{ "quoted nothing",             "<\"\"@b>",                    "\"\"@b" },
	{ "no end of quotes",           "<\"alice@b>",                 NULL },
	{ "a backslash at the end",     "<\"alice\\",                  NULL },
	{ "a control byte in quotes",   "<\"a\tb\"@b>",                NULL },
	{ "a route",                    "<@x.example:a@b>",            "a@b" },
	{ "a longer route",             "<@x,@[192.0.2.1],@z:a@b>",    "a@b" },
	{ "a route to nowhere",         "<@x>",                        NULL },
	{ "a route without @",          "<@x,y:a@b>",                  NULL },
	{ "an IPv4 literal",            "<a@[192.0.2.1]>",             "a@[192.0.2.1]" },
	{ "an IPv6 literal",            "<a@[IPv6:2001:DB8:0::1]>",    "a@[IPv6:2001:db8::1]" },
	{ "IPv6 without its tag",       "<a@[2001:db8::1]>",           NULL },
	{ "IPv4 with another's",        "<a@[IPv6:192.0.2.1]>",        NULL },
	{ "an unknown tag",             "<a@[x-foo:bar]>",             NULL },
	{ "an open literal",            "<a@[192.0.2.1>",              NULL },
	{ "nobody",                     "<>",                          "" },
	{ "the postmaster",             "<PostMaster>",                "postmaster" },
	{ "somebody without domain",    "<alice>",                     NULL },
	{ "no brackets",                "a@b",                         NULL },
	{ "half of them",               "<a@b",                        NULL },
	{ "nothing",                    "",                            NULL },
	{ "only one",                   "<",                           NULL },
	{ "no local part",              "<@b>",                        NULL },
	{ "no domain",                  "<a@>",                        NULL },
	{ "a dot first",                "<.a@b>",                      NULL },
	{ "a dot last",                 "<a.@b>",                      NULL },
	{ "two dots",                   "<a..b@b>",                    NULL },
	{ "a space",                    "<a b@b>",                     NULL },
	{ "two @",                      "<a@b@c>",                     NULL },
	{ "a hyphen first",             "<a@-b>",                      NULL },
	{ "a hyphen last",              "<a@b-.example>",              NULL },
	{ "an underscore",              "<a@b_c.example>",             "a@b_c.example" },
	{ "an empty label",             "<a@b..c>",                    NULL },
	{ "only a dot",                 "<a@.>",                       NULL },
	{ "a long local part",          "<" SIXTY TEN TEN "@b>",       SIXTY TEN TEN "@b" },
	{ "a label of 63",              "<a@" SIXTY "abc.d>",          "a@" SIXTY "abc.d" },
	{ "a label of 64",              "<a@" SIXTY "abcd.e>",         NULL },
	{ "one of other letters",       "<a@" SIXTY "ab\u00fc.e>",     "a@" SIXTY "ab\u00fc.e" },
	{ "254 bytes",                  "<" SIXTY SIXTY SIXTY SIXTY TEN "a@b>.",  NULL },
	{ "254 bytes, closed",          "<" SIXTY SIXTY SIXTY SIXTY TEN "a@bc>", SIXTY SIXTY SIXTY SIXTY TEN "a@bc" },
	{ "255 bytes",                  "<" SIXTY SIXTY SIXTY SIXTY TEN "a@bcd>", NULL },
	{ "UTF-8",                      "<j\xc3\xbcrgen@b\xc3\xbc" "cher.example>", "j\xc3\xbcrgen@b\xc3\xbc" "cher.example" },
	{ "not UTF-8",                  "<j\xfcrgen@b>",               NULL },
	{ "overlong",                   "<j\xc0\xafn@b>",              NULL },
	/* clang-format on */
};

static void paths_are_read_as_the_rows_say(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct span in = span_str(rows[i].path);
		struct address a;
		bool got = address_next(&in, &a);

		if (got && in.n) /* something behind it */
			got = false;
		expect_number(rows[i].why, got, rows[i].want != NULL);
		if (!got)
			continue;
		expect_span(rows[i].why, address_span(&a), span_str(rows[i].want));
	}
}

static void what_follows_a_path_is_left(void **unused)
{
	struct span in = SPAN("<a@b> SIZE=1");
	struct address a;

	(void)unused;
	assert_true(address_next(&in, &a));
	expect_span("rest", in, SPAN(" SIZE=1"));
	assert_int_equal(a.kind, ADDRESS_MAILBOX);
	expect_span("domain", address_domain(&a), SPAN("b"));
	in = SPAN("<a@b@c>");
	assert_false(address_next(&in, &a));
	expect_span("untouched", in, SPAN("<a@b@c>"));
}

/* Whatever is printed is read back as itself. */
static void normal_addresses_stay_as_they_are(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct address a;

		if (!rows[i].want || !strchr(rows[i].want, '@'))
			continue;
		assert_true(address_parse(span_str(rows[i].want), &a));
		expect_span(rows[i].why, address_span(&a), span_str(rows[i].want));
	}
}

static void hosts_are_domains_or_literals(void **unused)
{
	(void)unused;
	assert_true(address_is_host(SPAN("mx.example")));
	assert_true(address_is_host(SPAN("mx.example.")));
	assert_true(address_is_host(SPAN("[192.0.2.1]")));
	assert_true(address_is_host(SPAN("[IPv6:::1]")));
	assert_false(address_is_host(SPAN("[192.0.2]")));
	assert_false(address_is_host(SPAN("mx example")));
	assert_false(address_is_host(SPAN("")));
	assert_false(address_is_host(SPAN("b\xc3\xbc"
					  "cher.example")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_are_read_as_the_rows_say),
		cmocka_unit_test(what_follows_a_path_is_left),
		cmocka_unit_test(normal_addresses_stay_as_they_are),
		cmocka_unit_test(hosts_are_domains_or_literals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
