#include "expect.h"

#include "base/addr.h"

/* clang-format off */
static const struct {
	const char *why, *text, *print; /* print NULL: refused */
} addresses[] = {
	{ "IPv4",                          "192.0.2.7",              "192.0.2.7" },
	{ "IPv4, least",                   "0.0.0.0",                "0.0.0.0" },
	{ "IPv4, greatest",                "255.255.255.255",        "255.255.255.255" },
	{ "IPv4 above a byte",             "192.0.2.256",            NULL },
	{ "IPv4 with three parts",         "192.0.2",                NULL },
	{ "IPv4 with five parts",          "192.0.2.7.1",            NULL },
	{ "IPv4 with a dot behind",        "192.0.2.7.",             NULL },
	{ "IPv4 with an empty part",       "192..2.7",               NULL },
	{ "IPv4 with a leading zero",      "192.0.2.010",            NULL },
	{ "IPv4 with a sign",              "192.0.2.+7",             NULL },
	{ "IPv4 with a space",             " 192.0.2.7",             NULL },
	{ "nothing",                       "",                       NULL },
	{ "a name",                        "localhost",              NULL },
	{ "IPv6",                          "2001:db8::1",            "2001:db8::1" },
	{ "IPv6 in upper case",            "2001:DB8::ABCD",         "2001:db8::abcd" },
	{ "IPv6, any",                     "::",                     "::" },
	{ "IPv6, loopback",                "::1",                    "::1" },
	{ "IPv6 in full",                  "1:2:3:4:5:6:7:8",        "1:2:3:4:5:6:7:8" },
	{ "IPv6, zeros written out",       "2001:db8:0:0:0:0:0:1",   "2001:db8::1" },
	{ "IPv6, the longer gap",          "1:0:0:2:0:0:0:3",        "1:0:0:2::3" },
	{ "IPv6, the first of equal gaps", "1:0:0:2:3:0:0:4",        "1::2:3:0:0:4" },
	{ "IPv6, one zero stays",          "1:2:3:0:5:6:7:8",        "1:2:3:0:5:6:7:8" },
	{ "IPv6, gap at the end",          "fe80::",                 "fe80::" },
	{ "IPv6, one group as a gap",      "1:2:3:4:5:6:7::",        "1:2:3:4:5:6:7:0" },
	{ "IPv6 that is IPv4",             "::ffff:192.0.2.7",       "192.0.2.7" },
	{ "IPv6 with IPv4 at its end",     "64:ff9b::192.0.2.7",     "64:ff9b::c000:207" },
	{ "IPv6 in full with IPv4",        "1:2:3:4:5:6:1.2.3.4",    "1:2:3:4:5:6:102:304" },
	{ "IPv6 with IPv4 in front",       "1.2.3.4::",              NULL },
	{ "IPv6 with IPv4 in the middle",  "1:1.2.3.4:2::",          NULL },
	{ "IPv6 with seven groups",        "1:2:3:4:5:6:7",          NULL },
	{ "IPv6 with nine groups",         "1:2:3:4:5:6:7:8:9",      NULL },
	{ "IPv6 with a gap of nothing",    "1:2:3:4::5:6:7:8",       NULL },
	{ "IPv6 with two gaps",            "1::2::3",                NULL },
	{ "IPv6 with three colons",        ":::1",                   NULL },
	{ "IPv6 with a colon in front",    ":1:2:3:4:5:6:7:8",       NULL },
	{ "IPv6 with a colon behind",      "1:2:3:4:5:6:7:",         NULL },
	{ "IPv6 with five digits",         "2001:0db80::1",          NULL },
	{ "IPv6 with a zone",              "fe80::1%eth0",           NULL },
	{ "a colon",                       ":",                      NULL },
};

static const struct {
	const char *why, *net, *addr;
	int in; /* 1 yes, 0 no, -1 the net is refused */
} nets[] = {
	{ "inside",                  "192.0.2.0/24",    "192.0.2.255",   1 },
	{ "outside",                 "192.0.2.0/24",    "192.0.3.0",     0 },
	{ "inside odd bits",         "192.0.2.64/26",   "192.0.2.127",   1 },
	{ "outside odd bits",        "192.0.2.64/26",   "192.0.2.128",   0 },
	{ "one address",             "192.0.2.7",       "192.0.2.7",     1 },
	{ "not that address",        "192.0.2.7",       "192.0.2.6",     0 },
	{ "all of IPv4",             "0.0.0.0/0",       "203.0.113.1",   1 },
	{ "all of IPv4 has no IPv6", "0.0.0.0/0",       "2001:db8::1",   0 },
	{ "all of IPv6 has IPv4",    "::/0",            "192.0.2.1",     1 },
	{ "IPv6",                    "2001:db8::/33",   "2001:db8:7fff::", 1 },
	{ "outside IPv6",            "2001:db8::/33",   "2001:db8:8000::", 0 },
	{ "host bits",               "192.0.2.7/24",    "192.0.2.7",    -1 },
	{ "too many bits",           "192.0.2.0/33",    "192.0.2.0",    -1 },
	{ "too many bits in IPv6",   "2001:db8::/129",  "2001:db8::",   -1 },
	{ "no bits",                 "192.0.2.0/",      "192.0.2.0",    -1 },
};

static const struct {
	const char *why, *text, *print;
	int port; /* 0: refused */
} endpoints[] = {
	{ "IPv4",               "192.0.2.7:25",      "192.0.2.7",   25 },
	{ "IPv6",               "[2001:db8::1]:587", "2001:db8::1", 587 },
	{ "anywhere",           "*:25",              "::",          25 },
	{ "IPv6 unbracketed",   "2001:db8::1:25",    "",            0 },
	{ "IPv4 in brackets",   "[192.0.2.7]:25",    "",            0 },
	{ "no port",            "192.0.2.7",         "",            0 },
	{ "an empty port",      "192.0.2.7:",        "",            0 },
	{ "port zero",          "192.0.2.7:0",       "",            0 },
	{ "a port too great",   "192.0.2.7:65536",   "",            0 },
	{ "no address",         ":25",               "",            0 },
};
/* clang-format on */

static void addresses_are_read_and_printed_as_the_rfc_says(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(addresses); i++) {
		struct addr a;
		BUF(out, 64);

		if (!addr_parse(span_str(addresses[i].text), &a)) {
			expect_true(addresses[i].why, addresses[i].print == NULL);
			continue;
		}
		expect_true(addresses[i].why, addresses[i].print != NULL);
		addr_print(&a, &out);
		expect_text(addresses[i].why, &out, addresses[i].print);
	}
}

static void what_was_printed_is_read_as_the_same_address(void **unused)
{
	uint64_t seed = 1;

	(void)unused;
	for (int i = 0; i < 20000; i++) {
		struct addr a, b;
		BUF(out, 64);

		for (size_t j = 0; j < 16; j++)
			a.ip[j] = dice_below(&seed, 3) ? 0 : (uint8_t)dice(&seed);
		addr_print(&a, &out);
		assert_true(addr_parse(buf_span(&out), &b));
		assert_true(addr_eq(&a, &b));
	}
}

static void a_net_has_what_its_bits_say(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(nets); i++) {
		struct addr a;
		struct net n;

		assert_true(addr_parse(span_str(nets[i].addr), &a));
		if (!net_parse(span_str(nets[i].net), &n))
			expect_number(nets[i].why, -1, nets[i].in);
		else
			expect_number(nets[i].why, net_has(&n, &a), nets[i].in);
	}
}

static void a_net_is_printed_as_it_is_read(void **unused)
{
	static const char *const texts[] = { "192.0.2.0/24",  "192.0.2.7",   "0.0.0.0/0",
					     "2001:db8::/32", "2001:db8::1", "::/0" };

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct net n;
		BUF(out, 64);

		assert_true(net_parse(span_str(texts[i]), &n));
		net_print(&n, &out);
		expect_text(texts[i], &out, texts[i]);
	}
}

static void an_endpoint_is_an_address_and_a_port(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(endpoints); i++) {
		struct endpoint e = { 0 };
		BUF(out, 64);

		if (!endpoint_parse(span_str(endpoints[i].text), &e)) {
			expect_number(endpoints[i].why, 0, endpoints[i].port);
			continue;
		}
		expect_number(endpoints[i].why, e.port, endpoints[i].port);
		addr_print(&e.addr, &out);
		expect_text(endpoints[i].why, &out, endpoints[i].print);
	}
}

static void a_literal_says_that_it_is_ipv6(void **unused)
{
	struct addr v4 = addr_v4(192, 0, 2, 7), v6;
	BUF(out, 64);

	(void)unused;
	addr_print_literal(&v4, &out);
	expect_text("IPv4", &out, "[192.0.2.7]");
	buf_reset(&out);
	assert_true(addr_parse(SPAN("2001:db8::1"), &v6));
	addr_print_literal(&v6, &out);
	expect_text("IPv6", &out, "[IPv6:2001:db8::1]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read_and_printed_as_the_rfc_says),
		cmocka_unit_test(what_was_printed_is_read_as_the_same_address),
		cmocka_unit_test(a_net_has_what_its_bits_say),
		cmocka_unit_test(a_net_is_printed_as_it_is_read),
		cmocka_unit_test(an_endpoint_is_an_address_and_a_port),
		cmocka_unit_test(a_literal_says_that_it_is_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
