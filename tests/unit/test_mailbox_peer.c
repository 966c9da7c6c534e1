#include "expect.h"

#include "wire/mailbox_peer.h"

/* All events of an input that comes in pieces of that size: "good|refused limit|". */
static void read_all(struct mailbox_peer *p, struct span all, size_t piece,
		     struct buf *seen)
{
	static const char *const kinds[] = { "more", "good", "refused", "go on",
					     "nonsense" };
	static const char *const whys[] = { "login", "limit", "later", "server" };
	size_t start = 0, end = 0;

	while (end < all.n) {
		struct mailbox_peer_event ev;
		struct span in;

		end = end + piece < all.n ? end + piece : all.n;
		in = span_of(all.p + start, end - start);
		while ((ev = mailbox_peer_next(p, &in)).kind != MAILBOX_PEER_MORE) {
			buf_fmt(seen, "%s%s%s|", kinds[ev.kind],
				ev.kind == MAILBOX_PEER_REFUSED ? " " : "",
				ev.kind == MAILBOX_PEER_REFUSED ? whys[ev.why] : "");
		}
		start = end - in.n;
	}
}

struct row {
	const char *why;
	bool pop3;
	const char *in, *events;
};

/* Three commands were said. */
static const struct row rows[] = {
	/* clang-format off */
	{ "answers come in the order of the questions", false, "* OK hi\r\nh1 OK a\r\nh2 NO b\r\nh3 BAD c\r\n", "good|good|refused login|refused server|" },
	{ "words may be in lower case",            false, "* ok hi\r\nh1 ok a\r\n", "good|good|" },
	{ "an answer out of order is nonsense",    false, "* OK hi\r\nh2 OK a\r\n", "good|nonsense|" },
	{ "so is one too many",                    false, "* OK hi\r\nh1 OK\r\nh2 OK\r\nh3 OK\r\nh4 OK\r\n", "good|good|good|good|nonsense|" },
	{ "and a tag that is not ours",            false, "* OK hi\r\na1 OK\r\n", "good|nonsense|" },
	{ "and an empty line",                     false, "* OK hi\r\n\r\n", "good|nonsense|" },
	{ "untagged lines mean nothing",           false, "* OK hi\r\n* 3 EXISTS\r\n* NO tired\r\n* FOO\r\nh1 OK\r\n", "good|good|" },
	{ "a bare LF is nonsense",                 false, "* OK hi\nh1 OK\r\n", "nonsense|" },
	{ "a bare CR is nonsense",                 false, "* OK h\ri\r\n", "nonsense|" },
	{ "behind nonsense nothing is heard",      false, "x\r\n* OK hi\r\nh1 OK\r\n", "nonsense|" },
	{ "an unfinished line is no answer",       false, "* OK hi\r\nh1 OK", "good|" },
	{ "a bye refuses",                         false, "* OK hi\r\n* BYE gone\r\n", "good|refused later|" },
	{ "codes say why",                         false, "* OK hi\r\nh1 NO [LIMIT] x\r\nh2 NO [unavailable] x\r\nh3 NO [CONTACTADMIN] x\r\n", "good|refused limit|refused later|refused server|" },
	{ "codes that nobody knows say nothing",   false, "* OK hi\r\nh1 NO [FOO] x\r\nh2 NO [LIMIT\r\n", "good|refused login|refused limit|" },
	{ "it may ask us to go on",                false, "* OK hi\r\n+ \r\n+\r\n+ x\r\n", "good|go on|go on|go on|" },
	{ "but not with a word that begins so",    false, "* OK hi\r\n+OK\r\n", "good|nonsense|" },
	{ "literals are not read",                 false, "* OK hi\r\n* ID (\"a\" {3}\r\n", "good|nonsense|" },
	{ "what only looks like one is text",      false, "* OK hi {x}\r\n* a {}\r\nh1 OK {3} x\r\n", "good|good|" },
	{ "POP3 says +OK and -ERR",                true,  "+OK hi\r\n-ERR no\r\n+ok\r\n-err [sys/temp] x\r\n", "good|refused login|good|refused later|" },
	{ "POP3 may ask us to go on",              true,  "+OK hi\r\n+ \r\n+ abc\r\n", "good|go on|go on|" },
	{ "POP3: anything else is nonsense",       true,  "+OK hi\r\nOK\r\n", "good|nonsense|" },
	{ "POP3: an empty line, too",              true,  "+OK hi\r\n\r\n", "good|nonsense|" },
	/* clang-format on */
};

static void answers_are_told_apart_however_they_are_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		for (size_t piece = 1; piece < 40; piece++) {
			struct mailbox_peer p;
			BUF(seen, 500);
			BUF(said, 500);

			mailbox_peer_init(&p, rows[i].pop3);
			for (size_t n = 0; !rows[i].pop3 && n < 3; n++)
				mailbox_peer_starttls(&p, &said);
			read_all(&p, span_str(rows[i].in), piece, &seen);
			expect_text(rows[i].why, &seen, rows[i].events);
		}
	}
}

static void read_once(struct mailbox_peer *p, struct span in, const char *events)
{
	BUF(seen, 500);

	read_all(p, in, in.n, &seen);
	expect_text("events", &seen, events);
}

static void a_nul_byte_is_nonsense(void **state)
{
	struct mailbox_peer p;

	(void)state;
	mailbox_peer_init(&p, false);
	read_once(&p, SPAN("* OK a\0b\r\n"), "nonsense|");
}

static void check_line(size_t n, const char *events)
{
	uint8_t *line = malloc(n);
	struct mailbox_peer p;

	assert_non_null(line);
	memset(line, 'x', n);
	memcpy(line, "* OK ", 5);
	memcpy(line + n - 2, "\r\n", 2);
	mailbox_peer_init(&p, false);
	read_once(&p, span_of(line, n), events);
	free(line);
}

static void a_line_of_8192_bytes_is_taken_and_a_longer_one_is_not(void **state)
{
	(void)state;
	check_line(MAILBOX_PEER_LINE, "good|");
	check_line(MAILBOX_PEER_LINE + 1, "nonsense|");
	check_line(1 << 20, "nonsense|");
}

static void after_200_lines_it_has_talked_enough(void **state)
{
	struct mailbox_peer p;
	struct mailbox_peer_event ev = { 0 };
	struct span greeting = SPAN("* OK hi\r\n");
	unsigned lines = 1;

	(void)state;
	mailbox_peer_init(&p, false);
	assert_int_equal(mailbox_peer_next(&p, &greeting).kind, MAILBOX_PEER_GOOD);
	for (; ev.kind == MAILBOX_PEER_MORE && lines < 1000; lines++) {
		struct span in = SPAN("* 1 EXISTS\r\n");

		ev = mailbox_peer_next(&p, &in);
	}
	assert_int_equal(ev.kind, MAILBOX_PEER_NONSENSE);
	assert_int_equal(lines, MAILBOX_PEER_LINES + 1);
}

static void one_list_of_what_it_can_replaces_another(void **state)
{
	struct mailbox_peer p;

	(void)state;
	mailbox_peer_init(&p, false);
	read_once(&p, SPAN("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN sasl-ir id] hi\r\n"),
		  "good|");
	assert_true(p.told);
	assert_int_equal(p.can, MAILBOX_CAN_PLAIN | MAILBOX_CAN_INITIAL | MAILBOX_CAN_ID);
	read_once(&p, SPAN("* CAPABILITY IMAP4rev2 LITERAL-\r\n"), "");
	assert_int_equal(p.can, MAILBOX_CAN_LITERAL_4K);
	expect_span("passed on", mailbox_peer_capability(&p), SPAN("IMAP4rev2 LITERAL-"));
	mailbox_peer_forget(&p);
	assert_false(p.told);
	assert_int_equal(mailbox_peer_capability(&p).n, 0);
}

/* It stands between brackets in an answer of ours. */
static void what_could_say_more_than_words_is_not_passed_on(void **state)
{
	uint8_t mem[CAPABILITY_MAX + 100];
	struct mailbox_peer p;
	struct buf line;

	(void)state;
	mailbox_peer_init(&p, false);
	read_once(&p, SPAN("* OK hi\r\n* CAPABILITY A] \x1b[2J\r\n"), "good|");
	assert_true(p.told);
	assert_int_equal(mailbox_peer_capability(&p).n, 0);
	buf_init(&line, mem, sizeof(mem));
	buf_put(&line, SPAN("* CAPABILITY AUTH=PLAIN "));
	for (size_t i = 0; i < CAPABILITY_MAX; i++)
		buf_byte(&line, 'X');
	buf_put(&line, SPAN("\r\n"));
	read_once(&p, buf_span(&line), "");
	assert_int_equal(p.can, MAILBOX_CAN_PLAIN);
	assert_int_equal(mailbox_peer_capability(&p).n, 0);
}

static void the_answer_to_capa_is_a_list(void **state)
{
	struct mailbox_peer p;
	BUF(said, 100);

	(void)state;
	mailbox_peer_init(&p, true);
	read_once(&p, SPAN("+OK hi\r\n"), "good|");
	mailbox_peer_ask(&p, &said);
	expect_text("said", &said, "CAPA\r\n");
	read_once(&p,
		  SPAN("+OK list\r\nTOP\r\n-ERR no\r\nSTLS\r\nSASL LOGIN PLAIN\r\n.\r\n"),
		  "good|");
	assert_int_equal(p.can, MAILBOX_CAN_STARTTLS | MAILBOX_CAN_PLAIN);
	read_once(&p, SPAN("-ERR no\r\n"), "refused login|");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_told_apart_however_they_are_cut),
		cmocka_unit_test(a_nul_byte_is_nonsense),
		cmocka_unit_test(a_line_of_8192_bytes_is_taken_and_a_longer_one_is_not),
		cmocka_unit_test(after_200_lines_it_has_talked_enough),
		cmocka_unit_test(one_list_of_what_it_can_replaces_another),
		cmocka_unit_test(what_could_say_more_than_words_is_not_passed_on),
		cmocka_unit_test(the_answer_to_capa_is_a_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
