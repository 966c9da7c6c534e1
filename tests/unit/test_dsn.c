/* Notices about deliveries: what is in them, and that nobody else can put anything in. */
#include "expect.h"

#include "wire/dsn.h"

#define ROOM 65536

static uint8_t mem[ROOM];
static struct buf out;
static struct dsn_needs needs;

static const struct dsn usual = {
	.action = DSN_FAILED,
	.host = SPAN_INIT("mx.us.example"),
	.to = SPAN_INIT("alice@us.example"),
	.envid = SPAN_INIT("QQ+2B314159"),
	.id = 1ull << 40,
	.about = 1ull << 39,
	.secret = { 1, 2 },
	.arrived = 1763000000000,
	.wall = 1763000100000,
	.message = SPAN_INIT(
		"Received: x\r\nFrom: alice@us.example\r\nMessage-ID: <1@us>\r\n"
		"Subject: hello\r\n\r\nthe body\r\n"),
	.whole = true,
};

static const struct dsn_rcpt bob = {
	.address = SPAN_INIT("bob@far.example"),
	.orcpt = SPAN_INIT("rfc822;Bob+2Bx@far.example"),
	.answer = SPAN_INIT("550 5.1.1 No such user"),
	.host = SPAN_INIT("mx.far.example [192.0.2.1]"),
	.tried = 1763000100000,
};

static size_t print(const struct dsn *d, const struct dsn_rcpt *rcpts, size_t count)
{
	buf_init(&out, mem, sizeof(mem));
	return dsn_print(d, rcpts, count, &out, &needs);
}

static size_t how_often(struct span text, const char *what)
{
	size_t n = 0, m = strlen(what);

	for (; text.n >= m; text = span_skip(text, 1))
		n += memcmp(text.p, what, m) == 0;
	return n;
}

static void expect_has(const char *what, size_t times)
{
	expect_number(what, (int64_t)how_often(buf_span(&out), what), (int64_t)times);
}

/* Lines end with CRLF only, and are of a length that all servers take. */
static void expect_lines(void)
{
	struct span left = buf_span(&out), line;

	while (left.n) {
		line = span_cut(&left, '\n');
		expect_true("CRLF", line.n && line.p[line.n - 1] == '\r');
		expect_true("length", line.n <= 999);
		expect_true("CR", span_find(line, '\r') == line.n - 1);
		expect_true("NUL", span_find(line, '\0') == line.n);
	}
}

static void a_notice_says_who_why_and_what(void **unused)
{
	(void)unused;
	expect_number("told", (int64_t)print(&usual, &bob, 1), 1);
	expect_lines();
	expect_has("To: <alice@us.example>\r\n", 1);
	expect_has("Auto-Submitted: auto-replied\r\n", 1);
	expect_has("In-Reply-To: <1@us>\r\n", 1);
	expect_has("report-type=delivery-status;", 1);
	expect_has("    There is no such address. Is it spelled right?\r\n", 1);
	expect_has(
		"mx.far.example [192.0.2.1] answered:\r\n        550 5.1.1 No such user\r\n",
		1);
	expect_has("Reporting-MTA: dns; mx.us.example\r\n", 1);
	expect_has("Original-Envelope-Id: QQ+314159\r\n", 1);
	expect_has("Original-Recipient: rfc822; Bob+x@far.example\r\n", 1);
	expect_has("Final-Recipient: rfc822; bob@far.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
		   "Remote-MTA: dns; mx.far.example\r\n"
		   "Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n"
		   "Last-Attempt-Date: Thu, 13 Nov 2025 02:15:00 +0000\r\n\r\n--",
		   1);
	expect_has("text/rfc822-headers", 1);
	expect_has("Subject: hello\r\n", 1);
	expect_has("the body", 0);
	expect_false("plain", needs.eight_bit || needs.utf8);
}

static void a_whole_message_is_returned_if_it_was_wanted_and_fits(void **unused)
{
	static uint8_t large[DSN_RETURN_MAX + 200];
	struct dsn d = usual;

	(void)unused;
	d.full = true;
	print(&d, &bob, 1);
	expect_has("message/rfc822\r\n", 1);
	expect_has("\r\nthe body\r\n\r\n--", 1);
	d.whole = false;
	print(&d, &bob, 1);
	expect_has("the body", 0);
	d = usual;
	d.full = true;
	d.message = SPAN("Subject: x\r\n\r\na\nb\r\n");
	print(&d, &bob, 1);
	expect_has("a\nb", 0);
	memset(large, 'x', sizeof(large));
	for (size_t i = 76; i + 1 < sizeof(large); i += 78)
		memcpy(large + i, "\r\n", 2);
	memcpy(large, "Subject: large\r\n\r\n", 18);
	d.message = span_of(large, DSN_RETURN_MAX);
	print(&d, &bob, 1);
	expect_has("message/rfc822", 0);
	expect_has("Subject: large", 1);
}

static void bytes_of_others_add_nothing(void **unused)
{
	struct dsn d = usual;
	struct dsn_rcpt r = bob;

	(void)unused;
	r.answer = SPAN(
		"550 x\r\nAction: delivered\r\n\r\n--holdfast\n\0\x1b[31m \xff\xc3\xbc");
	r.host = SPAN("a\r\nb");
	r.orcpt = SPAN("rfc822;x+0D+0AStatus:+202.0.0");
	r.address = SPAN("b\nob@far.example");
	d.envid = SPAN("x+0D+0Ay");
	d.message = SPAN("Subject: a\nb\0c\rd\r\nMessage-ID: <a\nb>\r\n\r\n");
	expect_number("told", (int64_t)print(&d, &r, 1), 1);
	expect_lines();
	expect_has("\r\nAction: ", 1);
	expect_has("\r\nStatus: ", 1);
	expect_has("\r\n--holdfast-", 4);
	expect_has("In-Reply-To", 0);
	expect_has("\x1b", 0);
	expect_has("\xff", 0);
	expect_has("Subject: a?b?c?d\r\n", 1);
}

static struct span boundary(void)
{
	static const struct span before = SPAN_INIT("boundary=\"");
	const uint8_t *at = memmem(out.mem, out.len, before.p, before.n);

	assert_non_null(at);
	return span_of(at + before.n, strlen("holdfast-") + 32);
}

static void each_notice_has_a_boundary_that_cannot_be_guessed(void **unused)
{
	struct dsn d = usual;
	uint8_t first[64];
	size_t n;

	(void)unused;
	print(&d, &bob, 1);
	n = boundary().n;
	memcpy(first, boundary().p, n);
	print(&d, &bob, 1);
	expect_span("the same notice", boundary(), span_of(first, n));
	d.id++;
	print(&d, &bob, 1);
	expect_false("another notice", span_eq(boundary(), span_of(first, n)));
	d.id--;
	d.secret[1]++;
	print(&d, &bob, 1);
	expect_false("another secret", span_eq(boundary(), span_of(first, n)));
}

static void delays_and_deliveries_have_words_of_their_own(void **unused)
{
	static const char *const words[DSN_ACTIONS] = { "failed", "delayed", "delivered",
							"relayed", "expanded" };
	struct dsn_rcpt r = bob;

	(void)unused;
	r.answer = SPAN("000 connection refused");
	r.until = 1763400000000;
	for (size_t i = 0; i < DSN_ACTIONS; i++) {
		struct dsn d = usual;
		char text[64];

		d.action = (enum dsn_action)i;
		print(&d, &r, 1);
		snprintf(text, sizeof(text), "\r\nAction: %s\r\n", words[i]);
		expect_has(text, 1);
		expect_has("Status: 4.4.1\r\n", i < 2);
		expect_has("Status: 2.0.0\r\n", i >= 2);
		expect_has("Will-Retry-Until: ", i == DSN_DELAYED);
		expect_has("Diagnostic-Code: x-holdfast; connection refused\r\n", 1);
		expect_has("Remote-MTA", 0);
	}
}

static void other_scripts_are_kept_where_they_may_be(void **unused)
{
	struct dsn d = usual;
	struct dsn_rcpt r = bob;

	(void)unused;
	r.address = SPAN("b\xc3\xbc@far.example");
	print(&d, &r, 1);
	expect_has("Final-Recipient: utf-8; b\\x{FC}@far.example\r\n", 1);
	expect_false("ASCII", needs.eight_bit);
	d.utf8 = true;
	print(&d, &r, 1);
	expect_has("Final-Recipient: utf-8; b\xc3\xbc@far.example\r\n", 1);
	expect_has("message/global-delivery-status", 1);
	expect_true("needs both", needs.eight_bit && needs.utf8);
	d = usual;
	d.full = true;
	d.message = SPAN("Subject: x\r\n\r\nb\xc3\xbc\r\n");
	print(&d, &bob, 1);
	expect_has("Content-Transfer-Encoding: 8bit\r\n", 2);
	expect_true("needs 8 bits", needs.eight_bit && !needs.utf8);
}

static void who_does_not_fit_comes_in_another_notice(void **unused)
{
	enum { COUNT = 500 };
	static struct dsn_rcpt rcpts[COUNT];
	static uint8_t long_answer[2000];
	size_t told = 0, notices = 0, n;

	(void)unused;
	memset(long_answer, 'x', sizeof(long_answer));
	memcpy(long_answer, "451 ", 4);
	for (size_t i = 0; i < COUNT; i++) {
		rcpts[i] = bob;
		rcpts[i].answer = span_of(long_answer, sizeof(long_answer));
	}
	for (; told < COUNT; told += n, notices++) {
		n = print(&usual, rcpts + told, COUNT - told);
		expect_true("some", n > 0);
		expect_lines();
		expect_has("\r\nFinal-Recipient: ", n);
		expect_has("Subject: hello\r\n", 1);
	}
	expect_true("not one for each", notices < COUNT / 20);
}

static void the_least_room_takes_the_worst_recipient(void **unused)
{
	static uint8_t worst[4000], little[DSN_ROOM_MIN];
	struct dsn d = usual;
	struct dsn_rcpt r;

	(void)unused;
	for (size_t i = 0; i < sizeof(worst); i++)
		worst[i] = (uint8_t) "\xc3\xbc"[i % 2];
	r = (struct dsn_rcpt){
		.address = span_of(worst, sizeof(worst)),
		.orcpt = span_of(worst, sizeof(worst)),
		.answer = span_of(worst, sizeof(worst)),
		.host = span_of(worst, sizeof(worst)),
		.tried = 1,
		.until = 1,
	};
	d.action = DSN_DELAYED;
	d.host = d.to = d.envid = d.message = span_of(worst, sizeof(worst));
	for (int utf8 = 0; utf8 < 2; utf8++) {
		d.utf8 = utf8;
		buf_init(&out, little, sizeof(little));
		expect_number("told", (int64_t)dsn_print(&d, &r, 1, &out, &needs), 1);
		expect_lines();
		buf_init(&out, little, sizeof(little) - 1);
		expect_number("too little", (int64_t)dsn_print(&d, &r, 1, &out, &needs),
			      0);
	}
}

struct status_row {
	const char *answer;
	enum dsn_action action;
	unsigned of, subject, detail;
};

static const struct status_row statuses[] = {
	{ "550 5.1.1 no", DSN_FAILED, 5, 1, 1 },
	{ "550 5.1.10 no", DSN_FAILED, 5, 1, 10 },
	{ "450 4.7.25", DSN_DELAYED, 4, 7, 25 },
	{ "550 4.7.1 class lies", DSN_FAILED, 5, 1, 1 },
	{ "552 full", DSN_FAILED, 5, 2, 2 },
	{ "599 odd", DSN_FAILED, 5, 0, 0 },
	{ "354 odd", DSN_FAILED, 5, 0, 0 },
	{ "250 2.1.5 ok", DSN_RELAYED, 2, 1, 5 },
	{ "250 ok", DSN_RELAYED, 2, 0, 0 },
	{ "250", DSN_DELIVERED, 2, 0, 0 },
	{ "", DSN_DELIVERED, 2, 0, 0 },
	{ "", DSN_FAILED, 4, 4, 1 },
	{ "000 nothing", DSN_FAILED, 4, 4, 1 },
	{ "55", DSN_FAILED, 4, 4, 1 },
	{ "xyz", DSN_DELAYED, 4, 4, 1 },
};

static void codes_follow_from_answers(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(statuses); i++) {
		const struct status_row *r = &statuses[i];
		struct dsn_status s = dsn_status_of(span_str(r->answer), r->action);

		expect_number(r->answer, s.of, r->of);
		expect_number(r->answer, s.subject, r->subject);
		expect_number(r->answer, s.detail, r->detail);
	}
}

static void codes_are_read_strictly(void **unused)
{
	static const char *const bad[] = { "",	    "5",       "5.1",	   "5.1.",
					   "3.1.1", "5.1.1x",  "5.1000.1", "5..1",
					   "x.1.1", "5.1.1000" };
	struct dsn_status s;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		expect_false(bad[i], dsn_status_parse(span_str(bad[i]), &s));
	expect_true("good", dsn_status_parse(SPAN("2.999.0 x"), &s));
	expect_true("read", s.of == 2 && s.subject == 999 && s.detail == 0);
}

static void xtext_is_read_strictly(void **unused)
{
	static const char *const bad[] = { "a b", "a=b", "+",	  "+4",
					   "+4g", "+ab", "x\x7f", "\xc3\xbc" };
	BUF(text, 20);
	BUF(little, 2);

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		expect_false(bad[i], dsn_xtext_parse(span_str(bad[i]), &text));
	expect_number("nothing was written", (int64_t)text.len, 0);
	expect_true("good", dsn_xtext_parse(SPAN("a+2B+3D!"), &text));
	expect_text("decoded", &text, "a+=!");
	expect_false("no room", dsn_xtext_parse(SPAN("abc"), &little));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_notice_says_who_why_and_what),
		cmocka_unit_test(a_whole_message_is_returned_if_it_was_wanted_and_fits),
		cmocka_unit_test(bytes_of_others_add_nothing),
		cmocka_unit_test(each_notice_has_a_boundary_that_cannot_be_guessed),
		cmocka_unit_test(delays_and_deliveries_have_words_of_their_own),
		cmocka_unit_test(other_scripts_are_kept_where_they_may_be),
		cmocka_unit_test(who_does_not_fit_comes_in_another_notice),
		cmocka_unit_test(the_least_room_takes_the_worst_recipient),
		cmocka_unit_test(codes_follow_from_answers),
		cmocka_unit_test(codes_are_read_strictly),
		cmocka_unit_test(xtext_is_read_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
