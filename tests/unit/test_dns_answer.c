#include "expect.h"

#include "io/dns_answer.h"

/* io/dns_answer: what answers say, byte by byte. */

#define QUESTION "\1q\4test\0\0\1\0\1"

struct packet {
	uint8_t mem[4096];
	struct buf buf;
};

static void begin(struct packet *p, int code, int answers, int authorities)
{
	buf_init(&p->buf, p->mem, sizeof(p->mem));
	buf_put(&p->buf, SPAN("\x12\x34\x81"));
	buf_byte(&p->buf, (uint8_t)(0x80 | code));
	buf_put(&p->buf, SPAN("\0\1\0"));
	buf_byte(&p->buf, (uint8_t)answers);
	buf_byte(&p->buf, 0);
	buf_byte(&p->buf, (uint8_t)authorities);
	buf_put(&p->buf, SPAN("\0\0"));
	buf_put(&p->buf, span_of(QUESTION, sizeof(QUESTION) - 1));
}

/* A record of the name in the question. */
static void record(struct packet *p, int type, uint32_t ttl, struct span bytes)
{
	buf_put(&p->buf, SPAN("\xc0\x0c\0"));
	buf_byte(&p->buf, (uint8_t)type);
	buf_put(&p->buf, SPAN("\0\1"));
	for (int shift = 24; shift >= 0; shift -= 8)
		buf_byte(&p->buf, (uint8_t)(ttl >> shift));
	buf_byte(&p->buf, (uint8_t)(bytes.n >> 8));
	buf_byte(&p->buf, (uint8_t)bytes.n);
	buf_put(&p->buf, bytes);
}

static struct dns_answer parse(const struct packet *p, unsigned type)
{
	struct dns_answer a;

	assert_false(p->buf.full);
	dns_answer_parse(buf_span(&p->buf), type, &a);
	return a;
}

static void addresses_come_with_the_shortest_ttl(void **unused)
{
	struct addr second = addr_v4(127, 0, 0, 4);
	struct dns_answer a;
	struct packet p;

	(void)unused;
	begin(&p, 0, 2, 0);
	record(&p, DNS_A, 300, SPAN("\x7f\0\0\2"));
	record(&p, DNS_A, 100, SPAN("\x7f\0\0\4"));
	a = parse(&p, DNS_A);
	assert_int_equal(a.result, DNS_FOUND);
	assert_int_equal(a.ttl, 100);
	assert_int_equal(a.count, 2);
	assert_true(addr_eq(&a.addresses[1], &second));
}

static void the_owner_is_whom_an_alias_stands_for(void **unused)
{
	static const char far[] = "\4Real\4host\0";
	struct packet p;
	struct dns_answer a;

	(void)unused;
	begin(&p, 0, 2, 0);
	record(&p, 5, 300, span_of(far, sizeof(far) - 1));
	/* of the name that is the data of the record before */
	buf_put(&p.buf, span_of("\xc0", 1));
	buf_byte(&p.buf, (uint8_t)(p.buf.len - sizeof(far)));
	buf_put(&p.buf, span_of("\0\1\0\1\0\0\0\7\0\4\177\0\0\1", 14));
	a = parse(&p, DNS_A);
	assert_int_equal(a.result, DNS_FOUND);
	expect_span("owner", span_of(a.owner.text, a.owner.n), SPAN("real.host"));
	begin(&p, 0, 1, 0);
	record(&p, 1, 300, SPAN("\177\0\0\1"));
	a = parse(&p, DNS_A);
	expect_span("no alias", span_of(a.owner.text, a.owner.n), SPAN("q.test"));
	begin(&p, 0, 0, 0);
	assert_int_equal(parse(&p, DNS_A).owner.n, 0);
}

static void only_so_many_are_kept(void **unused)
{
	struct packet p;

	(void)unused;
	begin(&p, 0, 60, 0);
	for (int i = 0; i < 60; i++)
		record(&p, DNS_A, 300, SPAN("\x7f\0\0\2"));
	assert_int_equal(parse(&p, DNS_A).count, DNS_ANSWER_ADDRESSES);
}

static void nothing_found_is_told_from_no_such_name_and_from_a_failure(void **unused)
{
	static const uint8_t soa[] = { 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0,
				       0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 120 };
	struct packet p;

	(void)unused;
	begin(&p, 0, 0, 1);
	record(&p, 6, 900, span_of(soa, sizeof(soa)));
	assert_int_equal(parse(&p, DNS_A).result, DNS_NO_DATA);
	assert_int_equal(parse(&p, DNS_A).ttl, 120);
	begin(&p, 3, 0, 1);
	record(&p, 6, 90, span_of(soa, sizeof(soa)));
	assert_int_equal(parse(&p, DNS_A).result, DNS_NO_NAME);
	assert_int_equal(parse(&p, DNS_A).ttl, 90);
	begin(&p, 3, 0, 0);
	assert_int_equal(parse(&p, DNS_A).ttl, UINT32_MAX);
	begin(&p, 2, 0, 0); /* SERVFAIL */
	assert_int_equal(parse(&p, DNS_A).result, DNS_FAILED);
	begin(&p, 5, 0, 0); /* REFUSED */
	assert_int_equal(parse(&p, DNS_A).result, DNS_FAILED);
}

static void mail_hosts_come_with_their_preference(void **unused)
{
	struct dns_answer a;
	struct packet p;

	(void)unused;
	begin(&p, 0, 4, 0);
	record(&p, DNS_MX, 300, SPAN("\0\x14\2mx\1b\4test\0"));
	record(&p, DNS_MX, 300, SPAN("\1\0\2MX\xc0\x0e")); /* "test" of the question */
	record(&p, DNS_MX, 300, SPAN("\0\x0a\4a\nb.\0"));  /* not a host */
	record(&p, DNS_MX, 300, SPAN("\0"));
	a = parse(&p, DNS_MX);
	assert_int_equal(a.result, DNS_FOUND);
	assert_int_equal(a.mx_count, 2);
	assert_int_equal(a.mx[0].preference, 20);
	expect_span("a host", span_of(a.mx[0].host.text, a.mx[0].host.n),
		    SPAN("mx.b.test"));
	assert_int_equal(a.mx[1].preference, 256);
	expect_span("a pointer", span_of(a.mx[1].host.text, a.mx[1].host.n),
		    SPAN("mx.test"));
	begin(&p, 0, 1, 0);
	record(&p, DNS_MX, 300, SPAN("\0\0\0"));
	a = parse(&p, DNS_MX);
	assert_int_equal(a.mx_count, 1);
	assert_int_equal(a.mx[0].host.n, 0);
}

static void no_more_mail_hosts_are_kept_than_there_is_room_for(void **unused)
{
	struct packet p;

	(void)unused;
	begin(&p, 0, 100, 0);
	for (int i = 0; i < 100; i++)
		record(&p, DNS_MX, 300, SPAN("\0\1\1a\0"));
	assert_int_equal(parse(&p, DNS_MX).mx_count, DNS_ANSWER_HOSTS);
}

static void tlsa_records_are_three_numbers_and_bytes(void **unused)
{
	struct dns_answer a;
	struct packet p;

	(void)unused;
	begin(&p, 0, 2, 0);
	record(&p, DNS_TLSA, 300, SPAN("\3\1\1hash"));
	record(&p, DNS_TLSA, 300, SPAN("\3\1\1")); /* nothing in it */
	a = parse(&p, DNS_TLSA);
	assert_int_equal(a.tlsa_count, 1);
	assert_int_equal(a.tlsa[0].usage, 3);
	assert_int_equal(a.tlsa[0].selector, 1);
	assert_int_equal(a.tlsa[0].matching, 1);
	expect_span("bytes", a.tlsa[0].bytes, SPAN("hash"));
}

static void the_strings_of_a_text_are_joined(void **unused)
{
	struct dns_answer a;
	struct packet p;
	BUF(text, 20);

	(void)unused;
	begin(&p, 0, 1, 0);
	record(&p, DNS_TXT, 300, SPAN("\2v=\0\3one\11cut"));
	a = parse(&p, DNS_TXT);
	assert_int_equal(a.text_count, 1);
	assert_true(dns_text(a.texts[0], &text));
	expect_text("joined", &text, "v=onecut");
	assert_false(dns_text(SPAN("\x14"
				   "01234567890123456789"),
			      &text));
}

static void authentic_is_what_the_server_says_is(void **unused)
{
	struct packet p;

	(void)unused;
	begin(&p, 0, 1, 0);
	record(&p, DNS_A, 300, SPAN("\x7f\0\0\2"));
	assert_false(parse(&p, DNS_A).authentic);
	p.mem[3] |= 0x20;
	assert_true(parse(&p, DNS_A).authentic);
	p.mem[3] = 0xa2; /* SERVFAIL */
	assert_false(parse(&p, DNS_A).authentic);
}

static void another_type_is_not_what_was_asked_for(void **unused)
{
	struct packet p;

	(void)unused;
	begin(&p, 0, 3, 0);
	record(&p, 5, 300, SPAN("\1x\0")); /* an alias */
	record(&p, DNS_AAAA, 300, SPAN("0123456789abcdef"));
	record(&p, DNS_A, 300, SPAN("\x7f\0\0")); /* a byte short */
	assert_int_equal(parse(&p, DNS_A).result, DNS_NO_DATA);
	assert_int_equal(parse(&p, DNS_AAAA).count, 1);
}

static void names_are_of_hosts_and_in_lower_case(void **unused)
{
	struct dns_answer a;
	struct packet p;

	(void)unused;
	begin(&p, 0, 6, 0);
	record(&p, DNS_PTR, 300, SPAN("\4MAIL\xc0\x0e"));
	record(&p, DNS_PTR, 300, SPAN("\3a.b\xc0\x0e"));
	record(&p, DNS_PTR, 300, SPAN("\3a\rb\xc0\x0e"));
	record(&p, DNS_PTR, 300, SPAN("\0"));
	record(&p, DNS_PTR, 300, SPAN("\xc0\xff"));
	record(&p, DNS_PTR, 300, SPAN("\2mx\5there\0"));
	a = parse(&p, DNS_PTR);
	assert_int_equal(a.result, DNS_FOUND);
	assert_int_equal(a.name_count, 2);
	assert_memory_equal(a.names[0].text, "mail.test", 9);
	assert_int_equal(a.names[0].n, 9);
	assert_memory_equal(a.names[1].text, "mx.there", 8);
	assert_int_equal(a.names[1].n, 8);
}

static void names_that_go_in_circles_or_on_for_ever_are_left_out(void **unused)
{
	uint8_t mem[300];
	struct packet p;
	struct buf long_name;
	size_t at;

	(void)unused;
	begin(&p, 0, 2, 0);
	at = p.buf.len + 12;
	mem[0] = (uint8_t)(0xc0 | at >> 8);
	mem[1] = (uint8_t)at;
	record(&p, DNS_PTR, 300, span_of(mem, 2)); /* points to itself */
	buf_init(&long_name, mem, sizeof(mem));
	for (int i = 0; i < 5; i++) {
		buf_byte(&long_name, 57);
		for (int k = 0; k < 57; k++)
			buf_byte(&long_name, 'x');
	}
	buf_byte(&long_name, 0);
	record(&p, DNS_PTR, 300, buf_span(&long_name));
	assert_int_equal(parse(&p, DNS_PTR).result, DNS_FOUND);
	assert_int_equal(parse(&p, DNS_PTR).name_count, 0);
}

static void half_an_answer_is_none(void **unused)
{
	struct dns_answer a;
	struct packet p;

	(void)unused;
	begin(&p, 0, 2, 0);
	record(&p, DNS_A, 300, SPAN("\x7f\0\0\2"));
	record(&p, DNS_A, 300, SPAN("\x7f\0\0\4"));
	for (size_t n = 0; n < p.buf.len; n++) {
		dns_answer_parse(span_of(p.mem, n), DNS_A, &a);
		assert_int_equal(a.result, DNS_FAILED);
		assert_int_equal(a.count, 0);
	}
}

static void reverse_names_are_octets_or_nibbles_backwards(void **unused)
{
	uint8_t mem[300];
	struct addr v4 = addr_v4(192, 0, 2, 99), v6;
	struct buf out;

	(void)unused;
	buf_init(&out, mem, sizeof(mem));
	dns_print_reverse(&v4, SPAN("bl.example"), &out);
	assert_memory_equal(mem, "99.2.0.192.bl.example", out.len);
	buf_reset(&out);
	dns_print_ptr(&v4, &out);
	assert_memory_equal(mem, "99.2.0.192.in-addr.arpa", out.len);
	assert_true(addr_parse(SPAN("2001:db8:1:2:3:4:567:89ab"), &v6));
	buf_reset(&out);
	dns_print_ptr(&v6, &out);
	assert_memory_equal(mem,
			    "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1."
			    "0.0.2.ip6.arpa",
			    out.len);
	assert_int_equal(out.len, 72);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_come_with_the_shortest_ttl),
		cmocka_unit_test(the_owner_is_whom_an_alias_stands_for),
		cmocka_unit_test(only_so_many_are_kept),
		cmocka_unit_test(
			nothing_found_is_told_from_no_such_name_and_from_a_failure),
		cmocka_unit_test(mail_hosts_come_with_their_preference),
		cmocka_unit_test(no_more_mail_hosts_are_kept_than_there_is_room_for),
		cmocka_unit_test(tlsa_records_are_three_numbers_and_bytes),
		cmocka_unit_test(the_strings_of_a_text_are_joined),
		cmocka_unit_test(authentic_is_what_the_server_says_is),
		cmocka_unit_test(another_type_is_not_what_was_asked_for),
		cmocka_unit_test(names_are_of_hosts_and_in_lower_case),
		cmocka_unit_test(names_that_go_in_circles_or_on_for_ever_are_left_out),
		cmocka_unit_test(half_an_answer_is_none),
		cmocka_unit_test(reverse_names_are_octets_or_nibbles_backwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
