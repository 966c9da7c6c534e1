/*
 * Dialogues with mailbox servers, as scripts: what the server says, what we say, how it ends.
 * Each is played with the server's bytes in pieces of every size.
 */
#include "expect.h"

#include "session/backend.h"

#define MORE_LINES 26

/*
 * ">" the server says this line, "<" we say it, "T" hands are shaken, "E" the server hangs up,
 * "W" nothing comes for the reply-timeout, "G" we hold no more, "=" the result and why, "+" what it offers.
 */
struct script {
	const char *why;
	unsigned how;
	const char *lines[MORE_LINES];
};

enum {
	POP3 = 1 << 0,
	START = 1 << 1,
	IMPLICIT = 1 << 2,
	ID = 1 << 3,
	V1 = 1 << 4,
	PROBE = 1 << 5,
	MASTER = 1 << 6, /* with an authorization identity */
	ODD = 1 << 7,	 /* name and password need literals */
	TOKEN = 1 << 8,	 /* OAUTHBEARER */
	HOLD = 1 << 9,
};

/* "\0"-separated alice, m, s3cret in base64, and for ODD nothing */
#define PLAIN "YWxpY2UAbQBzM2NyZXQ="

#define TOKEN_OF_AL "bixhPWFsLAFhdXRoPUJlYXJlciB0AQE="

/* clang-format off */
static const struct script scripts[] = {
	{ "the shortest way: what it can is in the greeting and in the answer", 0, {
		">* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hello",
		"<h1 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"",
		">h1 OK [CAPABILITY IMAP4rev1 IDLE] Logged in", "+IMAP4rev1 IDLE", "=yes" } },
	{ "who says nothing of what it can is asked, before and after", 0, {
		">* OK hello", "<h1 CAPABILITY", ">* CAPABILITY IMAP4rev1", ">h1 OK done",
		"<h2 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", ">h2 OK in",
		"<h3 CAPABILITY", ">* CAPABILITY IMAP4rev1 MOVE", ">h3 OK done", "+IMAP4rev1 MOVE", "=yes" } },
	{ "what it offers may come before the answer", 0, {
		">* OK [CAPABILITY IMAP4rev1] hello", "<h1 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"",
		">* CAPABILITY IMAP4rev1 NOTIFY", ">h1 OK in", "+IMAP4rev1 NOTIFY", "=yes" } },
	{ "who cannot tell what it can lets in all the same", 0, {
		">* OK hello", "<h1 CAPABILITY", ">h1 BAD what?",
		"<h2 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", ">h2 OK in", "<h3 CAPABILITY", ">h3 BAD what?", "+", "=yes" } },
	{ "who is held asks what it can, and says nothing of a login", HOLD, {
		">* OK hello", "<h1 CAPABILITY", ">* CAPABILITY IMAP4rev1", ">h1 OK done", "G",
		"<h2 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", ">h2 OK [CAPABILITY IMAP4rev1] in", "=yes" } },
	{ "who is let go before the greeting is not held by it", HOLD, {
		"G", ">* OK [CAPABILITY IMAP4rev1] hello",
		"<h1 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", ">h1 OK [CAPABILITY IMAP4rev1] in", "=yes" } },
	{ "also on POP3, behind TLS", HOLD | POP3 | START, {
		">+OK hello", "<STLS", ">+OK begin", "T", "G", "<USER al\"ice", ">+OK", "<PASS s3 c\\ret", ">+OK in", "=yes" } },
	{ "what a server says meanwhile that nobody asked for ends it", HOLD, {
		">* OK [CAPABILITY IMAP4rev1] hello", ">h1 OK in", "=broken a line that answers nothing" } },
	{ "on POP3, too", HOLD | POP3, {
		">+OK hello", ">+OK in", "=broken an answer before the question" } },
	{ "it may say goodbye", HOLD, {
		">* OK [CAPABILITY IMAP4rev1] hello", ">* BYE idle", "=later idle" } },
	{ "nobody is held for ever", HOLD, {
		">* OK [CAPABILITY IMAP4rev1] hello", "W", "=broken not wanted in time" } },
	{ "literals wait for the server", ODD, {
		">* OK [CAPABILITY IMAP4rev1] hello", "<h1 LOGIN {5}", ">+ go",
		"<b\xc3\xb6" "b\x01 {3}", ">+", "<a\nb", ">h1 OK [CAPABILITY IMAP4rev1] in", "=yes" } },
	{ "or not, if it says so", ODD, {
		">* OK [CAPABILITY IMAP4rev1 LITERAL+] hello", "<h1 LOGIN {5+}", "<b\xc3\xb6" "b\x01 {3+}",
		"<a\nb", ">h1 OK [CAPABILITY IMAP4rev1] in", "=yes" } },
	{ "an authorization identity goes with PLAIN, at once", MASTER, {
		">* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hello", "<h1 AUTHENTICATE PLAIN " PLAIN,
		">h1 OK [CAPABILITY X] in", "+X", "=yes" } },
	{ "or when it is asked for", MASTER, {
		">* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hello", "<h1 AUTHENTICATE PLAIN", ">+ ", "<" PLAIN,
		">h1 OK [CAPABILITY X] in", "=yes" } },
	{ "without PLAIN there is no identity", MASTER, {
		">* OK [CAPABILITY IMAP4rev1] hello", "=unfit AUTH=PLAIN is not offered there" } },
	{ "a token is passed on as it came", TOKEN, {
		">* OK [CAPABILITY IMAP4rev1 SASL-IR LOGINDISABLED AUTH=OAUTHBEARER] hello", "<h1 AUTHENTICATE OAUTHBEARER " TOKEN_OF_AL,
		">h1 OK [CAPABILITY X] in", "+X", "=yes" } },
	{ "what is wrong with it is told before it is refused", TOKEN, {
		">* OK [CAPABILITY IMAP4rev1 AUTH=OAUTHBEARER] hello", "<h1 AUTHENTICATE OAUTHBEARER", ">+ ", "<" TOKEN_OF_AL,
		">+ eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=", "<AQ==", ">h1 NO [AUTHENTICATIONFAILED] no", "=no [AUTHENTICATIONFAILED] no" } },
	{ "but once", TOKEN, {
		">* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=OAUTHBEARER] hello", "<h1 AUTHENTICATE OAUTHBEARER " TOKEN_OF_AL,
		">+ eyJ9", "<AQ==", ">+ eyJ9", "=broken it wants more where there is no more" } },
	{ "a token is nothing for who does not know tokens", TOKEN, {
		">* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2] hello", "=unfit AUTH=OAUTHBEARER is not offered there" } },
	{ "POP3: who does not know tokens is asked, and told none", POP3 | TOKEN, {
		">+OK hello", "<CAPA", ">+OK", ">SASL PLAIN LOGIN", ">.", "=unfit AUTH=OAUTHBEARER is not offered there" } },
	{ "POP3: who does is told", POP3 | TOKEN, {
		">+OK hello", "<CAPA", ">+OK", ">SASL PLAIN OAUTHBEARER", ">.", "<AUTH OAUTHBEARER", ">+ ", "<" TOKEN_OF_AL, ">+OK in", "=yes" } },
	{ "who disables LOGIN is not told a password", 0, {
		">* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hello", "=unfit LOGIN is disabled there; without TLS?" } },
	{ "who we come for is said where it is understood, and nobody waits for the answer", ID, {
		">* OK [CAPABILITY IMAP4rev1 ID] hello",
		"<h1 ID (\"x-originating-ip\" \"192.0.2.7\" \"x-originating-port\" \"4711\" \"x-connected-ip\" \"2001:db8::1\" \"x-connected-port\" \"143\" \"x-session-id\" \"abc\")",
		"<h2 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", ">* ID NIL", ">h1 OK done", ">h2 OK [CAPABILITY X] in", "+X", "=yes" } },
	{ "a refused ID changes nothing", ID, {
		">* OK [CAPABILITY IMAP4rev1 ID] hello",
		"<h1 ID (\"x-originating-ip\" \"192.0.2.7\" \"x-originating-port\" \"4711\" \"x-connected-ip\" \"2001:db8::1\" \"x-connected-port\" \"143\" \"x-session-id\" \"abc\")",
		"<h2 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", ">h1 BAD no", ">h2 OK [CAPABILITY X] in", "=yes" } },
	{ "where ID is not understood it is not said", ID, {
		">* OK [CAPABILITY IMAP4rev1] hello", "<h1 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", ">h1 OK [CAPABILITY X] in", "=yes" } },
	{ "STARTTLS forgets what was said in clear", START, {
		">* OK [CAPABILITY IMAP4rev1 LOGINDISABLED STARTTLS] hello", "<h1 STARTTLS", ">h1 OK go", "T",
		"<h2 CAPABILITY", ">* CAPABILITY IMAP4rev1", ">h2 OK done",
		"<h3 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", ">h3 OK [CAPABILITY X] in", "=yes" } },
	{ "a refused STARTTLS ends it", START, {
		">* OK hello", "<h1 STARTTLS", ">h1 NO never", "=unfit never" } },
	{ "TLS may come first", IMPLICIT, {
		"T", ">* OK [CAPABILITY IMAP4rev1] hello", "<h1 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", ">h1 OK [CAPABILITY X] in", "=yes" } },
	{ "a PROXY header goes before everything", V1 | IMPLICIT, {
		"<PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 4711 143", "T", ">* OK [CAPABILITY A] hello",
		"<h1 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", ">h1 OK [CAPABILITY X] in", "=yes" } },
	{ "a probe comes for nobody, and leaves", V1 | PROBE, {
		"<PROXY UNKNOWN", ">* OK hello", "<h1 LOGOUT", "=yes" } },
	{ "a wrong password", 0, {
		">* OK [CAPABILITY A] hello", "<h1 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", ">h1 NO [AUTHENTICATIONFAILED] wrong", "=no [AUTHENTICATIONFAILED] wrong" } },
	{ "a refusal without a code is one of the password", 0, {
		">* OK [CAPABILITY A] hello", "<h1 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", ">h1 NO wrong", "=no wrong" } },
	{ "too many sessions", 0, {
		">* OK [CAPABILITY A] hello", "<h1 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", ">h1 NO [LIMIT] Maximum number", "=limit [LIMIT] Maximum number" } },
	{ "not now", 0, {
		">* OK [CAPABILITY A] hello", "<h1 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", ">h1 NO [UNAVAILABLE] later", "=later [UNAVAILABLE] later" } },
	{ "a BAD is no word about the password", 0, {
		">* OK [CAPABILITY A] hello", "<h1 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", ">h1 BAD what", "=unfit what" } },
	{ "a goodbye instead of an answer", 0, {
		">* OK [CAPABILITY A] hello", "<h1 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", ">* BYE [LIMIT] enough", "=limit [LIMIT] enough" } },
	{ "a goodbye instead of a greeting", 0, { ">* BYE not today", "=later not today" } },
	{ "PREAUTH is not let pass: it would be somebody else's mail", 0, {
		">* PREAUTH hello", "=broken PREAUTH: it lets everybody in as somebody" } },
	{ "another protocol", 0, { ">220 mx ESMTP", "=broken a line that answers nothing" } },
	{ "an answer to what was not asked", 0, { ">* OK [CAPABILITY A] hello", "<h1 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", ">h2 OK in", "=broken a line that answers nothing" } },
	{ "an answer before a question", 0, { ">h1 OK in", "=broken a line that answers nothing" } },
	{ "a literal", 0, { ">* OK {3}", "=broken a literal before the login" } },
	{ "it wants more where there is no more", 0, {
		">* OK [CAPABILITY A] hello", "<h1 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", ">+ more", "=broken it wants more where there is no more" } },
	{ "it hangs up", 0, { ">* OK [CAPABILITY A] hello", "<h1 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", "E", "=broken it hung up" } },
	{ "silence instead of a greeting", 0, { "W", "=broken no greeting in time" } },
	{ "silence instead of an answer", 0, { ">* OK [CAPABILITY A] hello", "<h1 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"", "W", "=broken no answer to LOGIN in time" } },

	{ "POP3", POP3, { ">+OK hello", "<USER al\"ice", ">+OK", "<PASS s3 c\\ret", ">+OK Logged in", "=yes" } },
	{ "POP3 says who we come for where it is believed", POP3 | ID, {
		">+OK [XCLIENT] hello", "<XCLIENT ADDR=192.0.2.7 PORT=4711 SESSION=abc", "<USER al\"ice",
		">+OK Updated", ">+OK", "<PASS s3 c\\ret", ">+OK in", "=yes" } },
	{ "and is silent where it is not", POP3 | ID, { ">+OK hello", "<USER al\"ice", ">+OK", "<PASS s3 c\\ret", ">+OK in", "=yes" } },
	{ "POP3 with STLS", POP3 | START, { ">+OK hello", "<STLS", ">+OK go", "T", "<USER al\"ice", ">+OK", "<PASS s3 c\\ret", ">+OK in", "=yes" } },
	{ "XCLIENT is remembered over STLS", POP3 | START | ID, {
		">+OK [XCLIENT] hello", "<STLS", ">+OK go", "T", "<XCLIENT ADDR=192.0.2.7 PORT=4711 SESSION=abc", "<USER al\"ice",
		">+OK Updated", ">+OK", "<PASS s3 c\\ret", ">+OK in", "=yes" } },
	{ "POP3 with an identity", POP3 | MASTER, { ">+OK hello", "<AUTH PLAIN", ">+ ", "<" PLAIN, ">+OK in", "=yes" } },
	{ "POP3: a wrong password", POP3, { ">+OK hello", "<USER al\"ice", ">+OK", "<PASS s3 c\\ret", ">-ERR [AUTH] no", "=no [AUTH] no" } },
	{ "POP3: in use", POP3, { ">+OK hello", "<USER al\"ice", ">+OK", "<PASS s3 c\\ret", ">-ERR [IN-USE] no", "=limit [IN-USE] no" } },
	{ "POP3: not now", POP3, { ">+OK hello", "<USER al\"ice", ">-ERR [SYS/TEMP] no", "=later [SYS/TEMP] no" } },
	{ "POP3: no greeting", POP3, { ">-ERR go away", "=later go away" } },
	{ "POP3: nonsense", POP3, { ">* OK hello", "=broken a line that is neither +OK nor -ERR" } },
	{ "a POP3 probe", POP3 | PROBE, { ">+OK hello", "<QUIT", "=yes" } },
};
/* clang-format on */

struct player {
	const struct script *script;
	size_t piece;
	struct backend_setup setup;
	struct backend_talk talk;
	uint8_t said_mem[BACKEND_OUT];
	struct buf said; /* by us, not yet expected */
	uint8_t in_mem[4096];
	size_t in_n;
	unsigned orders;
	ms_t now, wake;
};

static void step(struct player *p, enum backend_in_kind kind, struct span bytes)
{
	struct backend_in in = { .kind = kind, .bytes = bytes };
	struct backend_out out = { .peer = &p->said };

	backend_step(&p->talk, &in, p->now, &out);
	if (p->said.full)
		fail_msg("%s: too much was said", p->script->why);
	p->orders |= out.orders;
	p->wake = out.wake;
	if (kind == BACKEND_IN_BYTES) {
		p->in_n -= out.used;
		memmove(p->in_mem, p->in_mem + out.used, p->in_n);
	}
}

static void hear(struct player *p, const char *line)
{
	uint8_t mem[1024];
	struct buf whole;
	struct span left;

	buf_init(&whole, mem, sizeof(mem));
	buf_fmt(&whole, "%s\r\n", line);
	for (left = buf_span(&whole); left.n; left = span_skip(left, p->piece)) {
		struct span some = span_head(left, p->piece);

		memcpy(p->in_mem + p->in_n, some.p, some.n);
		p->in_n += some.n;
		step(p, BACKEND_IN_BYTES, span_of(p->in_mem, p->in_n));
	}
}

/* The last piece of a literal has no end of line of its own. */
static void expect_said(struct player *p, const char *line)
{
	struct span want = span_str(line), got = buf_span(&p->said);

	if (!span_starts(got, want))
		fail_msg("%s: said \"%.*s\" instead of \"%s\"", p->script->why,
			 SPAN_ARG(got), line);
	buf_drop(&p->said, want.n);
	if (span_starts(buf_span(&p->said), SPAN("\r\n")))
		buf_drop(&p->said, 2);
}

static void expect_result(struct player *p, const char *line)
{
	static const char *const words[] = { "yes",   "no",    "limit",
					     "later", "unfit", "broken" };
	uint8_t mem[300];
	struct buf got;

	if (!(p->orders & BACKEND_DO_RESULT) || p->talk.phase != BACKEND_AT_END)
		fail_msg("%s: it goes on", p->script->why);
	if (p->said.len)
		fail_msg("%s: said \"%.*s\" at the end", p->script->why,
			 SPAN_ARG(buf_span(&p->said)));
	buf_init(&got, mem, sizeof(mem));
	buf_fmt(&got, "%s%s%.*s", words[p->talk.got], p->talk.why_n ? " " : "",
		(int)p->talk.why_n, (const char *)p->talk.why);
	expect_text(p->script->why, &got, line);
}

static void play_line(struct player *p, const char *line)
{
	switch (line[0]) {
	case '>':
		expect_number(p->script->why, (int64_t)p->said.len, 0);
		hear(p, line + 1);
		break;
	case '<':
		expect_said(p, line + 1);
		break;
	case 'T':
		if (!(p->orders & BACKEND_DO_TLS) || p->said.len)
			fail_msg("%s: no TLS is wanted", p->script->why);
		p->orders = 0;
		step(p, BACKEND_IN_TLS, SPAN_NONE);
		break;
	case 'E':
		step(p, BACKEND_IN_END, SPAN_NONE);
		break;
	case 'W':
		p->now = p->wake;
		step(p, BACKEND_IN_TIME, SPAN_NONE);
		break;
	case 'G':
		p->setup.hold = false;
		step(p, BACKEND_IN_GO, span_of(p->in_mem, p->in_n));
		break;
	case '+':
		expect_span(p->script->why, mailbox_peer_capability(&p->talk.peer),
			    span_str(line + 1));
		break;
	case '=':
		expect_result(p, line + 1);
		break;
	}
}

static void set_up(struct player *p)
{
	unsigned how = p->script->how;

	p->setup = (struct backend_setup){
		.pop3 = how & POP3,
		.probe = how & PROBE,
		.hold = how & HOLD,
		.tls = how & START	? BACKEND_TLS_START
		       : how & IMPLICIT ? BACKEND_TLS_IMPLICIT
					: BACKEND_TLS_NONE,
		.identity = how & ID   ? BACKEND_SAYS_ID
			    : how & V1 ? BACKEND_SAYS_PROXY_1
				       : BACKEND_SAYS_NOTHING,
		.client = { .peer = { addr_v4(192, 0, 2, 7), 4711 },
			    .local = { .addr = { { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } },
				       .port = 143 },
			    .session = SPAN("abc") },
		.greet_by = 5000,
		.reply_timeout = 30000,
	};
	if (how & MASTER) {
		p->setup.first = SPAN("alice\0m\0s3cret");
	} else if (how & TOKEN) {
		p->setup.mechanism = SASL_OAUTHBEARER;
		p->setup.first = SPAN("n,a=al,\1auth=Bearer t\1\1");
	} else if (how & ODD) {
		p->setup.user = SPAN("b\xc3\xb6"
				     "b\x01");
		p->setup.secret = SPAN("a\nb");
	} else {
		p->setup.user = SPAN("al\"ice");
		p->setup.secret = SPAN("s3 c\\ret");
	}
}

static void open_talk(struct player *p)
{
	set_up(p);
	buf_init(&p->said, p->said_mem, sizeof(p->said_mem));
	backend_init(&p->talk, &p->setup);
	step(p, BACKEND_IN_OPENED, SPAN_NONE);
}

static void play(const struct script *s, size_t piece)
{
	struct player p = { .script = s, .piece = piece };

	open_talk(&p);
	for (size_t i = 0; i < MORE_LINES && s->lines[i]; i++)
		play_line(&p, s->lines[i]);
}

static void dialogues_go_as_their_scripts_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(scripts); i++)
		for (size_t piece = 1; piece < 70; piece += 1 + piece / 4)
			play(&scripts[i], piece);
}

static void what_follows_the_login_is_left_to_the_client(void **state)
{
	static const struct script plain = { "what follows", 0, { 0 } };
	struct player p = { .script = &plain, .piece = 1000 };

	(void)state;
	open_talk(&p);
	hear(&p, "* OK [CAPABILITY A] hi");
	hear(&p, "h1 OK [CAPABILITY B] in\r\n* 3 EXISTS\r\nx");
	assert_int_equal(p.talk.got, BACKEND_GOT_YES);
	expect_span("left", span_of(p.in_mem, p.in_n), SPAN("* 3 EXISTS\r\nx\r\n"));
}

static void nothing_may_come_behind_the_answer_to_starttls(void **state)
{
	static const struct script start = { "injected", START, { 0 } };
	struct player p = { .script = &start, .piece = 1000 };

	(void)state;
	open_talk(&p);
	hear(&p, "* OK hi");
	hear(&p, "h1 OK go\r\n* CAPABILITY AUTH=PLAIN");
	assert_int_equal(p.talk.phase, BACKEND_AT_END);
	assert_int_equal(p.talk.got, BACKEND_GOT_BROKEN);
	assert_false(p.orders & BACKEND_DO_TLS);
}

static void an_answer_that_came_before_the_question_is_none(void **state)
{
	static const char *const heard[] = {
		"* OK one\r\nh1 OK yes",
		"* OK [CAPABILITY A] one\r\n* OK two\r\nh1 OK [CAPABILITY A] yes",
		"* OK [CAPABILITY A] one\r\n+ go on",
	};
	static const struct script plain = { "before the question", 0, { 0 } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(heard); i++) {
		struct player p = { .script = &plain, .piece = 1000 };

		set_up(&p);
		buf_init(&p.said, p.said_mem, sizeof(p.said_mem));
		backend_init(&p.talk, &p.setup);
		step(&p, BACKEND_IN_OPENED, SPAN_NONE);
		hear(&p, heard[i]);
		assert_int_equal(p.talk.phase, BACKEND_AT_END);
		assert_int_equal(p.talk.got, BACKEND_GOT_BROKEN);
	}
}

/* Half of it was there before, the other half comes behind. */
static void nor_is_one_that_had_begun_before_it(void **state)
{
	static const struct script plain = { "begun before", 0, { 0 } };
	struct player p = { .script = &plain, .piece = 26 };

	(void)state;
	open_talk(&p);
	hear(&p, "* OK [CAPABILITY A] hi\r\nh1 OK [CAPABILITY A] in");
	assert_int_equal(p.talk.got, BACKEND_GOT_BROKEN);
	assert_int_equal(p.talk.phase, BACKEND_AT_END);
}

static void nor_is_one_that_had_begun_while_it_was_held(void **state)
{
	static const struct script held = { "held", HOLD, { 0 } };
	struct player p = { .script = &held, .piece = 1000 };

	(void)state;
	open_talk(&p);
	hear(&p, "* OK [CAPABILITY A] hi");
	memcpy(p.in_mem, "h1 O", 4);
	p.in_n = 4;
	step(&p, BACKEND_IN_BYTES, span_of(p.in_mem, p.in_n));
	assert_int_equal(p.talk.phase, BACKEND_AT_HELD);
	play_line(&p, "G");
	expect_said(&p, "h1 LOGIN \"al\\\"ice\" \"s3 c\\\\ret\"");
	hear(&p, "K in");
	expect_result(&p, "broken an answer before the question");
}

static void a_failed_handshake_says_why(void **state)
{
	static const struct script implicit = { "no handshake", IMPLICIT, { 0 } };
	struct player p = { .script = &implicit };

	(void)state;
	open_talk(&p);
	step(&p, BACKEND_IN_NO_TLS, SPAN("certificate has expired"));
	assert_int_equal(p.talk.got, BACKEND_GOT_BROKEN);
	expect_span("why", span_of(p.talk.why, p.talk.why_n),
		    SPAN("certificate has expired"));
}

static void what_cannot_be_said_is_not_tried(void **state)
{
	struct backend_setup imap = { .user = SPAN("a"), .secret = SPAN("b\r\nc") };
	struct backend_setup nul = { .user = SPAN("a\0b"), .secret = SPAN("c") };
	struct backend_setup none = { .user = SPAN("a") };
	struct backend_setup pop3 = imap;

	(void)state;
	pop3.pop3 = true;
	assert_true(backend_credentials_ok(&imap)); /* as a literal */
	assert_false(backend_credentials_ok(&pop3));
	assert_false(backend_credentials_ok(&nul));
	assert_false(backend_credentials_ok(&none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dialogues_go_as_their_scripts_say),
		cmocka_unit_test(what_follows_the_login_is_left_to_the_client),
		cmocka_unit_test(nothing_may_come_behind_the_answer_to_starttls),
		cmocka_unit_test(an_answer_that_came_before_the_question_is_none),
		cmocka_unit_test(nor_is_one_that_had_begun_before_it),
		cmocka_unit_test(nor_is_one_that_had_begun_while_it_was_held),
		cmocka_unit_test(a_failed_handshake_says_why),
		cmocka_unit_test(what_cannot_be_said_is_not_tried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
