/*
 * What the POP3 engine promises: a dialogue that is its table, no password in an event that
 * goes into the log, and messages that arrive as they are in the file.
 */
#include "expect.h"

#include "wire/pop3.h"
#include "wire/pop3_text.h"

#define LINE_LIMIT 64
#define AUTH_LIMIT 96

static struct pop3_event ask(struct pop3 *p, const char *text)
{
	struct span in = span_str(text);
	struct pop3_event ev = pop3_next(p, &in);

	assert_int_equal(in.n, 0);
	return ev;
}

static void reply(struct pop3 *p, enum reply r)
{
	BUF(said, 512);

	pop3_reply(p, r, SPAN_NONE, &said);
	assert_false(said.full);
}

/* Bring an engine to a state, by the shortest way. */
static void bring(struct pop3 *p, enum pop3_state to)
{
	pop3_init(p, LINE_LIMIT, AUTH_LIMIT);
	if (to == POP3_START)
		return;
	if (to == POP3_IN_AUTH) {
		ask(p, "AUTH PLAIN\r\n");
		reply(p, RE_AUTH_GO);
		return;
	}
	ask(p, "USER a\r\n");
	reply(p, RE_OK);
	if (to == POP3_NAMED)
		return;
	ask(p, "PASS b\r\n");
	reply(p, RE_AUTH_OK);
}

static const struct row {
	const char *why, *line;
	enum pop3_state in;
	enum pop3_kind kind;
	enum pop3_verb verb;
	enum event odd;
	const char *text;
} rows[] = {
	/* clang-format off */
	{ "a plain verb",               "NOOP",           POP3_OPEN,  POP3_VERB, POP3_NOOP,      EV_NONE,         "" },
	{ "case does not matter",       "retr 3",         POP3_OPEN,  POP3_VERB, POP3_RETR,      EV_NONE,         "3" },
	{ "trailing space is fine",     "STAT  ",         POP3_OPEN,  POP3_VERB, POP3_STAT,      EV_NONE,         "" },
	{ "a leading one is not",       " STAT",          POP3_OPEN,  POP3_BAD,  0,              EV_UNKNOWN_VERB, " STAT" },
	{ "an empty line",              "",               POP3_START, POP3_BAD,  0,              EV_UNKNOWN_VERB, "" },
	{ "a verb with a tail",         "STATS",          POP3_OPEN,  POP3_BAD,  0,              EV_UNKNOWN_VERB, "STATS" },
	{ "the web came to visit",      "GET / HTTP/1.1", POP3_START, POP3_BAD,  0,              EV_NOT_SMTP,     "GET / HTTP/1.1" },
	{ "reading before login",       "RETR 1",         POP3_START, POP3_BAD,  0,              EV_BAD_SEQUENCE, "RETR 1" },
	{ "login after login",          "USER a",         POP3_OPEN,  POP3_BAD,  0,              EV_BAD_SEQUENCE, "USER a" },
	{ "TLS after login",            "STLS",           POP3_OPEN,  POP3_BAD,  0,              EV_BAD_SEQUENCE, "STLS" },
	{ "a password without a name",  "PASS secret",    POP3_START, POP3_BAD,  0,              EV_BAD_SEQUENCE, "PASS" },
	{ "a password has spaces",      "PASS  a b ",     POP3_NAMED, POP3_VERB, POP3_PASS,      EV_NONE,         " a b " },
	{ "a password has umlauts",     "PASS \xc3\xa4",  POP3_NAMED, POP3_VERB, POP3_PASS,      EV_NONE,         "\xc3\xa4" },
	{ "no password at all",         "PASS",           POP3_NAMED, POP3_BAD,  0,              EV_BAD_ARGUMENT, "PASS" },
	{ "a password, mistaken",       "secret",         POP3_NAMED, POP3_BAD,  0,              EV_UNKNOWN_VERB, "" },
	{ "another name",               "USER b",         POP3_NAMED, POP3_VERB, POP3_USER,      EV_NONE,         "b" },
	{ "which mechanisms?",          "AUTH",           POP3_START, POP3_VERB, POP3_AUTH_LIST, EV_NONE,         "" },
	{ "an exchange at once",        "AUTH PLAIN eA==",POP3_START, POP3_VERB, POP3_AUTH,      EV_NONE,         "PLAIN eA==" },
	{ "its secrets stay out",       "AUTH PLAIN eA==",POP3_OPEN,  POP3_BAD,  0,              EV_BAD_SEQUENCE, "AUTH" },
	{ "and those of APOP",          "APOP a 0123",    POP3_OPEN,  POP3_BAD,  0,              EV_BAD_SEQUENCE, "APOP" },
	{ "umlauts in a command",       "RETR \xc3\xa4",  POP3_OPEN,  POP3_BAD,  0,              EV_EIGHT_BIT,    "RETR \xc3\xa4" },
	{ "an argument too many",       "QUIT now",       POP3_OPEN,  POP3_BAD,  0,              EV_BAD_ARGUMENT, "QUIT now" },
	{ "an argument too few",        "DELE",           POP3_OPEN,  POP3_BAD,  0,              EV_BAD_ARGUMENT, "DELE" },
	{ "LF of its own",              "NOOP\nQUIT",     POP3_OPEN,  POP3_BAD,  0,              EV_BARE_LF,      "NOOP\nQUIT" },
	{ "LF of its own in a secret",  "PASS a\nb",      POP3_NAMED, POP3_BAD,  0,              EV_BARE_LF,      "" },
	{ "a line of an exchange",      "eA==",           POP3_IN_AUTH, POP3_ANSWER, POP3_AUTH_MORE, EV_NONE,     "eA==" },
	/* clang-format on */
};

static void a_line_is_what_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct row *r = &rows[i];
		struct pop3_event ev;
		struct pop3 p;
		char line[80];

		bring(&p, r->in);
		snprintf(line, sizeof(line), "%s\r\n", r->line);
		ev = ask(&p, line);
		expect_number(r->why, ev.kind, r->kind);
		expect_number(r->why, ev.odd, r->odd);
		if (ev.kind != POP3_BAD)
			expect_number(r->why, ev.verb, r->verb);
		expect_span(r->why, ev.text, span_str(r->text));
	}
}

static void nothing_is_read_before_the_last_line_is_answered(void **state)
{
	struct span in = SPAN("STAT\r\nQUIT\r\n");
	struct pop3 p;

	(void)state;
	bring(&p, POP3_OPEN);
	assert_int_equal(pop3_next(&p, &in).verb, POP3_STAT);
	assert_int_equal(pop3_next(&p, &in).kind, POP3_MORE);
	assert_int_equal(in.n, 6);
	reply(&p, RE_OK);
	assert_int_equal(pop3_next(&p, &in).verb, POP3_QUIT);
	reply(&p, RE_BYE);
	assert_int_equal(p.state, POP3_GONE);
}

static void behind_stls_nothing_is_read(void **state)
{
	struct span in = SPAN("STLS\r\nUSER a\r\n");
	struct pop3 p;

	(void)state;
	bring(&p, POP3_START);
	assert_int_equal(pop3_next(&p, &in).verb, POP3_STLS);
	reply(&p, RE_TLS_GO);
	assert_int_equal(pop3_next(&p, &in).kind, POP3_MORE);
	assert_int_equal(in.n, 8);
}

static void a_refused_login_begins_anew_and_what_follows_is_nobodys_business(void **state)
{
	struct pop3 p;

	(void)state;
	bring(&p, POP3_NAMED);
	ask(&p, "PASS wrong\r\n");
	reply(&p, RE_AUTH_FAILED);
	assert_int_equal(p.state, POP3_START);
	expect_span("a password on a line of its own", ask(&p, "right\r\n").text,
		    SPAN(""));
	reply(&p, RE_UNKNOWN_VERB);
	bring(&p, POP3_IN_AUTH);
	ask(&p, "eA==\r\n");
	reply(&p, RE_AUTH_FAILED);
	assert_int_equal(p.state, POP3_START);
}

static void long_lines_are_swallowed_and_those_of_exchanges_may_be_longer(void **state)
{
	char line[LINE_LIMIT + 8] = "USER ";
	struct pop3 p;

	(void)state;
	memset(line + 5, 'a', LINE_LIMIT - 5);
	memcpy(line + LINE_LIMIT, "\r\n", 3);
	bring(&p, POP3_START);
	assert_int_equal(ask(&p, line).odd, EV_LONG_LINE);
	reply(&p, RE_LINE_TOO_LONG);
	memcpy(line, "AUTH ", 5);
	assert_int_equal(ask(&p, line).verb, POP3_AUTH);
	reply(&p, RE_AUTH_GO);
	memset(line, 'a', 5);
	assert_int_equal(ask(&p, line).odd, EV_NONE);
}

static void a_tls_hello_is_known_by_its_first_byte(void **state)
{
	struct span in = SPAN("\x16\x03\x01");
	struct pop3_event ev;
	struct pop3 p;

	(void)state;
	bring(&p, POP3_START);
	ev = pop3_next(&p, &in);
	assert_int_equal(ev.odd, EV_NOT_SMTP);
	assert_true(ev.lost);
}

static const struct print_row {
	enum reply r;
	const char *said;
} print_rows[] = {
	{ RE_OK, "+OK OK\r\n" },
	{ RE_AUTH_FAILED, "-ERR [AUTH] Authentication failed\r\n" },
	{ RE_AUTH_LATER, "-ERR [SYS/TEMP] Cannot authenticate now, try again later\r\n" },
	{ RE_MAILBOX_LIMIT,
	  "-ERR [IN-USE] Mailbox server takes no more sessions of this account\r\n" },
	{ RE_LOGIN_OVER, "-ERR [IN-USE] Too many sessions of this account\r\n" },
	{ RE_GUARD_BANNED,
	  "-ERR [SYS/PERM] Refused for what came from this address or network\r\n" },
	{ RE_NO_MESSAGE, "-ERR No such message\r\n" },
	{ RE_MESSAGE_GONE, "-ERR That message is not there any more\r\n" },
};

static void answers_have_the_codes_of_rfc_2449_and_3206(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(print_rows); i++) {
		BUF(said, 200);

		pop3_print(print_rows[i].r, SPAN_NONE, &said);
		expect_text("reply", &said, print_rows[i].said);
	}
}

static void capa_says_what_may_be_done_now(void **state)
{
	struct pop3_capa all = { POP3_OFFERS_TLS | POP3_OFFERS_USER | POP3_OFFERS_UTF8,
				 SPAN("PLAIN LOGIN") },
			 none = { 0 };
	BUF(said, 256);
	BUF(less, 256);

	(void)state;
	pop3_print_capa(&all, &said);
	expect_text("all", &said,
		    "TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nSTLS\r\n"
		    "USER\r\nSASL PLAIN LOGIN\r\nUTF8 USER\r\n.\r\n");
	pop3_print_capa(&none, &less);
	expect_text("none", &less,
		    "TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n.\r\n");
}

static const struct number_row {
	const char *text;
	int count;
	uint32_t one, other;
} number_rows[] = {
	{ "", 0, 0, 0 },
	{ "  ", 0, 0, 0 },
	{ "1", 1, 1, 0 },
	{ " 4294967295 ", 1, UINT32_MAX, 0 },
	{ "1  20", 2, 1, 20 },
	{ "1 2 3", -1, 0, 0 },
	{ "4294967296", -1, 0, 0 },
	{ "-1", -1, 0, 0 },
	{ "1x", -1, 0, 0 },
	{ "0x1", -1, 0, 0 },
};

static void numbers_are_digits_and_nothing_else(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(number_rows); i++) {
		const struct number_row *r = &number_rows[i];
		uint32_t n[2] = { 0, 0 };

		expect_number(r->text, pop3_numbers(span_str(r->text), n), r->count);
		if (r->count > 0)
			expect_number(r->text, n[0], r->one);
		if (r->count > 1)
			expect_number(r->text, n[1], r->other);
	}
}

/* ---- messages ----------------------------------------------------------------------- */

/* Say a file, with pieces and room of at most so much at once. */
static void say(struct pop3_text *t, struct span file, size_t piece, size_t room,
		struct buf *out)
{
	while (file.n && !t->enough) {
		struct span in = span_head(file, piece);

		file = span_skip(file, in.n);
		while (in.n && !t->enough) {
			BUF(some, 4096);

			some.cap = room;
			pop3_text_put(t, &in, &some);
			assert_true(some.len > 0 && !some.full);
			buf_put(out, buf_span(&some));
		}
	}
	pop3_text_end(t, out);
	assert_false(out->full);
}

static const struct text_row {
	const char *why, *file, *said;
	uint64_t size;
} text_rows[] = {
	/* clang-format off */
	{ "an empty file",           "",                "",                      0 },
	{ "LF becomes CRLF",         "a: b\n\nc\n",     "a: b\r\n\r\nc\r\n",     11 },
	{ "CRLF stays",              "a: b\r\n\r\nc\r\n", "a: b\r\n\r\nc\r\n",   11 },
	{ "dots are doubled",        ".\n..\n.a\nb.\n", "..\r\n...\r\n..a\r\nb.\r\n", 15 },
	{ "a last line without LF",  "a\nb",            "a\r\nb\r\n",            6 },
	{ "a last line with a dot",  "a\n.",            "a\r\n..\r\n",           6 },
	{ "a last line with CR",     "a\r",             "a\r\n",                 3 },
	{ "CR in a line",            "a\rb\n",          "a\rb\r\n",              5 },
	{ "CR twice",                "a\r\r\n",         "a\r\r\n",               4 },
	/* clang-format on */
};

static void a_message_is_said_as_its_file_has_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(text_rows); i++) {
		const struct text_row *r = &text_rows[i];

		for (size_t piece = 1; piece < 12; piece++) {
			char said[64];
			struct pop3_text t;
			struct pop3_size size;
			BUF(out, 256);

			pop3_text_all(&t);
			say(&t, span_str(r->file), piece, 4 + piece % 5, &out);
			snprintf(said, sizeof(said), "%s.\r\n", r->said);
			expect_text(r->why, &out, said);
			pop3_size_begin(&size);
			for (struct span s = span_str(r->file); s.n;
			     s = span_skip(s, piece))
				pop3_size_put(&size, span_head(s, piece));
			expect_number(r->why, (int64_t)pop3_size_end(&size),
				      (int64_t)r->size);
		}
	}
}

static const struct top_row {
	const char *why, *file, *said;
	uint32_t lines;
} top_rows[] = {
	/* clang-format off */
	{ "the header alone",        "a: b\nc: d\n\n1\n2\n3\n", "a: b\r\nc: d\r\n\r\n",           0 },
	{ "and two lines",           "a: b\n\n1\n.2\n3\n",      "a: b\r\n\r\n1\r\n..2\r\n",       2 },
	{ "more than there are",     "a: b\n\n1\n",             "a: b\r\n\r\n1\r\n",              9 },
	{ "no body",                 "a: b\n",                  "a: b\r\n",                       1 },
	{ "with CRLF",               "a: b\r\n\r\n1\r\n2\r\n",  "a: b\r\n\r\n1\r\n",              1 },
	{ "an empty line counts",    "a: b\n\n\n1\n2\n",        "a: b\r\n\r\n\r\n1\r\n",          2 },
	{ "no header",               "\n1\n2\n",                "\r\n1\r\n",                      1 },
	/* clang-format on */
};

static void top_is_the_header_and_so_many_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(top_rows); i++) {
		const struct top_row *r = &top_rows[i];

		for (size_t piece = 1; piece < 12; piece++) {
			char said[64];
			struct pop3_text t;
			BUF(out, 256);

			pop3_text_top(&t, r->lines);
			say(&t, span_str(r->file), piece, 4 + piece % 5, &out);
			snprintf(said, sizeof(said), "%s.\r\n", r->said);
			expect_text(r->why, &out, said);
		}
	}
}

/* What a client makes of it: CRLF becomes LF, dots go, until the one alone. */
static void read_back(struct span said, struct buf *file)
{
	for (;;) {
		size_t lf = span_find(said, '\n');
		struct span line = span_head(said, lf);

		assert_true(lf < said.n && lf > 0 && said.p[lf - 1] == '\r');
		said = span_skip(said, lf + 1);
		line = span_head(line, line.n - 1);
		if (span_eq(line, SPAN(".")))
			break;
		buf_put(file, line.n && line.p[0] == '.' ? span_skip(line, 1) : line);
		buf_byte(file, '\n');
	}
	assert_int_equal(said.n, 0);
}

static void any_file_with_whole_lines_comes_back_as_it_was(void **state)
{
	static const char bytes[] = "\n.ab\t\0\x80";
	uint64_t seed = 7;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		size_t n = dice_below(&seed, 200), dots = 0, lf = 0;
		struct pop3_size size;
		struct pop3_text t;
		BUF(file, 256);
		BUF(said, 1024);
		BUF(back, 512);

		for (size_t j = 0; j < n; j++)
			buf_byte(&file, (uint8_t)bytes[dice_below(&seed, 8)]);
		buf_byte(&file, '\n');
		for (size_t j = 0; j < file.len; j++) {
			bool first = j == 0 || file.mem[j - 1] == '\n';

			dots += first && file.mem[j] == '.';
			lf += file.mem[j] == '\n';
		}
		pop3_text_all(&t);
		say(&t, buf_span(&file), 1 + dice_below(&seed, 40),
		    4 + dice_below(&seed, 40), &said);
		read_back(buf_span(&said), &back);
		expect_span("the file", buf_span(&back), buf_span(&file));
		pop3_size_begin(&size);
		pop3_size_put(&size, buf_span(&file));
		expect_number("its size", (int64_t)pop3_size_end(&size),
			      (int64_t)(file.len + lf));
		expect_number("what was said", (int64_t)said.len,
			      (int64_t)(file.len + lf + dots + 3));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_what_the_table_says),
		cmocka_unit_test(nothing_is_read_before_the_last_line_is_answered),
		cmocka_unit_test(behind_stls_nothing_is_read),
		cmocka_unit_test(
			a_refused_login_begins_anew_and_what_follows_is_nobodys_business),
		cmocka_unit_test(
			long_lines_are_swallowed_and_those_of_exchanges_may_be_longer),
		cmocka_unit_test(a_tls_hello_is_known_by_its_first_byte),
		cmocka_unit_test(answers_have_the_codes_of_rfc_2449_and_3206),
		cmocka_unit_test(capa_says_what_may_be_done_now),
		cmocka_unit_test(numbers_are_digits_and_nothing_else),
		cmocka_unit_test(a_message_is_said_as_its_file_has_it),
		cmocka_unit_test(top_is_the_header_and_so_many_lines),
		cmocka_unit_test(any_file_with_whole_lines_comes_back_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
