#include "expect.h"

#include "wire/proxy.h"
#include "wire/xclient.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define V6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0"

struct row {
	const char *why;
	struct span in;
	enum proxy_got got;
	const char *peer; /* "": it does not say */
	uint16_t port;
};

static const struct row rows[] = {
	/* clang-format off */
	{ "version 1, IPv4",        SPAN_INIT("PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n"), PROXY_OK, "192.0.2.7", 40000 },
	{ "version 1, IPv6",        SPAN_INIT("PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n"),  PROXY_OK, "2001:db8::7", 1 },
	{ "unknown",                SPAN_INIT("PROXY UNKNOWN\r\n"),                              PROXY_OK, "", 0 },
	{ "unknown, with more",     SPAN_INIT("PROXY UNKNOWN ff:: :: 1 2\r\n"),                  PROXY_OK, "", 0 },
	{ "families do not mix",    SPAN_INIT("PROXY TCP4 2001:db8::7 198.51.100.1 1 2\r\n"),    PROXY_BAD, "", 0 },
	{ "nor the other way",      SPAN_INIT("PROXY TCP6 192.0.2.7 2001:db8::1 1 2\r\n"),       PROXY_BAD, "", 0 },
	{ "another family",         SPAN_INIT("PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n"),      PROXY_BAD, "", 0 },
	{ "a port too many",        SPAN_INIT("PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n"),    PROXY_BAD, "", 0 },
	{ "a port too few",         SPAN_INIT("PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n"),        PROXY_BAD, "", 0 },
	{ "a port too large",       SPAN_INIT("PROXY TCP4 192.0.2.7 198.51.100.1 65536 1\r\n"),  PROXY_BAD, "", 0 },
	{ "LF alone",               SPAN_INIT("PROXY UNKNOWN\nEHLO x\r\n"),                      PROXY_BAD, "", 0 },
	{ "CR alone",               SPAN_INIT("PROXY UNKNOWN\rEHLO x\r\n"),                      PROXY_BAD, "", 0 },
	{ "no end in 107 bytes",    SPAN_INIT("PROXY UNKNOWN                                                                                             \r\n"), PROXY_BAD, "", 0 },
	{ "something else",         SPAN_INIT("EHLO there\r\n"),                                 PROXY_BAD, "", 0 },
	{ "in lower case",          SPAN_INIT("proxy UNKNOWN\r\n"),                              PROXY_BAD, "", 0 },
	{ "version 2, IPv4",        SPAN_INIT(V2 "\x21\x11\0\x0c\xc0\0\2\7\xc6\x33\x64\1\x9c\x40\0\x19"), PROXY_OK, "192.0.2.7", 40000 },
	{ "version 2, IPv6",        SPAN_INIT(V2 "\x21\x21\0\x24" V6 "\7" V6 "\1\0\1\0\x19"),    PROXY_OK, "2001:db8::7", 1 },
	{ "with an extension",      SPAN_INIT(V2 "\x21\x11\0\x10\xc0\0\2\7\xc6\x33\x64\1\0\1\0\x19\4\0\1x"), PROXY_OK, "192.0.2.7", 1 },
	{ "LOCAL",                  SPAN_INIT(V2 "\x20\0\0\0"),                                  PROXY_OK, "", 0 },
	{ "LOCAL, with addresses",  SPAN_INIT(V2 "\x20\x11\0\x0c\xc0\0\2\7\xc6\x33\x64\1\0\1\0\x19"), PROXY_OK, "", 0 },
	{ "unspecified",            SPAN_INIT(V2 "\x21\0\0\3abc"),                               PROXY_OK, "", 0 },
	{ "a unix socket",          SPAN_INIT(V2 "\x21\x31\0\0"),                                PROXY_OK, "", 0 },
	{ "addresses cut short",    SPAN_INIT(V2 "\x21\x11\0\x0b\xc0\0\2\7\xc6\x33\x64\1\0\1\0"), PROXY_BAD, "", 0 },
	{ "UDP",                    SPAN_INIT(V2 "\x21\x12\0\x0c\xc0\0\2\7\xc6\x33\x64\1\0\1\0\x19"), PROXY_BAD, "", 0 },
	{ "version 3",              SPAN_INIT(V2 "\x31\x11\0\x0c\xc0\0\2\7\xc6\x33\x64\1\0\1\0\x19"), PROXY_BAD, "", 0 },
	{ "another command",        SPAN_INIT(V2 "\x22\x11\0\x0c\xc0\0\2\7\xc6\x33\x64\1\0\1\0\x19"), PROXY_BAD, "", 0 },
	{ "too long",               SPAN_INIT(V2 "\x21\x11\xff\xff"),                            PROXY_BAD, "", 0 },
	/* clang-format on */
};

static void headers_are_read_as_the_rows_say(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct row *r = &rows[i];
		struct span in = r->in;
		struct proxy p;
		BUF(out, 64);

		expect_number(r->why, proxy_next(&in, &p), r->got);
		if (r->got != PROXY_OK)
			continue;
		expect_true(r->why, in.n == 0);
		expect_number(r->why, p.told, *r->peer != '\0');
		if (!p.told)
			continue;
		addr_print(&p.peer.addr, &out);
		expect_span(r->why, buf_span(&out), span_str(r->peer));
		expect_number(r->why, p.peer.port, r->port);
	}
}

static void a_good_header_is_waited_for_to_its_last_byte(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		for (size_t n = 0; rows[i].got == PROXY_OK && n < rows[i].in.n; n++) {
			struct span in = span_head(rows[i].in, n);
			struct proxy p;

			expect_number(rows[i].why, proxy_next(&in, &p), PROXY_MORE);
			expect_true(rows[i].why, in.n == n);
		}
}

static void what_follows_the_header_is_left(void **unused)
{
	struct span in = SPAN("PROXY UNKNOWN\r\nEHLO x\r\n");
	struct proxy p;

	(void)unused;
	assert_int_equal(proxy_next(&in, &p), PROXY_OK);
	expect_span("rest", in, SPAN("EHLO x\r\n"));
}

static void xtext_is_decoded(void **unused)
{
	BUF(out, 8);

	(void)unused;
	assert_true(xtext_parse(SPAN("a+2Bb+3D"), &out));
	expect_span("decoded", buf_span(&out), SPAN("a+b="));
	buf_reset(&out);
	assert_false(xtext_parse(SPAN("a+2"), &out));
	assert_false(xtext_parse(SPAN("a+2b"), &out)); /* upper case only */
	assert_false(xtext_parse(SPAN("a=b"), &out));
	assert_false(xtext_parse(SPAN("a b"), &out));
	assert_false(xtext_parse(SPAN("123456789"), &out));
}

static void xclient_takes_what_was_offered(void **unused)
{
	struct xclient x;
	BUF(out, 64);

	(void)unused;
	assert_true(xclient_parse(SPAN("NAME=a.example addr=192.0.2.7 PORT=25 PROTO=SMTP "
				       "HELO=[192.0.2.7] LOGIN=me"),
				  &x));
	addr_print(&x.addr, &out);
	expect_span("address", buf_span(&out), SPAN("192.0.2.7"));
	assert_int_equal(x.port, 25);
	assert_true(x.smtp);
	expect_span("helo", span_of(x.helo, x.helo_n), SPAN("[192.0.2.7]"));
	assert_true(xclient_parse(SPAN("ADDR=[UNAVAILABLE] PORT=[TEMPUNAVAIL]"), &x));
	assert_false(x.has_addr || x.has_port);
	assert_false(xclient_parse(SPAN("ADDR=2001:db8::1"), &x));
	assert_false(xclient_parse(SPAN("ADDR=IPV6:192.0.2.7"), &x));
	assert_false(xclient_parse(SPAN("DESTADDR=192.0.2.7"), &x));
	assert_false(xclient_parse(SPAN("PROTO=LMTP"), &x));
	assert_false(xclient_parse(SPAN("HELO=a+0D+0Ab"), &x));
}

static void check_printed(unsigned version, const struct endpoint *peer,
			  const struct endpoint *local, const char *why)
{
	struct proxy p;
	struct span left;
	BUF(out, 200);

	proxy_print(version, peer, local, &out);
	buf_put(&out, SPAN("EHLO"));
	assert_false(out.full);
	left = buf_span(&out);
	expect_number(why, proxy_next(&left, &p), PROXY_OK);
	expect_span(why, left, SPAN("EHLO"));
	expect_number(why, p.told, peer != NULL);
	if (!peer)
		return;
	expect_true(why, addr_eq(&p.peer.addr, &peer->addr));
	expect_true(why, addr_eq(&p.local.addr, &local->addr));
	expect_number(why, p.peer.port, peer->port);
	expect_number(why, p.local.port, local->port);
}

static void what_we_print_is_read_as_it_was_meant(void **state)
{
	const struct endpoint v4 = { addr_v4(192, 0, 2, 7), 40000 };
	const struct endpoint v6 = { { { 0x20, 0x01, 0x0d, 0xb8, [15] = 7 } }, 143 };

	(void)state;
	for (unsigned version = 1; version <= 2; version++) {
		check_printed(version, &v4, &v4, "IPv4");
		check_printed(version, &v6, &v6, "IPv6");
		check_printed(version, &v4, &v6, "IPv4 through IPv6");
		check_printed(version, &v6, &v4, "IPv6 through IPv4");
		check_printed(version, NULL, NULL, "nobody");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_read_as_the_rows_say),
		cmocka_unit_test(a_good_header_is_waited_for_to_its_last_byte),
		cmocka_unit_test(what_follows_the_header_is_left),
		cmocka_unit_test(what_we_print_is_read_as_it_was_meant),
		cmocka_unit_test(xtext_is_decoded),
		cmocka_unit_test(xclient_takes_what_was_offered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
