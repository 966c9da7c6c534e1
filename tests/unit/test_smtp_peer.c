#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/number.h"
#include "wire/smtp_chunks.h"

/* All events of an input that comes in pieces of that size, as text: "250 ok|BAD|". */
static void read_all(struct smtp_peer *p, struct span all, size_t piece, struct buf *seen)
{
	size_t start = 0, end = 0;

	while (end < all.n) {
		struct smtp_peer_event ev;
		struct span in;

		end = end + piece < all.n ? end + piece : all.n;
		in = span_of(all.p + start, end - start);
		while ((ev = smtp_peer_next(p, &in)).kind != SMTP_PEER_MORE) {
			if (ev.kind == SMTP_PEER_BAD)
				buf_put(seen, SPAN("BAD"));
			else
				buf_fmt(seen, "%d %.*s", ev.code, SPAN_ARG(ev.text));
			buf_byte(seen, '|');
		}
		start = end - in.n;
	}
}

/* clang-format off */
static const struct {
	const char *why, *in, *events;
} replies[] = {
	{ "a reply is a code and a text",         "250 ok\r\n",                          "250 ok|" },
	{ "a code alone is a reply",              "250\r\n",                             "250 |" },
	{ "the lines of one reply are joined",    "250-a\r\n250-\r\n250 b\r\n",          "250 a  b|" },
	{ "replies follow each other",            "250 a\r\n550 b\r\n354 c\r\n",         "250 a|550 b|354 c|" },
	{ "an unfinished line is not a reply",    "250 a\r\n550 b",                      "250 a|" },
	{ "an unfinished reply is not a reply",   "250-a\r\n250-b\r\n",                  "" },
	{ "a code cannot change inside a reply",  "250-a\r\n550 b\r\n",                  "BAD|" },
	{ "1xx is not SMTP",                      "150 a\r\n",                           "BAD|" },
	{ "6xx is not SMTP",                      "650 a\r\n",                           "BAD|" },
	{ "words are not a reply",                "hello\r\n",                           "BAD|" },
	{ "two digits are not a code",            "25 a\r\n",                            "BAD|" },
	{ "four digits are not a code",           "2500 a\r\n",                          "BAD|" },
	{ "an empty line is not a reply",         "\r\n",                                "BAD|" },
	{ "LF alone does not end a line",         "250 a\n",                             "BAD|" },
	{ "CR alone does not end a line",         "250 a\rb\r\n",                        "BAD|" },
	{ "two CR do not end a line",             "250 a\r\r\n",                         "BAD|" },
	{ "behind nonsense nothing is heard",     "x\r\n250 a\r\n250 b\r\n",             "BAD|" },
	{ "bytes above 127 may be in the text",   "550 \xc3\xa9\r\n",                    "550 \xc3\xa9|" },
};
/* clang-format on */

static void replies_are_read_whole_and_nothing_else_is_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(replies); i++)
		for (size_t piece = 1; piece < 30; piece++) {
			struct smtp_peer p;
			uint8_t mem[1000];
			struct buf seen;

			smtp_peer_init(&p);
			buf_init(&seen, mem, sizeof(mem));
			read_all(&p, span_str(replies[i].in), piece, &seen);
			if (!span_eq(buf_span(&seen), span_str(replies[i].events)))
				fail_msg("%s: %.*s", replies[i].why,
					 SPAN_ARG(buf_span(&seen)));
		}
}

static void a_nul_byte_is_not_part_of_a_reply(void **state)
{
	struct smtp_peer p;
	struct span in = SPAN("250 a\0b\r\n");

	(void)state;
	smtp_peer_init(&p);
	assert_int_equal(smtp_peer_next(&p, &in).kind, SMTP_PEER_BAD);
}

/* A first line of n bytes without its end. */
static enum smtp_peer_kind line_of(size_t n, const char *end)
{
	static uint8_t mem[2 * SMTP_PEER_LINE];
	struct smtp_peer p;
	struct span in;

	memset(mem, 'x', sizeof(mem));
	memcpy(mem, "250 ", 4);
	memcpy(mem + n, end, strlen(end));
	smtp_peer_init(&p);
	in = span_of(mem, n + strlen(end));
	return smtp_peer_next(&p, &in).kind;
}

static void a_line_of_2048_bytes_is_taken_and_a_longer_one_is_not(void **state)
{
	(void)state;
	assert_int_equal(line_of(SMTP_PEER_LINE - 2, "\r\n"), SMTP_PEER_REPLY);
	assert_int_equal(line_of(SMTP_PEER_LINE - 1, "\r\n"), SMTP_PEER_BAD);
	assert_int_equal(line_of(SMTP_PEER_LINE, ""), SMTP_PEER_MORE);
	assert_int_equal(line_of(SMTP_PEER_LINE + 1, ""), SMTP_PEER_BAD);
}

static enum smtp_peer_kind reply_of(size_t lines)
{
	struct smtp_peer p;
	struct smtp_peer_event ev = { .kind = SMTP_PEER_MORE };

	smtp_peer_init(&p);
	for (size_t i = 1; i <= lines && ev.kind == SMTP_PEER_MORE; i++) {
		struct span in = i < lines ? SPAN("250-x\r\n") : SPAN("250 x\r\n");

		ev = smtp_peer_next(&p, &in);
	}
	return ev.kind;
}

static void a_reply_of_128_lines_is_taken_and_a_longer_one_is_not(void **state)
{
	(void)state;
	assert_int_equal(reply_of(SMTP_PEER_LINES), SMTP_PEER_REPLY);
	assert_int_equal(reply_of(SMTP_PEER_LINES + 1), SMTP_PEER_BAD);
}

static void of_a_long_text_the_first_200_bytes_are_kept(void **state)
{
	uint8_t mem[1000];
	struct smtp_peer p;
	struct smtp_peer_event ev;
	struct span in;

	(void)state;
	memset(mem, 'y', sizeof(mem));
	memcpy(mem, "550 ", 4);
	memcpy(mem + sizeof(mem) - 2, "\r\n", 2);
	in = span_of(mem, sizeof(mem));
	smtp_peer_init(&p);
	ev = smtp_peer_next(&p, &in);
	assert_int_equal(ev.code, 550);
	assert_int_equal(ev.text.n, SMTP_PEER_TEXT);
}

static void learn(struct smtp_peer *p, enum smtp_peer_hello how, const char *reply)
{
	uint8_t mem[200];
	struct buf out;
	struct span in = span_str(reply);

	buf_init(&out, mem, sizeof(mem));
	smtp_peer_hello(p, how, SPAN("me.example"), &out);
	assert_int_equal(smtp_peer_next(p, &in).kind, SMTP_PEER_REPLY);
}

static void what_a_server_can_do_is_learned_from_its_answer_to_ehlo(void **state)
{
	struct smtp_peer p;

	(void)state;
	smtp_peer_init(&p);
	learn(&p, SMTP_PEER_EHLO,
	      "250-size.example SIZE\r\n250-Pipelining\r\n250-SIZE "
	      "1000\r\n250-8bitmime\r\n"
	      "250-X-THING a b\r\n250-LIMITS MAILMAX=5 rcptmax=50\r\n250 STARTTLS\r\n");
	assert_int_equal(p.can, SMTP_CAN_PIPELINING | SMTP_CAN_SIZE | SMTP_CAN_8BITMIME |
					SMTP_CAN_LIMITS | SMTP_CAN_STARTTLS);
	assert_int_equal(p.size_max, 1000);
	assert_int_equal(p.rcpt_max, 50);
	learn(&p, SMTP_PEER_EHLO, "250-x\r\n250-CHUNKING\r\n250 BinaryMime\r\n");
	assert_int_equal(p.can, SMTP_CAN_CHUNKING | SMTP_CAN_BINARYMIME);
	learn(&p, SMTP_PEER_LHLO, "250-x\r\n250-SMTPUTF8\r\n250 SIZE many\r\n");
	assert_int_equal(p.can, SMTP_CAN_SMTPUTF8 | SMTP_CAN_SIZE);
	assert_int_equal(p.size_max, 0);
	assert_int_equal(p.rcpt_max, 0);
}

static void names_answers_to_helo_and_refusals_teach_nothing(void **state)
{
	struct smtp_peer p;

	(void)state;
	smtp_peer_init(&p);
	learn(&p, SMTP_PEER_EHLO, "250 PIPELINING\r\n");
	assert_int_equal(p.can, 0);
	learn(&p, SMTP_PEER_HELO, "250-x\r\n250 PIPELINING\r\n");
	assert_int_equal(p.can, 0);
	learn(&p, SMTP_PEER_EHLO, "550-x\r\n550 PIPELINING\r\n");
	assert_int_equal(p.can, 0);
}

/* clang-format off */
#define DSN_TOO SMTP_CAN_SIZE | SMTP_CAN_DSN

static const struct {
	unsigned can, needs;
	const char *line;
} mails[] = {
	{ 0, SMTP_PEER_8BIT | SMTP_PEER_UTF8,                                  "MAIL FROM:<a@b>\r\n" },
	{ SMTP_CAN_SIZE, SMTP_PEER_8BIT,                                       "MAIL FROM:<a@b> SIZE=99\r\n" },
	{ SMTP_CAN_SIZE | SMTP_CAN_8BITMIME, SMTP_PEER_8BIT,                   "MAIL FROM:<a@b> SIZE=99 BODY=8BITMIME\r\n" },
	{ SMTP_CAN_SIZE | SMTP_CAN_8BITMIME | SMTP_CAN_SMTPUTF8, 0,            "MAIL FROM:<a@b> SIZE=99\r\n" },
	{ SMTP_CAN_SMTPUTF8, SMTP_PEER_UTF8,                                   "MAIL FROM:<a@b> SMTPUTF8\r\n" },
	{ SMTP_CAN_SIZE, SMTP_PEER_RET_HDRS,                                   "MAIL FROM:<a@b> SIZE=99\r\n" },
	{ DSN_TOO, SMTP_PEER_RET_HDRS,                            "MAIL FROM:<a@b> SIZE=99 RET=HDRS ENVID=e+2B1\r\n" },
	{ DSN_TOO, SMTP_PEER_RET_FULL,                            "MAIL FROM:<a@b> SIZE=99 RET=FULL ENVID=e+2B1\r\n" },
	{ SMTP_CAN_BINARYMIME | SMTP_CAN_8BITMIME, SMTP_PEER_BINARY | SMTP_PEER_8BIT, "MAIL FROM:<a@b> BODY=BINARYMIME\r\n" },
	{ SMTP_CAN_8BITMIME, SMTP_PEER_BINARY | SMTP_PEER_8BIT,   "MAIL FROM:<a@b> BODY=8BITMIME\r\n" },
	{ DSN_TOO, 0,                                             "MAIL FROM:<a@b> SIZE=99 ENVID=e+2B1\r\n" },
};
/* clang-format on */

static void a_mail_says_what_it_needs_as_far_as_it_was_offered(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(mails); i++) {
		struct smtp_peer p = { .can = mails[i].can };
		struct smtp_peer_mail m = { SPAN("a@b"), SPAN("e+2B1"), 99,
					    mails[i].needs };
		uint8_t mem[200];
		struct buf out;

		buf_init(&out, mem, sizeof(mem));
		smtp_peer_mail(&p, &m, &out);
		assert_true(span_eq(buf_span(&out), span_str(mails[i].line)));
	}
}

static void a_recipient_carries_its_notices_to_who_offers_dsn(void **state)
{
	const struct span notify = SPAN_INIT("NOTIFY=NEVER ORCPT=rfc822;a@b");
	struct smtp_peer p = { .can = SMTP_CAN_DSN };
	uint8_t mem[200];
	struct buf out;

	(void)state;
	buf_init(&out, mem, sizeof(mem));
	smtp_peer_rcpt(&p, SPAN("a@b"), notify, &out);
	assert_true(span_eq(buf_span(&out),
			    SPAN("RCPT TO:<a@b> NOTIFY=NEVER ORCPT=rfc822;a@b\r\n")));
	p.can = 0;
	buf_reset(&out);
	smtp_peer_rcpt(&p, SPAN("a@b"), notify, &out);
	assert_true(span_eq(buf_span(&out), SPAN("RCPT TO:<a@b>\r\n")));
	assert_true(smtp_peer_params_ok(notify));
	assert_false(smtp_peer_params_ok(SPAN("NOTIFY=NEVER\r\nDATA")));
}

static void the_mechanisms_of_auth_are_told_apart(void **state)
{
	struct smtp_peer p;

	(void)state;
	smtp_peer_init(&p);
	learn(&p, SMTP_PEER_EHLO, "250-x\r\n250-AUTH CRAM-MD5 plain\r\n250 DSN\r\n");
	assert_int_equal(p.can, SMTP_CAN_AUTH_PLAIN | SMTP_CAN_DSN);
	learn(&p, SMTP_PEER_EHLO, "250-x\r\n250 AUTH LOGIN XOAUTH2\r\n");
	assert_int_equal(p.can, SMTP_CAN_AUTH_LOGIN);
	learn(&p, SMTP_PEER_EHLO, "250-x\r\n250 AUTH\r\n");
	assert_int_equal(p.can, 0);
}

static void an_auth_exchange_is_base64(void **state)
{
	uint8_t mem[200];
	struct buf out;

	(void)state;
	buf_init(&out, mem, sizeof(mem));
	smtp_peer_auth_plain(span_of("\0u\0pw", 5), &out);
	assert_true(span_eq(buf_span(&out), SPAN("AUTH PLAIN AHUAcHc=\r\n")));
}

/* clang-format off */
static const struct {
	const char *why, *address;
	bool ascii_ok, utf8_ok;
} addresses[] = {
	{ "the null sender",           "",                    true,  true },
	{ "a plain one",               "a.b+c@example.org",   true,  true },
	{ "a quoted space",            "\"a b\"@example.org", true,  true },
	{ "a quoted bracket",          "\"a>b\"@example.org", true,  true },
	{ "an escaped quote",          "\"a\\\"b\"@example.org", true, true },
	{ "UTF-8",                     "\xc3\xa9@example.org", false, true },
	{ "an end of line",            "a@b\r\nRSET",         false, false },
	{ "an end of line in quotes",  "\"a\r\n\"@b",         false, false },
	{ "an escaped end of line",    "\"a\\\r\n\"@b",       false, false },
	{ "a parameter behind",        "a@b> SIZE=1",         false, false },
	{ "a space",                   "a b@c",               false, false },
	{ "an open quote",             "\"a@b",               false, false },
	{ "an escape of nothing",      "\"a\\",               false, false },
	{ "DEL",                       "a\x7f@b",             false, false },
};
/* clang-format on */

static void an_address_cannot_say_more_than_itself(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(addresses); i++) {
		struct span a = span_str(addresses[i].address);

		if (smtp_peer_address_ok(a, false) != addresses[i].ascii_ok ||
		    smtp_peer_address_ok(a, true) != addresses[i].utf8_ok)
			fail_msg("%s", addresses[i].why);
	}
	assert_false(smtp_peer_address_ok(SPAN("a\0b@c"), true));
}

static void a_name_is_visible_ascii_and_not_empty(void **state)
{
	(void)state;
	assert_true(smtp_peer_name_ok(SPAN("mx.example.org")));
	assert_false(smtp_peer_name_ok(SPAN("")));
	assert_false(smtp_peer_name_ok(SPAN("a b")));
	assert_false(smtp_peer_name_ok(SPAN("a\r\nRSET")));
	assert_false(smtp_peer_name_ok(SPAN("\xc3\xa9")));
}

/* clang-format off */
static const struct {
	const char *why, *in, *out;
} messages[] = {
	{ "nothing is an empty message",       "",                    ".\r\n" },
	{ "a message ends with a dot",         "a\r\n",               "a\r\n.\r\n" },
	{ "a missing end of line is added",    "a",                   "a\r\n.\r\n" },
	{ "half an end of line is completed",  "a\r",                 "a\r\n.\r\n" },
	{ "a dot that begins it is doubled",   ".\r\n",               "..\r\n.\r\n" },
	{ "every line's first dot is doubled", ".a\r\n..b\r\nc.\r\n", "..a\r\n...b\r\nc.\r\n.\r\n" },
	{ "an empty line stays empty",         "a\r\n\r\n.\r\n",      "a\r\n\r\n..\r\n.\r\n" },
	{ "LF alone becomes an end of line",   "a\n.\nb\r\n",         "a\r\n..\r\nb\r\n.\r\n" },
	{ "CR alone becomes an end of line",   "a\r.\rb\r\n",         "a\r\n..\r\nb\r\n.\r\n" },
	{ "two CR are two ends of line",       "a\r\r\n",             "a\r\n\r\n.\r\n" },
	{ "LF CR are two ends of line",        "a\n\rb\r\n",          "a\r\n\r\nb\r\n.\r\n" },
};
/* clang-format on */

/* Fed in pieces, into a buf with that much room at a time. */
static void stuff(struct span all, size_t piece, size_t room, struct buf *joined)
{
	struct smtp_dots d;
	uint8_t mem[64];
	struct buf out;

	smtp_dots_init(&d);
	buf_init(&out, mem, room);
	while (all.n) {
		struct span in = span_head(all, piece);
		size_t offered = in.n;

		smtp_dots_put(&d, &in, &out);
		all = span_skip(all, offered - in.n);
		buf_put(joined, buf_span(&out));
		buf_reset(&out);
	}
	smtp_dots_end(&d, &out);
	assert_false(out.full);
	buf_put(joined, buf_span(&out));
}

static void only_the_end_of_a_message_looks_like_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(messages); i++)
		for (size_t piece = 1; piece < 20; piece++)
			for (size_t room = 7; room < 24; room++) {
				uint8_t mem[200];
				struct buf joined;

				buf_init(&joined, mem, sizeof(mem));
				stuff(span_str(messages[i].in), piece, room, &joined);
				if (!span_eq(buf_span(&joined), span_str(messages[i].out)))
					fail_msg("%s: %.*s", messages[i].why,
						 SPAN_ARG(buf_span(&joined)));
			}
}

/* clang-format off */
static const struct {
	const char *why;
	bool binary;
	struct span in, out;
} chunked[] = {
	{ "nothing is an empty message",       false, SPAN_INIT(""),                SPAN_INIT("") },
	{ "dots stay as they are",             false, SPAN_INIT(".\r\n..a\r\n"),    SPAN_INIT(".\r\n..a\r\n") },
	{ "a missing end of line is added",    false, SPAN_INIT("a"),               SPAN_INIT("a\r\n") },
	{ "half an end of line is completed",  false, SPAN_INIT("a\r"),             SPAN_INIT("a\r\n") },
	{ "LF alone becomes an end of line",   false, SPAN_INIT("a\n.\nb\r\n"),     SPAN_INIT("a\r\n.\r\nb\r\n") },
	{ "CR alone becomes an end of line",   false, SPAN_INIT("a\r.\rb\r\n"),     SPAN_INIT("a\r\n.\r\nb\r\n") },
	{ "a NUL stays",                       false, SPAN_INIT("a\0b\r\n"),        SPAN_INIT("a\0b\r\n") },
	{ "binary: each byte stays",           true,  SPAN_INIT("\0\r.\n\n.\r\nBDAT 0 LAST\r\n\r"),
	                                              SPAN_INIT("\0\r.\n\n.\r\nBDAT 0 LAST\r\n\r") },
	{ "binary: nothing",                   true,  SPAN_INIT(""),                SPAN_INIT("") },
};
/* clang-format on */

/* What somebody reads who believes the sizes. True: it was the last. */
static bool read_chunks(struct span said, struct buf *joined)
{
	bool last = false;

	while (said.n) {
		size_t end = span_find(said, '\n');
		struct span head = span_head(said, end);
		uint64_t n;

		assert_false(last);
		assert_true(end < said.n && span_starts(head, SPAN("BDAT ")));
		head = span_skip(head, 5);
		last = head.n > 6 && span_eq(span_skip(head, head.n - 6), SPAN(" LAST\r"));
		head = span_head(head, head.n - (last ? 6 : 1));
		said = span_skip(said, end + 1);
		assert_true(number_parse(head, said.n, &n));
		buf_put(joined, span_head(said, n));
		said = span_skip(said, n);
	}
	return last;
}

static void chunk(struct span all, bool binary, size_t piece, size_t room,
		  struct buf *joined)
{
	struct smtp_chunks c;
	uint8_t mem[100];
	struct buf out;

	smtp_chunks_init(&c, binary);
	buf_init(&out, mem, SMTP_CHUNK_HEAD + room);
	for (size_t calls = 0; all.n; calls++) {
		struct span in = span_head(all, piece);
		size_t offered = in.n;

		assert_true(calls < 200);
		smtp_chunks_put(&c, &in, &out);
		all = span_skip(all, offered - in.n);
		assert_false(out.full || read_chunks(buf_span(&out), joined));
		buf_reset(&out);
	}
	smtp_chunks_end(&c, &out);
	assert_true(!out.full && read_chunks(buf_span(&out), joined));
}

static void chunks_hold_the_message_however_it_is_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(chunked); i++)
		for (size_t piece = 1; piece < 20; piece++)
			for (size_t room = 4; room < 24; room++) {
				uint8_t mem[200];
				struct buf joined;

				buf_init(&joined, mem, sizeof(mem));
				chunk(chunked[i].in, chunked[i].binary, piece, room,
				      &joined);
				if (!span_eq(buf_span(&joined), chunked[i].out))
					fail_msg("%s: %.*s", chunked[i].why,
						 SPAN_ARG(buf_span(&joined)));
			}
}

static void a_chunk_is_as_large_as_there_is_room(void **state)
{
	static uint8_t text[5000], mem[4096], joined_mem[5000];
	struct span in = span_of(text, sizeof(text));
	struct smtp_chunks c;
	struct buf out, joined;

	(void)state;
	memset(text, 'x', sizeof(text));
	buf_init(&out, mem, sizeof(mem));
	buf_init(&joined, joined_mem, sizeof(joined_mem));
	smtp_chunks_init(&c, true);
	smtp_chunks_put(&c, &in, &out);
	assert_int_equal(in.n, sizeof(text) - (sizeof(mem) - SMTP_CHUNK_HEAD));
	assert_false(read_chunks(buf_span(&out), &joined));
	/* none at all where not even that would fit */
	buf_reset(&out);
	while (buf_room(&out) > SMTP_CHUNK_HEAD + 3)
		buf_byte(&out, 'x');
	smtp_chunks_put(&c, &in, &out);
	assert_int_equal(out.len, sizeof(mem) - SMTP_CHUNK_HEAD - 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_are_read_whole_and_nothing_else_is_one),
		cmocka_unit_test(a_nul_byte_is_not_part_of_a_reply),
		cmocka_unit_test(a_line_of_2048_bytes_is_taken_and_a_longer_one_is_not),
		cmocka_unit_test(a_reply_of_128_lines_is_taken_and_a_longer_one_is_not),
		cmocka_unit_test(of_a_long_text_the_first_200_bytes_are_kept),
		cmocka_unit_test(what_a_server_can_do_is_learned_from_its_answer_to_ehlo),
		cmocka_unit_test(names_answers_to_helo_and_refusals_teach_nothing),
		cmocka_unit_test(a_mail_says_what_it_needs_as_far_as_it_was_offered),
		cmocka_unit_test(a_recipient_carries_its_notices_to_who_offers_dsn),
		cmocka_unit_test(the_mechanisms_of_auth_are_told_apart),
		cmocka_unit_test(an_auth_exchange_is_base64),
		cmocka_unit_test(an_address_cannot_say_more_than_itself),
		cmocka_unit_test(a_name_is_visible_ascii_and_not_empty),
		cmocka_unit_test(only_the_end_of_a_message_looks_like_one),
		cmocka_unit_test(chunks_hold_the_message_however_it_is_cut),
		cmocka_unit_test(a_chunk_is_as_large_as_there_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
