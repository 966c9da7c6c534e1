#include "expect.h"

#include "wire/smtp.h"

#define LINE_LIMIT 64

static uint8_t said_mem[4096];
static struct buf said = { .mem = said_mem, .cap = sizeof(said_mem) };

static struct smtp_event ask(struct smtp *s, const char *text)
{
	struct span in = span_str(text);
	struct smtp_event ev = smtp_next(s, &in);

	if (ev.kind != SMTP_TEXT)
		assert_int_equal(in.n, 0);
	return ev;
}

static void reply(struct smtp *s, enum reply r)
{
	buf_reset(&said);
	smtp_reply(s, r, SPAN_NONE, &said);
}

/* Bring an engine to a state, by the shortest way. */
static void bring(struct smtp *s, enum smtp_state to)
{
	smtp_init(s, LINE_LIMIT,
		  SMTP_OFFERS_CHUNKING | SMTP_OFFERS_BINARY | SMTP_OFFERS_UTF8);
	if (to == SMTP_START)
		return;
	ask(s, "EHLO x\r\n");
	reply(s, RE_EHLO);
	if (to == SMTP_READY)
		return;
	ask(s, "MAIL FROM:<a@b>\r\n");
	reply(s, RE_SENDER_OK);
	if (to == SMTP_MAIL_OK)
		return;
	ask(s, "RCPT TO:<c@d>\r\n");
	reply(s, RE_RECIPIENT_OK);
	if (to == SMTP_RCPT_OK)
		return;
	if (to == SMTP_IN_BODY) {
		ask(s, "DATA\r\n");
		reply(s, RE_SEND_BODY);
		return;
	}
	ask(s, "BDAT 0\r\n");
	reply(s, RE_NONE);
	if (to == SMTP_IN_CHUNK)
		return;
	assert_int_equal(ask(s, "").kind, SMTP_CHUNK);
	reply(s, RE_CHUNK_OK);
}

struct row {
	const char *why, *line;
	enum smtp_state in;
	enum smtp_kind kind;
	enum smtp_verb verb;
	enum event odd;
	enum reply say;
	const char *text;
};

static const struct row rows[] = {
	/* clang-format off */
	{ "a plain verb",            "NOOP",              SMTP_READY,   SMTP_VERB, SMTP_NOOP, EV_NONE,         RE_NONE,         "" },
	{ "with an argument",        "NOOP x  y",         SMTP_READY,   SMTP_VERB, SMTP_NOOP, EV_NONE,         RE_NONE,         "x  y" },
	{ "case does not matter",    "mail FROM:<a@b>",   SMTP_READY,   SMTP_VERB, SMTP_MAIL, EV_NONE,         RE_NONE,         "FROM:<a@b>" },
	{ "trailing space is fine",  "RSET  ",            SMTP_READY,   SMTP_VERB, SMTP_RSET, EV_NONE,         RE_NONE,         "" },
	{ "a leading one is not",    " RSET",             SMTP_READY,   SMTP_BAD,  0,         EV_UNKNOWN_VERB, RE_UNKNOWN_VERB, " RSET" },
	{ "an empty line",           "",                  SMTP_READY,   SMTP_BAD,  0,         EV_UNKNOWN_VERB, RE_UNKNOWN_VERB, "" },
	{ "a verb we do not have",   "XYZZY",             SMTP_READY,   SMTP_BAD,  0,         EV_UNKNOWN_VERB, RE_UNKNOWN_VERB, "XYZZY" },
	{ "a verb with a tail",      "NOOPS",             SMTP_READY,   SMTP_BAD,  0,         EV_UNKNOWN_VERB, RE_UNKNOWN_VERB, "NOOPS" },
	{ "the web came to visit",   "GET / HTTP/1.1",    SMTP_START,   SMTP_BAD,  0,         EV_NOT_SMTP,     RE_UNKNOWN_VERB, "GET / HTTP/1.1" },
	{ "and a shell",             "SSH-2.0-x",         SMTP_START,   SMTP_BAD,  0,         EV_NOT_SMTP,     RE_UNKNOWN_VERB, "SSH-2.0-x" },
	{ "a mail before EHLO",      "MAIL FROM:<a@b>",   SMTP_START,   SMTP_BAD,  0,         EV_BAD_SEQUENCE, RE_BAD_SEQUENCE, "MAIL FROM:<a@b>" },
	{ "RSET before EHLO",        "RSET",              SMTP_START,   SMTP_VERB, SMTP_RSET, EV_NONE,         RE_NONE,         "" },
	{ "VRFY before EHLO",        "VRFY x",            SMTP_START,   SMTP_VERB, SMTP_VRFY, EV_NONE,         RE_NONE,         "x" },
	{ "XCLIENT before EHLO",     "XCLIENT A=B",       SMTP_START,   SMTP_VERB, SMTP_XCLIENT, EV_NONE,      RE_NONE,         "A=B" },
	{ "XCLIENT in a mail",       "XCLIENT A=B",       SMTP_MAIL_OK, SMTP_BAD,  0,         EV_BAD_SEQUENCE, RE_BAD_SEQUENCE, "XCLIENT A=B" },
	{ "RCPT before MAIL",        "RCPT TO:<a@b>",     SMTP_READY,   SMTP_BAD,  0,         EV_BAD_SEQUENCE, RE_BAD_SEQUENCE, "RCPT TO:<a@b>" },
	{ "a second RCPT",           "RCPT TO:<a@b>",     SMTP_RCPT_OK, SMTP_VERB, SMTP_RCPT, EV_NONE,         RE_NONE,         "TO:<a@b>" },
	{ "a second MAIL",           "MAIL FROM:<a@b>",   SMTP_RCPT_OK, SMTP_BAD,  0,         EV_BAD_SEQUENCE, RE_BAD_SEQUENCE, "MAIL FROM:<a@b>" },
	{ "DATA without RCPT",       "DATA",              SMTP_MAIL_OK, SMTP_BAD,  0,         EV_BAD_SEQUENCE, RE_NO_RECIPIENTS, "DATA" },
	{ "DATA takes none",         "DATA now",          SMTP_RCPT_OK, SMTP_BAD,  0,         EV_BAD_ARGUMENT, RE_NO_ARGUMENT,  "DATA now" },
	{ "DATA behind BDAT",        "DATA",              SMTP_CHUNKED, SMTP_BAD,  0,         EV_BAD_SEQUENCE, RE_BAD_SEQUENCE, "DATA" },
	{ "another chunk",           "BDAT 7 last",       SMTP_CHUNKED, SMTP_VERB, SMTP_BDAT, EV_NONE,         RE_NONE,         "7 last" },
	{ "a chunk without size",    "BDAT LAST",         SMTP_CHUNKED, SMTP_BAD,  0,         EV_BAD_CHUNK,    RE_BAD_ARGUMENT, "BDAT LAST" },
	{ "a chunk without words",   "BDAT",              SMTP_START,   SMTP_BAD,  0,         EV_BAD_CHUNK,    RE_BAD_ARGUMENT, "BDAT" },
	{ "a negative chunk",        "BDAT -1",           SMTP_READY,   SMTP_BAD,  0,         EV_BAD_CHUNK,    RE_BAD_ARGUMENT, "BDAT -1" },
	{ "STARTTLS in a mail",      "STARTTLS",          SMTP_MAIL_OK, SMTP_BAD,  0,         EV_BAD_SEQUENCE, RE_BAD_SEQUENCE, "STARTTLS" },
	{ "MAIL wants an argument",  "MAIL",              SMTP_READY,   SMTP_BAD,  0,         EV_BAD_ARGUMENT, RE_BAD_ARGUMENT, "MAIL" },
	{ "QUIT takes none",         "QUIT now",          SMTP_READY,   SMTP_BAD,  0,         EV_BAD_ARGUMENT, RE_NO_ARGUMENT,  "QUIT now" },
	{ "LF alone ends nothing",   "NOOP\nQUIT",        SMTP_READY,   SMTP_BAD,  0,         EV_BARE_LF,      RE_BAD_BYTES,    "NOOP\nQUIT" },
	{ "nor does CR",             "NOOP\rQUIT",        SMTP_READY,   SMTP_BAD,  0,         EV_BARE_CR,      RE_BAD_BYTES,    "NOOP\rQUIT" },
	{ "8 bits in EHLO",          "EHLO f\xc3\xbc",    SMTP_READY,   SMTP_BAD,  0,         EV_EIGHT_BIT,    RE_NEEDS_UTF8,   "EHLO f\xc3\xbc" },
	{ "8 bits in MAIL",          "MAIL FROM:<\xc3\xbc@b>", SMTP_READY, SMTP_VERB, SMTP_MAIL, EV_NONE,      RE_NONE,         "FROM:<\xc3\xbc@b>" },
	{ "a verb in 8 bits",        "\xc3\xbc",          SMTP_READY,   SMTP_BAD,  0,         EV_NOT_SMTP,     RE_UNKNOWN_VERB, "\xc3\xbc" },
	/* clang-format on */
};

static void lines_are_read_as_the_rows_say(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct row *r = &rows[i];
		struct smtp_event ev;
		struct smtp s;
		BUF(line, 100);

		bring(&s, r->in);
		assert_int_equal(s.state, r->in);
		buf_fmt(&line, "%s\r\n%c", r->line, '\0');
		ev = ask(&s, (const char *)line_mem);
		expect_number(r->why, ev.kind, r->kind);
		expect_number(r->why, ev.odd, r->odd);
		expect_number(r->why, ev.say, r->say);
		expect_span(r->why, ev.text, span_str(r->text));
		if (ev.kind == SMTP_VERB)
			expect_number(r->why, ev.verb, r->verb);
	}
}

/* Rows of smtp_verbs.def: what it takes to be legal, and where a reply leads. */
static const struct {
	const char *why, *line;
	enum smtp_state from;
	enum reply reply;
	enum smtp_state to;
} moves[] = {
	/* clang-format off */
	{ "EHLO greets",               "EHLO x\r\n",          SMTP_START,   RE_EHLO,         SMTP_READY },
	{ "HELO too",                  "HELO x\r\n",          SMTP_START,   RE_HELO,         SMTP_READY },
	{ "a refused one does not",    "EHLO x\r\n",          SMTP_START,   RE_BAD_ARGUMENT, SMTP_START },
	{ "EHLO ends a mail",          "EHLO x\r\n",          SMTP_RCPT_OK, RE_EHLO,         SMTP_READY },
	{ "a refused one does not",    "EHLO x\r\n",          SMTP_RCPT_OK, RE_BAD_ARGUMENT, SMTP_RCPT_OK },
	{ "EHLO ends chunks",          "EHLO x\r\n",          SMTP_CHUNKED, RE_EHLO,         SMTP_READY },
	{ "STARTTLS",                  "STARTTLS\r\n",        SMTP_READY,   RE_TLS_GO,       SMTP_WANTS_TLS },
	{ "STARTTLS refused",          "STARTTLS\r\n",        SMTP_READY,   RE_TLS_UNAVAILABLE, SMTP_READY },
	{ "AUTH refused",              "AUTH PLAIN\r\n",      SMTP_READY,   RE_NOT_HERE,     SMTP_READY },
	{ "XCLIENT starts over",       "XCLIENT A=B\r\n",     SMTP_READY,   RE_GREETING,     SMTP_START },
	{ "MAIL",                      "MAIL FROM:<>\r\n",    SMTP_READY,   RE_SENDER_OK,    SMTP_MAIL_OK },
	{ "a refused MAIL opens none", "MAIL FROM:<>\r\n",    SMTP_READY,   RE_NO_ROOM,      SMTP_READY },
	{ "RCPT",                      "RCPT TO:<a@b>\r\n",   SMTP_MAIL_OK, RE_RECIPIENT_OK, SMTP_RCPT_OK },
	{ "a refused RCPT is none",    "RCPT TO:<a@b>\r\n",   SMTP_MAIL_OK, RE_UNKNOWN_USER, SMTP_MAIL_OK },
	{ "a refused second one",      "RCPT TO:<a@b>\r\n",   SMTP_RCPT_OK, RE_UNKNOWN_USER, SMTP_RCPT_OK },
	{ "DATA",                      "DATA\r\n",            SMTP_RCPT_OK, RE_SEND_BODY,    SMTP_IN_BODY },
	{ "DATA refused",              "DATA\r\n",            SMTP_RCPT_OK, RE_BINARY_DATA,  SMTP_RCPT_OK },
	{ "BDAT",                      "BDAT 3\r\n",          SMTP_RCPT_OK, RE_NONE,         SMTP_IN_CHUNK },
	{ "RSET ends a mail",          "RSET\r\n",            SMTP_RCPT_OK, RE_OK,           SMTP_READY },
	{ "RSET ends chunks",          "RSET\r\n",            SMTP_CHUNKED, RE_OK,           SMTP_READY },
	{ "RSET greets nobody",        "RSET\r\n",            SMTP_START,   RE_OK,           SMTP_START },
	{ "NOOP",                      "NOOP\r\n",            SMTP_RCPT_OK, RE_OK,           SMTP_RCPT_OK },
	{ "VRFY",                      "VRFY x\r\n",          SMTP_MAIL_OK, RE_VRFY,         SMTP_MAIL_OK },
	{ "EXPN",                      "EXPN x\r\n",          SMTP_CHUNKED, RE_NOT_HERE,     SMTP_CHUNKED },
	{ "HELP",                      "HELP\r\n",            SMTP_START,   RE_HELP,         SMTP_START },
	{ "QUIT",                      "QUIT\r\n",            SMTP_CHUNKED, RE_BYE,          SMTP_GONE },
	{ "the end of a body",         ".\r\n",               SMTP_IN_BODY, RE_QUEUED,       SMTP_READY },
	{ "that we refuse",            ".\r\n",               SMTP_IN_BODY, RE_TRY_LATER,    SMTP_READY },
	{ "the end of a chunk",        "",                    SMTP_IN_CHUNK, RE_CHUNK_OK,    SMTP_CHUNKED },
	{ "that we refuse",            "",                    SMTP_IN_CHUNK, RE_TOO_BIG,     SMTP_READY },
	{ "something wrong",           "XYZZY\r\n",           SMTP_CHUNKED, RE_UNKNOWN_VERB, SMTP_CHUNKED },
	/* clang-format on */
};

static void the_reply_moves_the_state(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(moves); i++) {
		struct smtp_event ev;
		struct smtp s;

		bring(&s, moves[i].from);
		ev = ask(&s, moves[i].line);
		assert_int_not_equal(ev.kind, SMTP_MORE);
		expect_number(moves[i].why, s.state, moves[i].from);
		reply(&s, moves[i].reply);
		expect_number(moves[i].why, s.state, moves[i].to);
	}
}

static void every_verb_has_a_row_that_moves(void **unused)
{
	(void)unused;
	for (enum smtp_verb v = SMTP_NONE + 1; v < SMTP_VERB_COUNT; v++) {
		struct span word = span_str(smtp_verb_word(v));
		bool found = word.n == 0;

		for (size_t i = 0; i < COUNT_OF(moves); i++)
			found |= word.n && span_starts(span_str(moves[i].line), word);
		expect_true(smtp_verb_word(v), found);
	}
}

static void after_xclient_nobody_is_greeted(void **unused)
{
	struct smtp s;

	(void)unused;
	bring(&s, SMTP_READY);
	ask(&s, "XCLIENT A=B\r\n");
	reply(&s, RE_GREETING);
	ask(&s, "RSET\r\n");
	reply(&s, RE_OK);
	assert_int_equal(s.state, SMTP_START);
}

static void nothing_is_read_before_the_reply(void **unused)
{
	struct span in = SPAN("NOOP\r\nQUIT\r\n");
	struct smtp s;

	(void)unused;
	bring(&s, SMTP_READY);
	assert_int_equal(smtp_next(&s, &in).verb, SMTP_NOOP);
	assert_int_equal(smtp_next(&s, &in).kind, SMTP_MORE);
	expect_span("unread", in, SPAN("QUIT\r\n"));
	reply(&s, RE_OK);
	assert_int_equal(smtp_next(&s, &in).verb, SMTP_QUIT);
}

static void nothing_is_read_behind_starttls_and_quit(void **unused)
{
	struct span in = SPAN("STARTTLS\r\nNOOP\r\n");
	struct smtp s;

	(void)unused;
	bring(&s, SMTP_READY);
	assert_int_equal(smtp_next(&s, &in).verb, SMTP_STARTTLS);
	reply(&s, RE_TLS_GO);
	assert_int_equal(smtp_next(&s, &in).kind, SMTP_MORE);
	expect_span("unread", in, SPAN("NOOP\r\n"));
	in = SPAN("QUIT\r\nNOOP\r\n");
	bring(&s, SMTP_READY);
	assert_int_equal(smtp_next(&s, &in).verb, SMTP_QUIT);
	reply(&s, RE_BYE);
	assert_int_equal(smtp_next(&s, &in).kind, SMTP_MORE);
}

static void what_was_pipelined_behind_a_refusal_is_excused(void **unused)
{
	struct smtp s;

	(void)unused;
	bring(&s, SMTP_READY);
	ask(&s, "MAIL FROM:<a@b>\r\n");
	reply(&s, RE_NO_ROOM);
	assert_int_equal(ask(&s, "RCPT TO:<c@d>\r\n").odd, EV_NONE);
	reply(&s, RE_BAD_SEQUENCE);
	assert_int_equal(ask(&s, "BDAT 0 LAST\r\n").odd, EV_NONE);
	reply(&s, RE_BAD_SEQUENCE);
	ask(&s, "RSET\r\n");
	reply(&s, RE_OK);
	assert_int_equal(ask(&s, "RCPT TO:<c@d>\r\n").odd, EV_BAD_SEQUENCE);
}

/* ---- messages ---------------------------------------------------------------------- */

struct message {
	const char *why;
	struct span in, text; /* behind DATA; what is handed on */
	unsigned marks;
};

#define LF   SMTP_HAS_BARE_LF
#define CR   SMTP_HAS_BARE_CR
#define FAKE SMTP_HAS_FAKE_END
#define NUL  SMTP_HAS_NUL_END

/* What is refused hands on nothing behind the first oddity. */
static const struct message strict[] = {
	/* clang-format off */
	{ "lines",               SPAN_INIT("a\r\nb\r\n.\r\n"),           SPAN_INIT("a\r\nb\r\n"),     0 },
	{ "nothing",             SPAN_INIT(".\r\n"),                     SPAN_INIT(""),               0 },
	{ "an empty line",       SPAN_INIT("\r\n.\r\n"),                 SPAN_INIT("\r\n"),           0 },
	{ "a dot too many",      SPAN_INIT("..\r\n.\r\n"),               SPAN_INIT(".\r\n"),          0 },
	{ "a dot before text",   SPAN_INIT(".a\r\n.\r\n"),               SPAN_INIT("a\r\n"),          0 },
	{ "dots elsewhere",      SPAN_INIT("a.\r\n...b.\r\n.\r\n"),      SPAN_INIT("a.\r\n..b.\r\n"), 0 },
	{ "NUL is text",         SPAN_INIT("a\0b\r\n\0\r\n.\r\n"),       SPAN_INIT("a\0b\r\n\0\r\n"), 0 },
	{ "a dot behind a NUL",  SPAN_INIT("\0.x\r\n.\r\n"),             SPAN_INIT("\0.x\r\n"),       0 },
	{ "CR CR LF",            SPAN_INIT("a\r\r\n.\r\n"),              SPAN_INIT("a"),              CR },
	{ "LF",                  SPAN_INIT("a\nb\r\n.\r\n"),             SPAN_INIT("a"),              LF },
	{ "LF CR",               SPAN_INIT("a\n\rb\r\n.\r\n"),           SPAN_INIT("a"),              LF | CR },
	{ "LF . LF",             SPAN_INIT("a\n.\nb\r\n.\r\n"),          SPAN_INIT("a"),              LF | FAKE },
	{ "LF . CRLF",           SPAN_INIT("a\n.\r\nb\r\n.\r\n"),        SPAN_INIT("a"),              LF | FAKE },
	{ "CRLF . LF",           SPAN_INIT("a\r\n.\nb\r\n.\r\n"),        SPAN_INIT("a\r\n"),          LF | FAKE },
	{ "CR . CR",             SPAN_INIT("a\r.\rb\r\n.\r\n"),          SPAN_INIT("a"),              CR | FAKE },
	{ "CR . CRLF",           SPAN_INIT("a\r.\r\nb\r\n.\r\n"),        SPAN_INIT("a"),              CR | FAKE },
	{ "CRLF . CR",           SPAN_INIT("a\r\n.\rb\r\n.\r\n"),        SPAN_INIT("a\r\n"),          CR | FAKE },
	{ "LF . CR",             SPAN_INIT("a\n.\rb\r\n.\r\n"),          SPAN_INIT("a"),              LF | CR | FAKE },
	{ "CR . LF",             SPAN_INIT("a\r.\nb\r\n.\r\n"),          SPAN_INIT("a"),              LF | CR | FAKE },
	{ "CRLF NUL . CRLF",     SPAN_INIT("a\r\n\0.\r\nb\r\n.\r\n"),    SPAN_INIT("a\r\n\0."),       FAKE | NUL },
	{ "CRLF . NUL CRLF",     SPAN_INIT("a\r\n.\0\r\nb\r\n.\r\n"),    SPAN_INIT("a\r\n\0"),        FAKE | NUL },
	{ "at the start",        SPAN_INIT(".\nb\r\n.\r\n"),             SPAN_INIT(""),               LF | FAKE },
	/* clang-format on */
};

static const struct message normalised[] = {
	/* clang-format off */
	{ "lines",               SPAN_INIT("a\r\nb\r\n.\r\n"),           SPAN_INIT("a\r\nb\r\n"),             0 },
	{ "LF",                  SPAN_INIT("a\nb\r\n.\r\n"),             SPAN_INIT("a\r\nb\r\n"),             LF },
	{ "CR",                  SPAN_INIT("a\rb\r\n.\r\n"),             SPAN_INIT("a\r\nb\r\n"),             CR },
	{ "CR CR LF",            SPAN_INIT("a\r\r\n.\r\n"),              SPAN_INIT("a\r\n\r\n"),              CR },
	{ "LF CR",               SPAN_INIT("a\n\rb\r\n.\r\n"),           SPAN_INIT("a\r\n\r\nb\r\n"),         LF | CR },
	{ "LF . LF",             SPAN_INIT("a\n.\nb\r\n.\r\n"),          SPAN_INIT("a\r\n.\r\nb\r\n"),        LF | FAKE },
	{ "LF . CRLF",           SPAN_INIT("a\n.\r\nb\r\n.\r\n"),        SPAN_INIT("a\r\n.\r\nb\r\n"),        LF | FAKE },
	{ "CRLF . LF",           SPAN_INIT("a\r\n.\nb\r\n.\r\n"),        SPAN_INIT("a\r\n\r\nb\r\n"),         LF | FAKE },
	{ "CRLF . CR",           SPAN_INIT("a\r\n.\rb\r\n.\r\n"),        SPAN_INIT("a\r\n\r\nb\r\n"),         CR | FAKE },
	{ "CR . CR",             SPAN_INIT("a\r.\rb\r\n.\r\n"),          SPAN_INIT("a\r\n.\r\nb\r\n"),        CR | FAKE },
	{ "CR . LF",             SPAN_INIT("a\r.\nb\r\n.\r\n"),          SPAN_INIT("a\r\n.\r\nb\r\n"),        LF | CR | FAKE },
	{ "LF .. LF",            SPAN_INIT("a\n..\nb\r\n.\r\n"),         SPAN_INIT("a\r\n..\r\nb\r\n"),       LF },
	{ "CRLF NUL . CRLF",     SPAN_INIT("a\r\n\0.\r\nb\r\n.\r\n"),    SPAN_INIT("a\r\n\0."),               FAKE | NUL },
	/* clang-format on */
};

/* Everything up to the end of the message, some bytes at a time. */
static struct smtp_event hear(struct smtp *s, struct span bytes, size_t chunk,
			      struct buf *out)
{
	uint8_t window[128];
	size_t have = 0;

	while (true) {
		struct span more = span_head(bytes, chunk);
		struct span in = span_of(window, have + more.n);
		struct smtp_event ev;

		assert_true(in.n <= sizeof(window));
		if (more.n)
			memcpy(window + have, more.p, more.n);
		bytes = span_skip(bytes, more.n);
		while ((ev = smtp_next(s, &in)).kind == SMTP_TEXT)
			buf_put(out, ev.text);
		if (ev.kind != SMTP_MORE) {
			assert_int_equal(in.n, 0);
			assert_int_equal(bytes.n, 0);
			return ev;
		}
		assert_true(in.n < 3); /* no more is ever held back */
		assert_true(bytes.n > 0);
		memmove(window, in.p, in.n);
		have = in.n;
	}
}

static void check_messages(const struct message *m, size_t count, unsigned offers)
{
	for (size_t i = 0; i < count; i++)
		for (size_t chunk = 1; chunk < 20; chunk++) {
			struct smtp_event ev;
			struct smtp s;
			BUF(out, 128);

			bring(&s, SMTP_RCPT_OK);
			s.offers |= offers;
			ask(&s, "DATA\r\n");
			reply(&s, RE_SEND_BODY);
			ev = hear(&s, m[i].in, chunk, &out);
			expect_number(m[i].why, ev.kind, SMTP_END);
			expect_number(m[i].why, ev.marks, m[i].marks);
			expect_span(m[i].why, buf_span(&out), m[i].text);
		}
}

static void only_crlf_dot_crlf_ends_a_message(void **unused)
{
	(void)unused;
	check_messages(strict, COUNT_OF(strict), 0);
}

static void normalising_makes_crlf_of_everything(void **unused)
{
	(void)unused;
	check_messages(normalised, COUNT_OF(normalised), SMTP_NORMALISES);
}

static void a_message_leaves_the_next_one_clean(void **unused)
{
	struct smtp s;
	BUF(out, 32);

	(void)unused;
	bring(&s, SMTP_IN_BODY);
	assert_int_equal(hear(&s, SPAN("a\n.\r\n.\r\n"), 3, &out).marks, LF | FAKE);
	reply(&s, RE_SMUGGLING);
	ask(&s, "MAIL FROM:<>\r\n");
	reply(&s, RE_SENDER_OK);
	ask(&s, "RCPT TO:<a@b>\r\n");
	reply(&s, RE_RECIPIENT_OK);
	ask(&s, "DATA\r\n");
	reply(&s, RE_SEND_BODY);
	buf_reset(&out);
	assert_int_equal(hear(&s, SPAN("b\r\n.\r\n"), 3, &out).marks, 0);
	expect_text("the second", &out, "b\r\n");
}

static void chunk(struct smtp *s, const char *line, struct span bytes, size_t size,
		  struct buf *out, struct smtp_event *ev)
{
	assert_int_equal(ask(s, line).verb, SMTP_BDAT);
	reply(s, RE_NONE);
	assert_int_equal(said.len, 0);
	*ev = hear(s, bytes, size, out);
}

static void chunks_are_taken_as_they_are(void **unused)
{
	(void)unused;
	for (size_t size = 1; size < 10; size++) {
		struct smtp_event ev;
		struct smtp s;
		BUF(out, 64);

		bring(&s, SMTP_RCPT_OK);
		chunk(&s, "BDAT 8\r\n", SPAN("a\r\n.\r\n.\r"), size, &out, &ev);
		assert_int_equal(ev.kind, SMTP_CHUNK);
		reply(&s, RE_CHUNK_OK);
		chunk(&s, "BDAT 5 LAST\r\n", SPAN("\n..b\r"), size, &out, &ev);
		assert_int_equal(ev.kind, SMTP_END);
		assert_int_equal(ev.marks, CR); /* the last byte of all */
		expect_text("all", &out, "a\r\n.\r\n.\r\n..b");
	}
}

static void binary_chunks_are_not_looked_at(void **unused)
{
	struct smtp_event ev;
	struct smtp s;
	BUF(out, 64);

	(void)unused;
	bring(&s, SMTP_RCPT_OK);
	s.binary = true;
	chunk(&s, "BDAT 9 LAST\r\n", SPAN("\n.\n\0.\r.\r\r"), 2, &out, &ev);
	assert_int_equal(ev.kind, SMTP_END);
	assert_int_equal(ev.marks, 0);
	expect_span("all", buf_span(&out), SPAN("\n.\n\0.\r.\r\r"));
}

static void an_illegal_chunk_is_swallowed_before_it_is_answered(void **unused)
{
	struct span in = SPAN("BDAT 12 LAST\r\nQUIT\r\nQUIT\r\nNOOP\r\n");
	struct smtp_event ev;
	struct smtp s;

	(void)unused;
	bring(&s, SMTP_READY);
	ev = smtp_next(&s, &in); /* at once: nothing more may come to wake us */
	assert_int_equal(ev.kind, SMTP_BAD);
	assert_int_equal(ev.odd, EV_BAD_SEQUENCE);
	reply(&s, ev.say);
	assert_int_equal(smtp_next(&s, &in).verb, SMTP_NOOP);
}

static void a_size_that_cannot_be_read_is_the_end(void **unused)
{
	struct smtp s;

	(void)unused;
	bring(&s, SMTP_RCPT_OK);
	assert_true(ask(&s, "BDAT 9223372036854775808\r\n").lost);
	bring(&s, SMTP_RCPT_OK);
	assert_false(ask(&s, "BDAT 9223372036854775807\r\n").lost);
}

static void the_ehlo_reply_offers_what_is_taken(void **unused)
{
	const struct smtp_ehlo ehlo = { SPAN("mx.example"), 1000, 100, 10, SPAN_NONE };
	struct smtp s;

	(void)unused;
	smtp_init(&s, LINE_LIMIT, SMTP_OFFERS_TLS);
	ask(&s, "EHLO x\r\n");
	buf_reset(&said);
	smtp_reply_ehlo(&s, &ehlo, &said);
	expect_text("EHLO", &said,
		    "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n"
		    "250-STARTTLS\r\n250-LIMITS MAILMAX=10 RCPTMAX=100\r\n"
		    "250 ENHANCEDSTATUSCODES\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_read_as_the_rows_say),
		cmocka_unit_test(the_reply_moves_the_state),
		cmocka_unit_test(every_verb_has_a_row_that_moves),
		cmocka_unit_test(after_xclient_nobody_is_greeted),
		cmocka_unit_test(nothing_is_read_before_the_reply),
		cmocka_unit_test(nothing_is_read_behind_starttls_and_quit),
		cmocka_unit_test(what_was_pipelined_behind_a_refusal_is_excused),
		cmocka_unit_test(only_crlf_dot_crlf_ends_a_message),
		cmocka_unit_test(normalising_makes_crlf_of_everything),
		cmocka_unit_test(a_message_leaves_the_next_one_clean),
		cmocka_unit_test(chunks_are_taken_as_they_are),
		cmocka_unit_test(binary_chunks_are_not_looked_at),
		cmocka_unit_test(an_illegal_chunk_is_swallowed_before_it_is_answered),
		cmocka_unit_test(a_size_that_cannot_be_read_is_the_end),
		cmocka_unit_test(the_ehlo_reply_offers_what_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
