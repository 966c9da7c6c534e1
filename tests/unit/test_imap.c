#include "expect.h"

#include "wire/imap.h"
#include "wire/imap_word.h"

/* Whole conversations are in tests/wire/imap*.wire; here is what the engine says, row by row. */

#define LINE_LIMIT 256

static struct imap_event ask(struct imap *m, struct span *in)
{
	return imap_next(m, in);
}

static void print(struct imap *m, enum reply r, const char *want, const char *why)
{
	BUF(said, 512);

	imap_reply(m, r, SPAN_NONE, &said);
	expect_text(why, &said, want);
}

/* ---- commands ----------------------------------------------------------------------- */

struct row {
	const char *why, *line;
	enum imap_kind kind;
	enum imap_verb verb;
	enum event odd;
	enum reply say;
	const char *text;
};

static const struct row rows[] = {
	/* clang-format off */
	{ "a plain command",          "a NOOP\r\n",             IMAP_VERB, IMAP_NOOP,    EV_NONE,         RE_NONE,         "" },
	{ "case does not matter",     "a nOOp\r\n",             IMAP_VERB, IMAP_NOOP,    EV_NONE,         RE_NONE,         "" },
	{ "what is behind it",        "a LOGIN b  c\r\n",       IMAP_VERB, IMAP_LOGIN,   EV_NONE,         RE_NONE,         "b  c" },
	{ "a literal is a part",      "a LOGIN {1+}\r\nb c\r\n", IMAP_VERB, IMAP_LOGIN,  EV_NONE,         RE_NONE,         "{1+}\r\nb c" },
	{ "a mechanism",              "a AUTHENTICATE X y\r\n", IMAP_VERB, IMAP_AUTHENTICATE, EV_NONE,    RE_NONE,         "X y" },
	{ "too early",                "a SELECT x\r\n",         IMAP_BAD,  IMAP_REFUSED, EV_BAD_SEQUENCE, RE_AUTH_NEEDED,  "a SELECT" },
	{ "ENABLE is too early, too", "a ENABLE X\r\n",         IMAP_BAD,  IMAP_REFUSED, EV_BAD_SEQUENCE, RE_AUTH_NEEDED,  "a ENABLE" },
	{ "nothing we know",          "a XYZZY p w\r\n",        IMAP_BAD,  IMAP_REFUSED, EV_UNKNOWN_VERB, RE_UNKNOWN_VERB, "a XYZZY" },
	{ "no tag",                   "NOOP\r\n",               IMAP_BAD,  IMAP_REFUSED, EV_UNKNOWN_VERB, RE_UNKNOWN_VERB, "NOOP" },
	{ "no tag before a password", "LOGIN bob secret\r\n",   IMAP_BAD,  IMAP_REFUSED, EV_UNKNOWN_VERB, RE_UNKNOWN_VERB, "" },
	{ "a tag with a star",        "* NOOP\r\n",             IMAP_BAD,  IMAP_REFUSED, EV_BAD_ARGUMENT, RE_NO_TAG,       "* NOOP" },
	{ "a tag with a plus",        "a+ NOOP\r\n",            IMAP_BAD,  IMAP_REFUSED, EV_BAD_ARGUMENT, RE_NO_TAG,       "a+ NOOP" },
	{ "a space in front",         " a NOOP\r\n",            IMAP_BAD,  IMAP_REFUSED, EV_UNKNOWN_VERB, RE_UNKNOWN_VERB, " a" },
	{ "an argument too many",     "a NOOP x\r\n",           IMAP_BAD,  IMAP_REFUSED, EV_BAD_ARGUMENT, RE_NO_ARGUMENT,  "NOOP" },
	{ "an argument too few",      "a LOGIN \r\n",           IMAP_BAD,  IMAP_REFUSED, EV_BAD_ARGUMENT, RE_BAD_ARGUMENT, "LOGIN" },
	{ "LF is no end of line",     "a NOOP\nb NOOP\r\n",     IMAP_BAD,  IMAP_REFUSED, EV_BARE_LF,      RE_BAD_BYTES,    "a NOOP\nb" },
	{ "the web",                  "GET / HTTP/1.1\r\n",     IMAP_BAD,  IMAP_REFUSED, EV_NOT_SMTP,     RE_UNKNOWN_VERB, "GET /" },
	{ "a literal out of place",   "a NOOP {3}\r\n",         IMAP_BAD,  IMAP_REFUSED, EV_BAD_ARGUMENT, RE_BAD_ARGUMENT, "a NOOP" },
	{ "a literal too long",       "a LOGIN {4097}\r\n",     IMAP_BAD,  IMAP_REFUSED, EV_LONG_LINE,    RE_LITERAL_LONG, "a LOGIN" },
	{ "a literal that may come",  "a LOGIN {4096}\r\n",     IMAP_LITERAL, IMAP_LOGIN, EV_NONE,        RE_NONE,         "" },
	{ "half a line",              "a NOOP\r",               IMAP_MORE, IMAP_NONE,    EV_NONE,         RE_NONE,         "" },
	{ "half a literal",           "a LOGIN {9+}\r\nb c\r\n", IMAP_MORE, IMAP_NONE,   EV_NONE,         RE_NONE,         "" },
	/* clang-format on */
};

static void what_a_line_is(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct row *r = &rows[i];
		struct span in = span_str(r->line);
		struct imap_event ev;
		struct imap m;

		imap_init(&m, LINE_LIMIT);
		ev = ask(&m, &in);
		expect_number(r->why, ev.kind, r->kind);
		expect_number(r->why, ev.verb, r->verb);
		expect_number(r->why, ev.odd, r->odd);
		expect_number(r->why, ev.say, r->say);
		expect_span(r->why, ev.text, span_str(r->text));
		expect_false(r->why, ev.lost);
	}
}

static void a_slow_answer_needs_no_extra_state(void **unused)
{
	struct span in = SPAN("a NOOP\r\nb NOOP\r\n");
	struct imap m;

	(void)unused;
	imap_init(&m, LINE_LIMIT);
	assert_int_equal(ask(&m, &in).kind, IMAP_VERB);
	assert_int_equal(in.n, 8);
	assert_int_equal(ask(&m, &in).kind, IMAP_MORE);
	assert_int_equal(in.n, 8);
	print(&m, RE_OK, "a OK Done\r\n", "the first");
	assert_int_equal(ask(&m, &in).kind, IMAP_VERB);
	print(&m, RE_OK, "b OK Done\r\n", "the second");
}

static void a_literal_that_is_refused_is_the_end_of_its_command(void **unused)
{
	struct span in = SPAN("a LOGIN {5}\r\nb NOOP\r\n");
	struct imap m;

	(void)unused;
	imap_init(&m, LINE_LIMIT);
	assert_int_equal(ask(&m, &in).kind, IMAP_LITERAL);
	print(&m, RE_AUTH_TLS,
	      "a NO [PRIVACYREQUIRED] STARTTLS first: passwords are not taken in the clear\r\n",
	      "before the password is sent");
	assert_int_equal(ask(&m, &in).verb, IMAP_NOOP);
	assert_int_equal(in.n, 0);
}

static void a_line_above_the_limit_ends_it_without_its_end(void **unused)
{
	uint8_t mem[LINE_LIMIT + 64];
	struct span in;
	struct imap_event ev;
	struct imap m;

	(void)unused;
	memset(mem, 'x', sizeof(mem));
	memcpy(mem, "tag LOGIN ", 10);
	imap_init(&m, LINE_LIMIT);
	in = span_of(mem, LINE_LIMIT - 1);
	assert_int_equal(ask(&m, &in).kind, IMAP_MORE);
	in = span_of(mem, LINE_LIMIT);
	ev = ask(&m, &in);
	assert_int_equal(ev.kind, IMAP_BAD);
	assert_int_equal(ev.odd, EV_LONG_LINE);
	assert_true(ev.lost);
	assert_int_equal(in.n, 0);
	print(&m, ev.say, "tag BAD Line too long\r\n", "with its tag");
}

/* RFC 2971, 3.3: up to thirty pairs, of which a value may have 1,024 bytes. */
static void an_id_may_be_longer_than_what_we_keep(void **unused)
{
	static uint8_t mem[IMAP_ID_MAX + 64];
	size_t n = 32000;
	struct imap_event ev;
	struct span in;
	struct imap m;

	(void)unused;
	memset(mem, 'x', sizeof(mem));
	memcpy(mem, "a ID (\"x\" \"", 12);
	memcpy(mem + n, "\")\r\nb NOOP\r\n", 12);
	imap_init(&m, LINE_LIMIT);
	for (size_t i = 1000; i < n; i += 1000) {
		in = span_of(mem, i);
		imap_init(&m, LINE_LIMIT);
		assert_int_equal(ask(&m, &in).kind, IMAP_MORE);
		assert_int_equal(in.n, 0);
		in = span_of(mem + i, n - i + 12);
		ev = ask(&m, &in);
		assert_int_equal(ev.verb, IMAP_ID);
		expect_span("what is too much to keep", ev.text, SPAN("NIL"));
		expect_span("and what is behind it", in, SPAN("b NOOP\r\n"));
	}
	/* but not without end, and not with a literal that nobody waited for */
	imap_init(&m, LINE_LIMIT);
	memset(mem + n, 'x', 12);
	in = span_of(mem, sizeof(mem));
	assert_true(ask(&m, &in).lost);
	memcpy(mem + n, "{9+}\r\n", 6);
	imap_init(&m, LINE_LIMIT);
	in = span_of(mem, n + 6);
	assert_true(ask(&m, &in).lost);
}

static void more_than_anybody_could_throw_away_ends_it(void **unused)
{
	struct span in = SPAN("a XYZZY {1048577+}\r\n"), less;
	struct imap m;

	(void)unused;
	imap_init(&m, LINE_LIMIT);
	assert_true(ask(&m, &in).lost);
	imap_init(&m, LINE_LIMIT);
	less = SPAN("a XYZZY {1048576+}\r\nb NOOP\r\n");
	assert_int_equal(ask(&m, &less).kind, IMAP_MORE);
	assert_int_equal(less.n, 0);
	/* nor in many small ones */
	imap_init(&m, LINE_LIMIT);
	in = SPAN("a XYZZY {3+}\r\nabc {1048574+}\r\n");
	assert_true(ask(&m, &in).lost);
	imap_init(&m, LINE_LIMIT);
	in = SPAN("a XYZZY {3+}\r\nabc\r\nb XYZZY {1048576+}\r\n");
	assert_false(ask(&m, &in).lost);
	print(&m, RE_UNKNOWN_VERB, "a BAD Command not recognised\r\n", "the first");
	assert_int_equal(ask(&m, &in).kind, IMAP_MORE);
}

static void who_was_refused_says_nothing_to_the_log(void **unused)
{
	struct span in = SPAN("a LOGIN x y\r\nsecret word\r\nb NOOP\r\nc XYZZY\r\n");
	struct imap_event ev;
	struct imap m;

	(void)unused;
	imap_init(&m, LINE_LIMIT);
	ask(&m, &in);
	print(&m, RE_AUTH_FAILED, "a NO [AUTHENTICATIONFAILED] Authentication failed\r\n",
	      "refused");
	ev = ask(&m, &in);
	assert_int_equal(ev.odd, EV_UNKNOWN_VERB);
	assert_int_equal(ev.text.n, 0);
	print(&m, ev.say, "secret BAD Command not recognised\r\n", "half a password");
	ask(&m, &in);
	print(&m, RE_OK, "b OK Done\r\n", "a command");
	ev = ask(&m, &in);
	expect_span("heard again", ev.text, SPAN("c XYZZY"));
}

/* ---- words -------------------------------------------------------------------------- */

static const struct {
	const char *why, *text;
	bool good;
	const char *user, *secret;
} logins[] = {
	{ "atoms", "alice secret", true, "alice", "secret" },
	{ "with what atoms may not have", "a%b*c\\ ]x[", true, "a%b*c\\", "]x[" },
	{ "quoted", "\"a b\" \"\"", true, "a b", "" },
	{ "with quotes in quotes", "\"\\\"\\\\\" \"x\\\\\"", true, "\"\\", "x\\" },
	{ "literals", "{3}\r\na\"b {2+}\r\n\r\n", true, "a\"b", "\r\n" },
	{ "a bad escape", "\"a\\b\" c", false, "", "" },
	{ "no closing quote", "\"a b", false, "", "" },
	{ "nothing between two strings", "\"a\"\"b\"", false, "", "" },
	{ "an atom on a string", "a\"b\" c", false, "", "" },
	{ "a list", "(a) b", false, "", "" },
	{ "one word", "a", false, "", "" },
	{ "three words", "a b c", false, "", "" },
	{ "no word", "", false, "", "" },
	{ "a literal longer than all there is", "{9}\r\nab c", false, "", "" },
};

static void a_name_and_a_password_may_be_written_in_many_ways(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(logins); i++) {
		struct imap_word user, secret;
		BUF(one, 64);
		BUF(other, 64);
		bool good = imap_login_parse(span_str(logins[i].text), &user, &secret);

		expect_number(logins[i].why, good, logins[i].good);
		if (!good)
			continue;
		imap_word_put(&user, &one);
		imap_word_put(&secret, &other);
		expect_text(logins[i].why, &one, logins[i].user);
		expect_text(logins[i].why, &other, logins[i].secret);
	}
}

static const struct {
	const char *why, *text;
	bool good;
	const char *name;
} ids[] = {
	{ "nothing", "NIL", true, "" },
	{ "an empty list", "()", true, "" },
	{ "a name", "(\"name\" \"Mailer\")", true, "Mailer" },
	{ "a version in front", "(\"VERSION\" \"1\" \"Name\" \"M\")", true, "M 1" },
	{ "a version alone", "(\"version\" \"1\")", true, "1" },
	{ "no name but NIL", "(\"name\" NIL \"os\" \"x\")", true, "" },
	{ "nothing that would not print", "(\"name\" \"a\tb\xc3\xbc\\\"c\")", true, "abc" },
	{ "literals", "({4}\r\nname {1}\r\nx)", true, "x" },
	{ "as much as there is room for",
	  "(\"name\" \"0123456789012345678901234567890123456789\" \"version\" \"2\")",
	  true, "01234567890123456789012345678901" },
	{ "half a pair", "(\"name\")", false, "" },
	{ "no list", "\"name\" \"x\"", false, "" },
	{ "more behind it", "(\"name\" \"x\") y", false, "" },
	{ "a list in a list", "((\"name\" \"x\"))", false, "" },
	{ "a long field", "(\"0123456789012345678901234567890\" \"x\")", false, "" },
};

static void a_client_may_say_what_it_is(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(ids); i++) {
		BUF(name, 32);
		bool good = imap_id_parse(span_str(ids[i].text), &name);

		expect_number(ids[i].why, good, ids[i].good);
		if (good)
			expect_span(ids[i].why, buf_span(&name), span_str(ids[i].name));
	}
}

static void thirty_pairs_are_enough(void **unused)
{
	uint8_t mem[400];
	struct buf text;

	(void)unused;
	for (int pairs = 30; pairs <= 31; pairs++) {
		BUF(name, 32);

		buf_init(&text, mem, sizeof(mem));
		buf_byte(&text, '(');
		for (int i = 0; i < pairs; i++)
			buf_put(&text, SPAN("\"a\" \"b\" "));
		buf_byte(&text, ')');
		assert_false(text.full);
		assert_int_equal(imap_id_parse(buf_span(&text), &name), pairs == 30);
	}
}

static const struct {
	const char *line;
	bool good;
	uint64_t size;
	bool waits;
} literals[] = {
	{ "x {0}", true, 0, true },
	{ "x {42+}", true, 42, false },
	{ "x ~{42}", true, 42, true },
	{ "x{7}", true, 7, true },
	{ "x {18446744073709551616}", true, UINT64_MAX, true },
	{ "x {}", false, 0, false },
	{ "x {+}", false, 0, false },
	{ "x {-1}", false, 0, false },
	{ "x {1 }", false, 0, false },
	{ "x {1} ", false, 0, false },
	{ "x 1}", false, 0, false },
	{ "", false, 0, false },
};

static void a_literal_is_announced_at_the_end_of_a_line(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(literals); i++) {
		const char *line = literals[i].line;
		struct imap_literal l = { 0 };

		expect_number(line, imap_announces(span_str(line), &l), literals[i].good);
		if (!literals[i].good)
			continue;
		expect_true(line, l.size == literals[i].size);
		expect_number(line, l.waits, literals[i].waits);
	}
}

/* ---- what is offered ------------------------------------------------------------------ */

static void what_servers_offer_is_passed_on_but_what_a_login_takes(void **unused)
{
	struct imap_offers o = {
		.tls = true,
		.login = true,
		.mechanisms = SPAN("PLAIN"),
		.learnt = SPAN(
			"IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ "
			"STARTTLS LOGINDISABLED AUTH=CRAM-MD5 auth=LOGIN IMAP4rev2"),
	};
	BUF(out, 512);

	(void)unused;
	imap_print_greeting(&o, SPAN("mx"), &out);
	expect_text("learnt", &out,
		    "* OK [CAPABILITY IMAP4rev1 SASL-IR ID ENABLE IDLE LITERAL+ IMAP4rev2 "
		    "STARTTLS AUTH=PLAIN] mx ready\r\n");
}

static void a_bye_says_why(void **unused)
{
	BUF(out, 256);

	(void)unused;
	imap_print_bye(RE_GUARD_TOO_MANY, SPAN("[S7K2Q9M] +49 30 123456"), &out);
	expect_text("with a code", &out,
		    "* BYE Too many sessions from this address or network, try again later "
		    "[S7K2Q9M] +49 30 123456\r\n");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_line_is),
		cmocka_unit_test(a_slow_answer_needs_no_extra_state),
		cmocka_unit_test(a_literal_that_is_refused_is_the_end_of_its_command),
		cmocka_unit_test(a_line_above_the_limit_ends_it_without_its_end),
		cmocka_unit_test(an_id_may_be_longer_than_what_we_keep),
		cmocka_unit_test(more_than_anybody_could_throw_away_ends_it),
		cmocka_unit_test(who_was_refused_says_nothing_to_the_log),
		cmocka_unit_test(a_name_and_a_password_may_be_written_in_many_ways),
		cmocka_unit_test(a_client_may_say_what_it_is),
		cmocka_unit_test(thirty_pairs_are_enough),
		cmocka_unit_test(a_literal_is_announced_at_the_end_of_a_line),
		cmocka_unit_test(what_servers_offer_is_passed_on_but_what_a_login_takes),
		cmocka_unit_test(a_bye_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
