/* io/dns: against a name server of our own, on the same loop. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/dns.h"

#define A    1
#define AAAA 28

struct stage {
	struct loop *loop;
	struct dns *dns;
	struct watch watch; /* the name server's socket */
	unsigned asked;	    /* questions it got */
	bool mute;
	enum { TELL_TRUTH, TELL_NOTHING_OF_USE, TELL_FAILURE } lie;
	unsigned answers; /* calls of on_answer */
	struct dns_answer got;
};

static void put(struct buf *out, const char *bytes, size_t n)
{
	buf_put(out, span_of(bytes, n));
}

/* One answer record for the name of the question. */
static void put_record(struct buf *out, int type, const void *rdata, uint8_t n)
{
	put(out, "\xc0\x0c\0", 3);
	buf_byte(out, (uint8_t)type);
	put(out, "\0\1\0\0\0\x3c\0", 7);
	buf_byte(out, n);
	buf_put(out, span_of(rdata, n));
}

/* "two.example" has an address of each kind, "none.example" exists, others do not. */
static void answer(struct buf *out, struct span question)
{
	bool two = question.n > 14 &&
		   span_eq_nocase(span_skip(span_head(question, 16), 12),
				  span_of("\3two", 4));
	bool none = question.n > 14 &&
		    span_eq_nocase(span_skip(span_head(question, 17), 12),
				   span_of("\4none", 5));
	/* behind the name: type and class */
	size_t name = strnlen((const char *)question.p + 12, question.n - 12) + 1;
	int type = question.p[12 + name + 1];

	buf_put(out, span_head(question, 2));
	put(out, "\x81", 1);
	buf_byte(out, two || none ? 0x80 : 0x83);
	put(out, two ? "\0\1\0\1\0\0\0\0" : "\0\1\0\0\0\0\0\0", 8);
	buf_put(out, span_of(question.p + 12, name + 4));
	if (two && type == A)
		put_record(out, A, "\xc0\x00\x02\x07", 4);
	if (two && type == AAAA)
		put_record(out, AAAA, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
}

static void on_question(void *arg, unsigned ready)
{
	struct stage *s = arg;
	struct sockaddr_in from;
	socklen_t from_n = sizeof(from);
	uint8_t in[512], mem[512];
	ssize_t n = recvfrom(s->watch.fd, in, sizeof(in), 0, (struct sockaddr *)&from,
			     &from_n);
	struct buf out;

	(void)ready;
	s->asked++;
	if (n < 17 || s->mute)
		return;
	buf_init(&out, mem, sizeof(mem));
	answer(&out, span_of(in, (size_t)n));
	if (s->lie == TELL_NOTHING_OF_USE) /* the record is cut short */
		out.len -= 3;
	if (s->lie == TELL_FAILURE)
		mem[3] = 0x82;
	sendto(s->watch.fd, mem, out.len, 0, (struct sockaddr *)&from, from_n);
}

static void on_answer(void *arg)
{
	struct stage *s = arg;

	s->answers++;
	loop_stop(s->loop);
}

static void on_record(void *arg, const struct dns_answer *a)
{
	struct stage *s = arg;

	s->got = *a;
	on_answer(s);
}

#define LONG  MS_MINUTE
#define SHORT ((ms_t)20) /* for those whom nobody answers */

static void open_stage(struct stage *s, ms_t timeout)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	char path[] = "/tmp/holdfast-hosts-XXXXXX";
	struct dns_setup setup = { .hosts = path, .timeout = timeout };
	socklen_t n = sizeof(at);
	char servers[64];
	struct err err;
	FILE *hosts = fdopen(mkstemp(path), "w");
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	*s = (struct stage){ 0 };
	assert_non_null(hosts);
	fputs("# a comment\n192.0.2.1\tmailbox.example mailbox # here\r\n\n2001:db8::2 "
	      "mailbox\n"
	      "nonsense two.example\n",
	      hosts);
	fclose(hosts);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	snprintf(servers, sizeof(servers), " 127.0.0.1:%d", ntohs(at.sin_port));
	setup.servers = servers;
	assert_true(loop_open(&s->loop, &err));
	assert_true(watch_start(s->loop, &s->watch, fd, WATCH_READ, on_question, s));
	assert_true(dns_open(&s->dns, s->loop, &setup, &err));
	unlink(path);
}

static void close_stage(struct stage *s)
{
	dns_close(&s->dns);
	watch_close(&s->watch);
	loop_close(&s->loop);
}

static void assert_addresses(const struct dns_query *q, const char *a, const char *b)
{
	struct addr want;

	assert_int_equal(q->count, (a != NULL) + (b != NULL));
	for (size_t i = 0; i < q->count; i++) {
		assert_true(addr_parse(span_str(i ? b : a), &want));
		assert_true(addr_eq(&want, &q->addresses[i]) ||
			    addr_eq(&want, &q->addresses[q->count - 1 - i]));
	}
}

static void what_is_known_is_not_asked(void **state)
{
	static const struct {
		const char *host, *a, *b;
	} rows[] = {
		{ "192.0.2.9", "192.0.2.9", NULL },
		{ "2001:db8::9", "2001:db8::9", NULL },
		{ "localhost", "127.0.0.1", "::1" },
		{ "LocalHost.", "127.0.0.1", "::1" },
		{ "mailbox.example", "192.0.2.1", NULL },
		{ "MAILBOX", "192.0.2.1", "2001:db8::2" },
	};
	struct dns_query q;
	struct stage s;

	(void)state;
	open_stage(&s, LONG);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_true(dns_address(s.dns, &q, span_str(rows[i].host), on_answer, &s));
		assert_addresses(&q, rows[i].a, rows[i].b);
	}
	assert_int_equal(s.asked, 0);
	close_stage(&s);
}

static void both_kinds_of_address_are_asked_for(void **state)
{
	struct dns_query q;
	struct stage s;

	(void)state;
	open_stage(&s, LONG);
	assert_false(dns_address(s.dns, &q, SPAN("two.example"), on_answer, &s));
	loop_run(s.loop);
	assert_addresses(&q, "192.0.2.7", "2001:db8::1");
	assert_int_equal(s.asked, 2);
	assert_int_equal(s.answers, 1);
	close_stage(&s);
}

static void no_answer_says_why(void **state)
{
	struct dns_query q;
	struct stage s;

	(void)state;
	open_stage(&s, LONG);
	assert_false(dns_address(s.dns, &q, SPAN("gone.example"), on_answer, &s));
	loop_run(s.loop);
	assert_int_equal(q.count, 0);
	assert_string_equal(q.why, "does not exist");
	assert_false(dns_address(s.dns, &q, SPAN("none.example"), on_answer, &s));
	loop_run(s.loop);
	assert_string_equal(q.why, "has no address");
	close_stage(&s);
	open_stage(&s, SHORT);
	s.mute = true;
	assert_false(dns_address(s.dns, &q, SPAN("two.example"), on_answer, &s));
	loop_run(s.loop);
	assert_string_equal(q.why, "cannot be looked up: no name server answers");
	assert_true(dns_address(s.dns, &q, SPAN(""), on_answer, &s));
	assert_string_equal(q.why, "is not the name of a host");
	assert_true(dns_address(s.dns, &q, SPAN("a\0b"), on_answer, &s));
	assert_int_equal(q.count, 0);
	close_stage(&s);
}

static void a_cancelled_question_is_never_answered(void **state)
{
	struct dns_query a, b, c = { 0 };
	struct stage s;

	(void)state;
	open_stage(&s, LONG);
	assert_false(dns_address(s.dns, &a, SPAN("two.example"), on_answer, &s));
	assert_false(dns_address(s.dns, &b, SPAN("gone.example"), on_answer, &s));
	dns_cancel(&a);
	dns_cancel(&c);
	loop_run(s.loop);
	assert_int_equal(s.answers, 1);
	assert_string_equal(b.why, "does not exist");
	assert_false(dns_address(s.dns, &b, SPAN("two.example"), on_answer, &s));
	close_stage(&s);
	assert_int_equal(s.answers, 1);
	dns_cancel(&b);
}

static void look_up(struct stage *s, struct span name)
{
	struct dns_lookup l = { 0 };
	unsigned before = s->answers;

	dns_look_up(s->dns, &l, DNS_A, name, on_record, s);
	if (s->answers == before)
		loop_run(s->loop);
	assert_int_equal(s->answers, before + 1);
}

static void a_record_comes_with_its_ttl(void **state)
{
	struct addr want = addr_v4(192, 0, 2, 7);
	struct stage s;

	(void)state;
	open_stage(&s, LONG);
	look_up(&s, SPAN("two.example"));
	assert_int_equal(s.got.result, DNS_FOUND);
	assert_int_equal(s.got.count, 1);
	assert_true(addr_eq(&s.got.addresses[0], &want));
	assert_int_equal(s.got.ttl, 60);
	close_stage(&s);
}

static void what_is_not_found_says_how(void **state)
{
	char label[65] = "";
	struct stage s;

	(void)state;
	open_stage(&s, LONG);
	look_up(&s, SPAN("gone.example"));
	assert_int_equal(s.got.result, DNS_NO_NAME);
	look_up(&s, SPAN("none.example"));
	assert_int_equal(s.got.result, DNS_NO_DATA);
	s.lie = TELL_FAILURE;
	look_up(&s, SPAN("two.example"));
	assert_int_equal(s.got.result, DNS_FAILED);
	s.lie = TELL_NOTHING_OF_USE;
	look_up(&s, SPAN("two.example"));
	assert_int_equal(s.got.result, DNS_FAILED);
	close_stage(&s);
	open_stage(&s, SHORT);
	s.mute = true;
	look_up(&s, SPAN("two.example"));
	assert_int_equal(s.got.result, DNS_FAILED);
	look_up(&s, SPAN(""));
	assert_int_equal(s.got.result, DNS_FAILED);
	memset(label, 'x', 64);
	look_up(&s, span_str(label));
	assert_int_equal(s.got.result, DNS_FAILED);
	close_stage(&s);
}

static void a_look_up_that_is_forgotten_is_never_answered(void **state)
{
	struct dns_lookup a = { 0 }, b = { 0 }, c = { 0 };
	struct stage s;

	(void)state;
	open_stage(&s, LONG);
	dns_look_up(s.dns, &a, DNS_A, SPAN("two.example"), on_record, &s);
	dns_look_up(s.dns, &b, DNS_A, SPAN("gone.example"), on_record, &s);
	dns_forget(&a);
	dns_forget(&c);
	loop_run(s.loop);
	assert_int_equal(s.answers, 1);
	assert_int_equal(s.got.result, DNS_NO_NAME);
	dns_look_up(s.dns, &a, DNS_A, SPAN("two.example"), on_record, &s);
	close_stage(&s);
	assert_int_equal(s.answers, 1);
}

static void so_many_are_asked_for_and_no_more(void **state)
{
	struct dns_lookup *l = calloc(DNS_ASKED_MAX, sizeof(*l)), more = { 0 };
	struct stage s;

	(void)state;
	assert_non_null(l);
	open_stage(&s, LONG);
	s.mute = true;
	for (size_t i = 0; i < DNS_ASKED_MAX; i++)
		dns_look_up(s.dns, &l[i], DNS_A, SPAN("two.example"), on_record, &s);
	assert_int_equal(s.answers, 0);
	dns_look_up(s.dns, &more, DNS_A, SPAN("two.example"), on_record, &s);
	assert_int_equal(s.answers, 1);
	assert_int_equal(s.got.result, DNS_FAILED);
	close_stage(&s);
	free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_known_is_not_asked),
		cmocka_unit_test(both_kinds_of_address_are_asked_for),
		cmocka_unit_test(no_answer_says_why),
		cmocka_unit_test(a_cancelled_question_is_never_answered),
		cmocka_unit_test(a_record_comes_with_its_ttl),
		cmocka_unit_test(what_is_not_found_says_how),
		cmocka_unit_test(a_look_up_that_is_forgotten_is_never_answered),
		cmocka_unit_test(so_many_are_asked_for_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
