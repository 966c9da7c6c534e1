#include "expect.h"

#include "base/attr.h"
#include "rehearse/visit.h"

#define PATIENCE 10000
#define ROOM	 (EXPAND_MAX + 100)

/*
 * One visit that is played. What happens and what came of it are texts.
 *
 * Happenings, with | between them: "220 hi" is a line from the server (CRLF is added), "=220" bytes
 * without it, "+500" time that passes, "!word" anything else of the table below.
 *
 * Seen: ">EHLO x^" is sent (^ for CRLF); "helo:yes" was heard, with ! behind it for a breach, and
 * stands before what was sent in the same turn; "(done)"; "TLS" was ordered; "=dropped at helo" is
 * the end, with "by reset" if it is hung up so.
 */
struct play {
	struct script script;
	struct pool pool;
	struct visitor who;
	struct visit visit;
	ms_t now;
	size_t piece, room;
	uint8_t unread[100000];
	size_t unread_n;
	struct buf *seen;
	bool speaking; /* the last that was seen was sent */
	bool holds_sent;
	char breach[120];
};

static void open_dialogue(struct script *s, const char *dialogue, enum speaks speaks,
			  const struct pool *pool)
{
	static char copy[STEPS_MAX * 40];
	const char *lines[STEPS_MAX];
	size_t n = 0;
	struct err e;
	char *at = copy;

	snprintf(copy, sizeof(copy), "%s", dialogue);
	while (at) {
		lines[n++] = at;
		at = strchr(at, '|');
		if (at)
			*at++ = '\0';
	}
	if (!script_open(s, lines, n, speaks, pool, &e))
		fail_msg("%s: %s", dialogue, e.text);
}

static void note(struct play *p, bool sent, const char *fmt, ...) PRINTF(3, 4);

static void note(struct play *p, bool sent, const char *fmt, ...)
{
	char text[200];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (p->seen->len && !(sent && p->speaking))
		buf_byte(p->seen, ' ');
	if (sent && !p->speaking)
		buf_byte(p->seen, '>');
	buf_put(p->seen, span_str(text));
	p->speaking = sent;
}

static void note_sent(struct play *p, struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != '\r')
			note(p, true, "%c", text.p[i] == '\n' ? '^' : text.p[i]);
}

static void note_step(struct play *p, const struct visit_out *out)
{
	static const char *const said[END_COUNT] = {
		[END_DONE] = "yes", [END_LATER] = "later", [END_NO] = "no"
	};

	if (out->heard.is)
		note(p, false, "%s:%s%s", stage_word(out->heard.stage),
		     said[out->heard.end], out->heard.breach ? "!" : "");
	if (out->breach[0])
		memcpy(p->breach, out->breach, sizeof(p->breach));
	if (out->begins)
		note(p, false, "(begin)");
	if (out->became_done)
		note(p, false, "(done)");
	note_sent(p, buf_span(out->out));
	if (out->orders & VISIT_DO_TLS)
		note(p, false, "TLS");
	if (p->visit.over)
		note(p, false, "=%s at %s%s", end_word(p->visit.end),
		     stage_word(p->visit.stage),
		     out->orders & VISIT_DO_RESET ? " by reset" : "");
	if (p->visit.over != !!(out->orders & (VISIT_DO_CLOSE | VISIT_DO_RESET)))
		fail_msg("what is over is closed, and nothing else");
}

/* As a worker does: also all that follows at once. */
static void tell(struct play *p, enum visit_in_kind kind)
{
	for (bool more = true; more && !p->visit.over;) {
		static uint8_t mem[ROOM];
		struct visit_out out;
		struct buf text;
		uint8_t *fit = malloc(p->unread_n + 1); /* reading past it is noticed */

		buf_init(&text, mem, p->room);
		out.out = &text;
		memcpy(fit, p->unread, p->unread_n);
		visit_step(&p->visit, &p->who, kind, span_of(fit, p->unread_n), p->now,
			   &out);
		free(fit);
		if (out.used > p->unread_n || text.full)
			fail_msg("used %zu of %zu", out.used, p->unread_n);
		p->unread_n -= out.used;
		memmove(p->unread, p->unread + out.used, p->unread_n);
		note_step(p, &out);
		more = out.again || (text.len && !p->holds_sent);
		kind = text.len && !p->holds_sent ? VISIT_SENT : VISIT_BYTES;
	}
}

static void hear(struct play *p, struct span bytes)
{
	while (bytes.n && !p->visit.over) {
		struct span some = span_head(bytes, p->piece);

		assert_true(p->unread_n + some.n <= sizeof(p->unread));
		memcpy(p->unread + p->unread_n, some.p, some.n);
		p->unread_n += some.n;
		bytes = span_skip(bytes, some.n);
		tell(p, VISIT_BYTES);
	}
}

static const struct {
	const char *word;
	enum visit_in_kind kind;
} happenings[] = {
	{ "sent", VISIT_SENT }, { "tls", VISIT_TLS_DONE }, { "no-tls", VISIT_TLS_FAILED },
	{ "eof", VISIT_EOF },	{ "reset", VISIT_RESET },  { "over", VISIT_PHASE_OVER },
	{ "time", VISIT_TIME },
};

static void happen_word(struct play *p, struct span word)
{
	if (span_eq(word, SPAN("hold-sent"))) {
		p->holds_sent = true;
		return;
	}
	for (size_t i = 0; i < COUNT_OF(happenings); i++)
		if (span_eq(word, span_str(happenings[i].word))) {
			tell(p, happenings[i].kind);
			return;
		}
	fail_msg("what is !%.*s?", SPAN_ARG(word));
}

/* Lines that stand beside each other come together, as far as a piece goes. */
static void happen(struct play *p, const char *all)
{
	static uint8_t mem[100000];
	struct span left = span_str(all);
	struct buf bytes;

	buf_init(&bytes, mem, sizeof(mem));
	while (left.n) {
		struct span one = span_cut(&left, '|');
		uint8_t b = one.n ? one.p[0] : 0;

		if (b == '+' && one.n > 1 && one.p[1] >= '0' && one.p[1] <= '9') {
			p->now += strtol((const char *)one.p + 1, NULL, 10);
			tell(p, VISIT_TIME);
		} else if (b == '!') {
			happen_word(p, span_skip(one, 1));
		} else {
			buf_put(&bytes, b == '=' ? span_skip(one, 1) : one);
			if (b != '=')
				buf_put(&bytes, SPAN("\r\n"));
		}
		if (left.n && left.p[0] != '!' &&
		    !(left.p[0] == '+' && left.n > 1 && left.p[1] >= '0' &&
		      left.p[1] <= '9'))
			continue;
		hear(p, buf_span(&bytes));
		buf_reset(&bytes);
	}
}

static void begin(struct play *p, const char *dialogue, enum speaks speaks,
		  struct buf *seen)
{
	p->seen = seen;
	p->speaking = p->holds_sent = false;
	p->breach[0] = '\0';
	p->unread_n = 0;
	p->now = 1000000;
	p->piece = SIZE_MAX;
	p->room = ROOM;
	p->pool = (struct pool){ .seed = 7 };
	p->who = (struct visitor){ .visit = 12, .from = "127.0.0.9", .rng = { 5 } };
	open_dialogue(&p->script, dialogue, speaks, &p->pool);
	visit_init(&p->visit, &p->script, &p->pool, speaks, PATIENCE);
}

/* clang-format off */
static const struct row {
	const char *why;
	enum speaks speaks;
	const char *dialogue, *happens, *seen;
} rows[] = {
	/* ---- sending and expecting ---- */
	{ "a dialogue to its end",
	  SPEAKS_SMTP, "expect 220|send EHLO x|expect 250|done|send QUIT|expect 221",
	  "220 hi|250 ok|221 bye",
	  "connect:yes >EHLO x^ helo:yes (done) >QUIT^ other:yes =done at helo" },
	{ "a dialogue without `done` is done at its end",
	  SPEAKS_SMTP, "expect 220", "220 hi", "connect:yes =done at connect" },
	{ "`close` is the end",
	  SPEAKS_SMTP, "expect 220|close|send NOOP", "220 hi", "connect:yes =done at connect" },
	{ "`reset` is the end, and hangs up with RST",
	  SPEAKS_SMTP, "expect 220|reset", "220 hi", "connect:yes =done at connect by reset" },
	{ "a dialogue of `stage` alone is over at once",
	  SPEAKS_SMTP, "stage data", "", "=done at connect" },
	{ "who may talk first does",
	  SPEAKS_SMTP, "send EHLO x|expect 220", "", ">EHLO x^" },
	{ "several are sent at once, and their replies come together",
	  SPEAKS_SMTP, "expect 220|send MAIL FROM:<>|send RCPT TO:<a>|send DATA|"
	  "stage mail|expect 250|stage rcpt|expect 250|stage data|expect 354",
	  "220 hi|250 ok|250 ok|354 go",
	  "connect:yes >MAIL FROM:<>^RCPT TO:<a>^DATA^ mail:yes rcpt:yes data:yes =done at data" },
	{ "raw sends no more than it says",
	  SPEAKS_SMTP, "raw a\\r\\nb|expect 220", "", ">a^b" },
	{ "each `done` is told",
	  SPEAKS_SMTP, "done|expect 220|done", "220 hi", "(done) connect:yes (done) =done at connect" },
	{ "`begin` is told",
	  SPEAKS_SMTP, "expect 220|begin|send NOOP|expect 250|done", "220 hi|250 ok",
	  "connect:yes (begin) >NOOP^ connect:yes (done) =done at connect" },
	{ "`stage` says where it is, whatever was sent",
	  SPEAKS_SMTP, "expect 220|send DATA|stage other|expect 354", "220 hi|554 no",
	  "connect:yes >DATA^ other:no =refused at other" },

	/* ---- what is expected ---- */
	{ "5xx refuses for good",
	  SPEAKS_SMTP, "expect 220|send RCPT TO:<x>|expect 250", "220 hi|550 no",
	  "connect:yes >RCPT TO:<x>^ rcpt:no =refused at rcpt" },
	{ "4xx refuses for now",
	  SPEAKS_SMTP, "expect 220|send RCPT TO:<x>|expect 250", "220 hi|451 later",
	  "connect:yes >RCPT TO:<x>^ rcpt:later =later at rcpt" },
	{ "421 is later",
	  SPEAKS_SMTP, "expect 220", "421 busy", "connect:later =later at connect" },
	{ "a yes that was not expected is heard as a yes, and ends it as refused",
	  SPEAKS_SMTP, "expect 220|send DATA|expect 354", "220 hi|250 ok",
	  "connect:yes >DATA^ data:yes =refused at data" },
	{ "one of several is enough",
	  SPEAKS_SMTP, "expect 251 250", "250 ok", "connect:yes =done at connect" },
	{ "the beginning of a code is enough",
	  SPEAKS_SMTP, "expect 25", "259 ok", "connect:yes =done at connect" },
	{ "but it must be the beginning",
	  SPEAKS_SMTP, "expect 5", "250 ok", "connect:yes =refused at connect" },
	{ "a refusal can be what is expected",
	  SPEAKS_SMTP, "expect 55", "554 no", "connect:no =done at connect" },
	{ "421 can be expected too",
	  SPEAKS_SMTP, "expect 421", "421 busy", "connect:later =done at connect" },
	{ "after `done` a refusal does not matter",
	  SPEAKS_SMTP, "done|expect 221", "500 what", "(done) connect:no =done at connect" },

	/* ---- hear, never, none, hold ---- */
	{ "`hear` goes on whatever it hears",
	  SPEAKS_SMTP, "hear|hear|hear", "220 hi|554 no|451 later",
	  "connect:yes connect:no connect:later =done at connect" },
	{ "except 421",
	  SPEAKS_SMTP, "hear|hear", "421 busy", "connect:later =later at connect" },
	{ "`never` goes on after a refusal",
	  SPEAKS_SMTP, "never 250|close", "554 no", "connect:no =done at connect" },
	{ "`never` goes on after a breach",
	  SPEAKS_SMTP, "never 250|close", "250 ok", "connect:yes! =done at connect" },
	{ "`never` ends with 421",
	  SPEAKS_SMTP, "never 250|close", "421 busy", "connect:later =later at connect" },
	{ "`never` ends with 421 also if that is what should never be",
	  SPEAKS_SMTP, "never 4|close", "421 busy", "connect:later! =later at connect" },
	{ "other 4xx do not end it",
	  SPEAKS_SMTP, "hear|hear|close", "422 x|420 y", "connect:later connect:later =done at connect" },
	{ "silence is what `none` wants",
	  SPEAKS_SMTP, "none 500ms|close", "+499|+1", "=done at connect" },
	{ "each reply is a breach of `none`",
	  SPEAKS_SMTP, "none 500ms|close", "250 ok|554 no|+500",
	  "connect:yes! connect:no! =done at connect" },
	{ "half a reply is none yet",
	  SPEAKS_SMTP, "none 500ms|send NOOP|expect 250", "=25|+500|=0 ok\r\n",
	  ">NOOP^ connect:yes =done at connect" },
	{ "421 is a breach of `none`, and ends it",
	  SPEAKS_SMTP, "none 500ms|close", "421 busy", "connect:later! =later at connect" },
	{ "who is hung up on while it listens for nothing was dropped",
	  SPEAKS_SMTP, "none 500ms|close", "!eof", "=dropped at connect" },
	{ "`hold` waits for the phase to end",
	  SPEAKS_SMTP, "expect 220|hold", "220 hi|+3600000|!over", "connect:yes =over at connect" },
	{ "`hold` does not hear replies",
	  SPEAKS_SMTP, "hold", "220 hi|500 what|250 ok|!over", "=over at connect" },
	{ "`hold` hears 421",
	  SPEAKS_SMTP, "hold", "220 hi|421 too slow", "connect:later =later at connect" },
	{ "`hold` is dropped",
	  SPEAKS_SMTP, "hold", "220 hi|!eof", "=dropped at connect" },
	{ "`hold` does not mind what is no reply",
	  SPEAKS_SMTP, "hold", "=\x15\x03\x01 and a line that is longer than what is kept of it\n|421 x|!eof",
	  "=dropped at connect" },

	/* ---- replies of SMTP ---- */
	{ "several lines are one reply",
	  SPEAKS_SMTP, "expect 220|expect 250", "220 hi|250-a|250-b|250 c",
	  "connect:yes connect:yes =done at connect" },
	{ "a code alone is a reply",
	  SPEAKS_SMTP, "expect 220", "220", "connect:yes =done at connect" },
	{ "the last line counts",
	  SPEAKS_SMTP, "expect 220", "220-hi|521 you talk too much", "connect:no =refused at connect" },
	{ "LF alone ends a line",
	  SPEAKS_SMTP, "expect 220", "=220 hi\n", "connect:yes =done at connect" },
	{ "words are no reply",
	  SPEAKS_SMTP, "expect 220", "=h", "=fault at connect" },
	{ "words behind a code are",
	  SPEAKS_SMTP, "expect 220", "220 hello", "connect:yes =done at connect" },
	{ "HTTP is no reply",
	  SPEAKS_SMTP, "expect 220", "HTTP/1.1 400 Bad Request", "=fault at connect" },
	{ "an empty line is no reply",
	  SPEAKS_SMTP, "expect 220", "=\r\n", "=fault at connect" },
	{ "two digits are no code",
	  SPEAKS_SMTP, "expect 220", "22 hi", "=fault at connect" },
	{ "four digits are no code",
	  SPEAKS_SMTP, "expect 220", "2200 hi", "=fault at connect" },
	{ "1xx is no code",
	  SPEAKS_SMTP, "expect 220", "120 hi", "=fault at connect" },
	{ "6xx is no code",
	  SPEAKS_SMTP, "expect 220", "620 hi", "=fault at connect" },
	{ "nonsense in the middle of a reply is a fault",
	  SPEAKS_SMTP, "expect 220", "220-hi|hello", "=fault at connect" },
	{ "a CR in the wrong place is a fault",
	  SPEAKS_SMTP, "expect 220", "=220\rhi\r\n", "=fault at connect" },
	{ "after `done` a fault does not matter",
	  SPEAKS_SMTP, "done|expect 220", "hello", "(done) =done at connect" },

	/* ---- who hangs up ---- */
	{ "a connection that could not be made",
	  SPEAKS_SMTP, "expect 220", "!reset", "=dropped at connect" },
	{ "EOF instead of a reply",
	  SPEAKS_SMTP, "expect 220|send EHLO x|expect 250", "220 hi|!eof",
	  "connect:yes >EHLO x^ =dropped at helo" },
	{ "EOF in the middle of a reply",
	  SPEAKS_SMTP, "expect 220", "220-hi|!eof", "=dropped at connect" },
	{ "EOF after `done`",
	  SPEAKS_SMTP, "expect 220|done|send QUIT|expect 221", "220 hi|!eof",
	  "connect:yes (done) >QUIT^ =done at connect" },
	{ "RST after `done`",
	  SPEAKS_SMTP, "expect 220|done|hold", "220 hi|!reset", "connect:yes (done) =done at connect" },
	{ "a refusal that nobody has read yet is why it was closed",
	  SPEAKS_SMTP, "expect 220|wait 3s|send EHLO x", "220 hi|554 too many|!eof",
	  "connect:yes connect:no =refused at connect" },
	{ "so is 421, behind something friendly",
	  SPEAKS_SMTP, "expect 220|drip 3s NOOP", "220 hi|250 ok|421 too slow|!reset",
	  "connect:yes >N connect:later =later at connect" },
	{ "something friendly alone is not",
	  SPEAKS_SMTP, "expect 220|wait 3s", "220 hi|250 ok|!eof", "connect:yes =dropped at connect" },
	{ "nor is nonsense",
	  SPEAKS_SMTP, "expect 220|wait 3s", "220 hi|hello|554 no|!eof",
	  "connect:yes =dropped at connect" },
	{ "nothing happens to what is over",
	  SPEAKS_SMTP, "expect 220|close", "220 hi|250 ok|!eof|!over|+99999", "connect:yes =done at connect" },

	/* ---- time ---- */
	{ "silence after the patience of the client",
	  SPEAKS_SMTP, "expect 220", "+9999|+1", "=silent at connect" },
	{ "it is for each reply",
	  SPEAKS_SMTP, "expect 220|expect 250", "+9999|220 hi|+9999|250 ok",
	  "connect:yes connect:yes =done at connect" },
	{ "a server that talks without end is silent too",
	  SPEAKS_SMTP, "expect 220", "+5000|220-hi|+4999|220-hi|+1", "=silent at connect" },
	{ "VISIT_TIME that comes too early is nothing",
	  SPEAKS_SMTP, "expect 220", "!time|220 hi", "connect:yes =done at connect" },
	{ "the end of the phase",
	  SPEAKS_SMTP, "expect 220", "!over", "=over at connect" },
	{ "the end of the phase after `done`",
	  SPEAKS_SMTP, "done|hold", "!over", "(done) =done at connect" },
	{ "`wait` waits, and what comes meanwhile too",
	  SPEAKS_SMTP, "wait 270ms|send EHLO x|expect 220|expect 250", "+200|220 hi|250 ok|+69|+1",
	  "helo:yes >EHLO x^ helo:yes =done at helo" },
	{ "a byte at a time",
	  SPEAKS_SMTP, "drip 3s abc|send x|close", "+2999|+1|+2999|+1", ">abcx^ =done at connect" },
	{ "a byte at a time, as slowly as said",
	  SPEAKS_SMTP, "drip 3s abc|close", "+2999|+1|+2999", ">ab" },
	{ "one byte is no wait",
	  SPEAKS_SMTP, "drip 3s a|close", "", ">a =done at connect" },

	/* ---- loops ---- */
	{ "three times",
	  SPEAKS_SMTP, "repeat 3|send NOOP|expect 250|again|send QUIT|expect 221", "250 a|250 b|250 c|221 d",
	  ">NOOP^ connect:yes >NOOP^ connect:yes >NOOP^ connect:yes >QUIT^ other:yes =done at connect" },
	{ "once",
	  SPEAKS_SMTP, "repeat 1|raw a|again", "", ">a =done at connect" },
	{ "loops in loops",
	  SPEAKS_SMTP, "repeat 2|raw a|repeat 2|raw b|repeat 2|raw c|again|again|again", "",
	  ">abccbccabccbcc =done at connect" },
	{ "for ever, until it ends",
	  SPEAKS_SMTP, "repeat forever|raw a|expect 250|again", "250 a|250 b|550 c",
	  ">a connect:yes >a connect:yes >a connect:no =refused at connect" },
	{ "the stage belongs to the place",
	  SPEAKS_SMTP, "repeat 2|hear|send DATA|again", "220 a|354 b",
	  "connect:yes >DATA^ connect:yes >DATA^ =done at data" },

	/* ---- TLS ---- */
	{ "a handshake and on",
	  SPEAKS_SMTP, "expect 220|send STARTTLS|expect 220|tls|send EHLO x|expect 250",
	  "220 hi|220 go|!tls|250 ok",
	  "connect:yes >STARTTLS^ tls:yes TLS >EHLO x^ helo:yes =done at helo" },
	{ "a handshake that fails",
	  SPEAKS_SMTP, "expect 220|tls|hold", "220 hi|!no-tls", "connect:yes TLS =fault at tls" },
	{ "a handshake of a service with TLS from the start that fails",
	  SPEAKS_SMTP, "expect 220", "!no-tls", "=fault at connect" },
	{ "a handshake that takes too long",
	  SPEAKS_SMTP, "expect 220|tls|hold", "220 hi|+9999|+1", "connect:yes TLS =silent at tls" },
	{ "a server that hangs up in the handshake",
	  SPEAKS_SMTP, "expect 220|tls|hold", "220 hi|!eof", "connect:yes TLS =dropped at tls" },
	{ "VISIT_TLS_DONE without a handshake is nothing",
	  SPEAKS_SMTP, "expect 220", "!tls|220 hi", "connect:yes =done at connect" },

	/* ---- one write in flight ---- */
	{ "nothing more is sent until what was sent has gone",
	  SPEAKS_SMTP, "send a|expect 250|send b|expect 250", "!sent", ">a^" },
	{ "replies are heard meanwhile",
	  SPEAKS_SMTP, "hear|send a|hear|send b|close", "!hold-sent|220 x|250 y|!sent",
	  "connect:yes >a^ connect:yes >b^ =done at connect" },
	{ "but it does not wait for ever",
	  SPEAKS_SMTP, "hear|send a|hear|send b|close", "!hold-sent|220 x|250 y|+9999|+1",
	  "connect:yes >a^ connect:yes =silent at connect" },
	{ "a handshake does not wait: the worker writes first",
	  SPEAKS_SMTP, "hear|raw a|tls", "!hold-sent|220 x", "connect:yes >a TLS" },

	/* ---- IMAP ---- */
	{ "a greeting and a reply",
	  SPEAKS_IMAP, "expect OK|send a1 LOGIN u p|expect OK", "* OK hi|a1 OK in",
	  "connect:yes >a1 LOGIN u p^ auth:yes =done at auth" },
	{ "a greeting can know us already",
	  SPEAKS_IMAP, "expect PREAUTH", "* PREAUTH hi", "connect:yes =done at connect" },
	{ "a greeting can send us away",
	  SPEAKS_IMAP, "expect OK", "* BYE full", "connect:later =later at connect" },
	{ "letters are large or small",
	  SPEAKS_IMAP, "expect OK|expect NO", "* ok hi|a1 no", "connect:yes connect:no =done at connect" },
	{ "untagged lines are skipped",
	  SPEAKS_IMAP, "expect OK|expect OK",
	  "* OK hi|* CAPABILITY IMAP4rev1|* 3 EXISTS|* NO beware|* OK {3}|a1 OK done",
	  "connect:yes connect:yes =done at connect" },
	{ "NO and BAD refuse",
	  SPEAKS_IMAP, "expect OK|hear|expect OK", "* OK hi|a1 NO wrong|a2 BAD what",
	  "connect:yes connect:no connect:no =refused at connect" },
	{ "NO with some codes is for now",
	  SPEAKS_IMAP, "expect OK|hear|hear|hear|hear|hear",
	  "* OK hi|a NO [UNAVAILABLE] x|a NO [INUSE] x|a NO [LIMIT] x|a NO [AUTHENTICATIONFAILED]|a BAD [LIMIT]",
	  "connect:yes connect:later connect:later connect:later connect:no connect:no =done at connect" },
	{ "BYE ends it at any time",
	  SPEAKS_IMAP, "expect OK|send a1 NOOP|expect OK", "* OK hi|* BYE shutting down",
	  "connect:yes >a1 NOOP^ connect:later =later at connect" },
	{ "BYE ends who holds",
	  SPEAKS_IMAP, "expect OK|hold", "* OK hi|* 1 EXISTS|* BYE too slow",
	  "connect:yes connect:later =later at connect" },
	{ "BYE is polite after LOGOUT",
	  SPEAKS_IMAP, "expect OK|send a1 LOGOUT|expect OK", "* OK hi|* BYE bye|a1 OK done",
	  "connect:yes >a1 LOGOUT^ other:yes =done at connect" },
	{ "but not after something else",
	  SPEAKS_IMAP, "expect OK|send a1 LOGOUT|hear|send a2 NOOP|hear", "* OK hi|a1 NO stay|* BYE bye",
	  "connect:yes >a1 LOGOUT^ other:no >a2 NOOP^ connect:later =later at connect" },
	{ "a tag that looks like a star is a tag",
	  SPEAKS_IMAP, "expect OK|expect OK", "* OK hi|*1 OK done", "connect:yes connect:yes =done at connect" },
	{ "go on",
	  SPEAKS_IMAP, "expect OK|expect +|expect +", "* OK hi|+ more|+",
	  "connect:yes connect:yes connect:yes =done at connect" },
	{ "a literal is not a line",
	  SPEAKS_IMAP, "expect OK|expect OK",
	  "* OK hi|* 1 FETCH (BODY[] {13}|=a1 NO wrong\r\n)\r\n|a1 OK done",
	  "connect:yes connect:yes =done at connect" },
	{ "two literals in a line, one of them empty, and no CR",
	  SPEAKS_IMAP, "expect OK|expect OK",
	  "* OK hi|=* 1 FETCH (A {0}\n B {5}\n* BYE C {3}\n\r\n\r)\n|a1 OK done",
	  "connect:yes connect:yes =done at connect" },
	{ "braces elsewhere are no literal",
	  SPEAKS_IMAP, "expect OK|expect OK",
	  "* OK hi|* 1 FETCH {5} x|* 2 FETCH {a}|* 3 FETCH {}|* 4 FETCH {5|* 5 FETCH \"{5}\"|a1 OK done",
	  "connect:yes connect:yes =done at connect" },
	{ "a literal may have any bytes, and more than a line is kept of",
	  SPEAKS_IMAP, "expect OK|expect OK",
	  "* OK hi|* 1 FETCH (ENVELOPE (many many many many many many) BODY[] {{6}|=\xff\n*\n\r\n)\r\n|a1 OK x",
	  "connect:yes connect:yes =done at connect" },
	{ "no greeting is a fault",
	  SPEAKS_IMAP, "expect OK", "a1 OK hi", "=fault at connect" },
	{ "nor is this a greeting",
	  SPEAKS_IMAP, "expect OK", "* 3 EXISTS", "=fault at connect" },
	{ "words are no reply of IMAP",
	  SPEAKS_IMAP, "expect OK|expect OK", "* OK hi|hello", "connect:yes =fault at connect" },
	{ "nor are two",
	  SPEAKS_IMAP, "expect OK|expect OK", "* OK hi|HTTP/1.1 200 OK", "connect:yes =fault at connect" },
	{ "a line that begins with a space is none",
	  SPEAKS_IMAP, "expect OK|expect OK", "* OK hi|= OK", "connect:yes =fault at connect" },
	{ "a tag has an end",
	  SPEAKS_IMAP, "expect OK|expect OK", "* OK hi|=0123456789012345678901234567890123456789",
	  "connect:yes =fault at connect" },

	/* ---- POP3 ---- */
	{ "a login",
	  SPEAKS_POP3, "expect +OK|send USER u|expect +OK|send PASS p|expect +OK", "+OK hi|+OK|-ERR no",
	  "connect:yes >USER u^ auth:yes >PASS p^ auth:no =refused at auth" },
	{ "-ERR with some codes is for now",
	  SPEAKS_POP3, "hear|hear|hear|hear|hear",
	  "-ERR [SYS/TEMP] x|-ERR [in-use] x|-err [LOGIN-DELAY]|-ERR [AUTH] x|-ERR x [IN-USE]",
	  "connect:later connect:later connect:later connect:no connect:no =done at connect" },
	{ "go on, in POP3",
	  SPEAKS_POP3, "expect +|expect +|expect +", "+ x|+ |+", "connect:yes connect:yes connect:yes =done at connect" },
	{ "+OK is not +",
	  SPEAKS_POP3, "expect +", "+OK hi", "connect:yes =refused at connect" },
	{ "a text behind +OK",
	  SPEAKS_POP3, "expect-text +OK|expect +OK", "+OK 2 messages|1 120|..|.x|-ERR|.|+OK bye",
	  "connect:yes connect:yes =done at connect" },
	{ "an empty text behind +OK",
	  SPEAKS_POP3, "expect-text +OK|expect +OK", "+OK none|.|+OK bye",
	  "connect:yes connect:yes =done at connect" },
	{ "a text has lines without CR, empty ones, and any bytes",
	  SPEAKS_POP3, "expect-text +OK|expect +OK", "=+OK\n\n\xff\r\r\n \n.\n|+OK bye",
	  "connect:yes connect:yes =done at connect" },
	{ "no text behind -ERR",
	  SPEAKS_POP3, "expect-text -ERR|expect +OK", "-ERR no|+OK bye",
	  "connect:no connect:yes =done at connect" },
	{ "no text unless it is asked for",
	  SPEAKS_POP3, "expect +OK|expect +OK", "+OK 2 messages|1 120", "connect:yes =fault at connect" },
	{ "words are no reply of POP3",
	  SPEAKS_POP3, "expect +OK", "=O", "=fault at connect" },
	{ "nor is half of one",
	  SPEAKS_POP3, "expect +OK", "-ER", "=fault at connect" },
};
/* clang-format on */

static void run_row(struct play *p, const struct row *r, size_t piece, struct buf *seen)
{
	begin(p, r->dialogue, r->speaks, seen);
	p->piece = piece;
	/* what could not even begin has these two reasons */
	if (strcmp(r->happens, "!reset") != 0 && strcmp(r->happens, "!no-tls") != 0)
		tell(p, VISIT_CONNECTED);
	happen(p, r->happens);
	script_close(&p->script);
}

static void what_happens_leads_to_what_is_seen(void **state)
{
	static struct play p;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		BUF(seen, 4000);

		run_row(&p, &rows[i], SIZE_MAX, &seen);
		expect_text(rows[i].why, &seen, rows[i].seen);
	}
}

static void it_does_not_matter_how_bytes_are_chopped(void **state)
{
	static struct play p;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		for (size_t piece = 1; piece < 24; piece++) {
			BUF(seen, 4000);

			run_row(&p, &rows[i], piece, &seen);
			expect_text(rows[i].why, &seen, rows[i].seen);
		}
}

/* ---- what is no row ---- */

static void a_nul_is_a_fault_at_once(void **state)
{
	static const enum speaks all[] = { SPEAKS_SMTP, SPEAKS_IMAP, SPEAKS_POP3 };
	static struct play p;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(all); i++)
		for (size_t at = 0; at < 5; at++) {
			static const char *const starts[] = { "220 hi", "* OK hi",
							      "+OK hi" };
			char bytes[100] = "";
			BUF(seen, 100);

			memcpy(bytes, starts[i], at);
			begin(&p, "hear", all[i], &seen);
			tell(&p, VISIT_CONNECTED);
			hear(&p, span_of(bytes, 60));
			expect_text(starts[i], &seen, "=fault at connect");
			script_close(&p.script);
		}
}

static void a_nul_in_a_text_of_pop3_is_not(void **state)
{
	static struct play p;
	BUF(seen, 100);

	(void)state;
	begin(&p, "expect-text +OK", SPEAKS_POP3, &seen);
	tell(&p, VISIT_CONNECTED);
	hear(&p, SPAN("+OK\r\na\0b\r\n.\r\n"));
	expect_text("", &seen, "connect:yes =done at connect");
	script_close(&p.script);
}

static void a_line_may_be_long(void **state)
{
	static uint8_t line[60000];
	static struct play p;
	BUF(seen, 100);

	(void)state;
	for (size_t piece = 1; piece < 3000; piece = piece * 3 + 1) {
		memset(line, 'x', sizeof(line));
		memcpy(line, "250 ", 4);
		buf_reset(&seen);
		begin(&p, "hear|hear", SPEAKS_SMTP, &seen);
		p.piece = piece;
		tell(&p, VISIT_CONNECTED);
		hear(&p, span_of(line, sizeof(line)));
		expect_number("nothing of it is kept by the worker", (int64_t)p.unread_n,
			      0);
		hear(&p, SPAN("\r\n554 no\r\n"));
		expect_text("", &seen, "connect:yes connect:no =done at connect");
		script_close(&p.script);
	}
}

static void a_literal_may_be_longer_than_there_are_bytes(void **state)
{
	static uint8_t text[50000];
	static struct play p;
	BUF(seen, 100);

	(void)state;
	memset(text, '\n', sizeof(text));
	begin(&p, "expect OK|expect OK", SPEAKS_IMAP, &seen);
	tell(&p, VISIT_CONNECTED);
	happen(&p, "* OK hi|* 1 FETCH {99999999999999999999}");
	hear(&p, span_of(text, sizeof(text)));
	hear(&p, SPAN("a1 OK done\r\n"));
	expect_text("", &seen, "connect:yes");
	happen(&p, "+10000");
	expect_text("", &seen, "connect:yes =silent at connect");
	script_close(&p.script);
}

static void a_refusal_before_tls_is_not_taken_for_one_behind_it(void **state)
{
	static struct play p;
	BUF(seen, 100);

	(void)state;
	begin(&p, "expect 220|tls|expect 250", SPEAKS_SMTP, &seen);
	tell(&p, VISIT_CONNECTED);
	happen(&p, "220 go|250 injected");
	expect_text("", &seen, "connect:yes =fault at tls");
	script_close(&p.script);

	buf_reset(&seen);
	begin(&p, "none 1s|tls|expect 250", SPEAKS_SMTP, &seen);
	tell(&p, VISIT_CONNECTED);
	happen(&p, "=2|+1000");
	expect_text("half of one", &seen, "=fault at tls");
	script_close(&p.script);
}

static void bytes_behind_the_last_reply_come_with_the_end(void **state)
{
	static struct play p;
	BUF(seen, 200);

	(void)state;
	begin(&p, "expect 220|send a|expect 250|send b|expect 250", SPEAKS_SMTP, &seen);
	tell(&p, VISIT_CONNECTED);
	memcpy(p.unread, "220 x\r\n250 y\r\n551 z\r\n", 21);
	p.unread_n = 21;
	tell(&p, VISIT_EOF);
	expect_text("", &seen,
		    "connect:yes >a^ connect:yes >b^ connect:no =refused at connect");
	script_close(&p.script);

	buf_reset(&seen);
	begin(&p, "expect 220|send a|expect 250|send b|expect 250", SPEAKS_SMTP, &seen);
	tell(&p, VISIT_CONNECTED);
	memcpy(p.unread, "220 x\r\n250 y\r\n551 z\r\n", 14);
	p.unread_n = 14;
	tell(&p, VISIT_EOF);
	expect_text("", &seen, "connect:yes >a^ connect:yes >b^ =dropped at connect");
	script_close(&p.script);
}

static void who_does_not_get_through_in_time_is_silent(void **state)
{
	static struct play p;
	BUF(seen, 100);

	(void)state;
	begin(&p, "expect 220", SPEAKS_SMTP, &seen);
	tell(&p, VISIT_TIME);
	expect_text("", &seen, "=silent at connect");
	script_close(&p.script);

	buf_reset(&seen);
	begin(&p, "expect 220", SPEAKS_SMTP, &seen);
	tell(&p, VISIT_PHASE_OVER);
	expect_text("", &seen, "=over at connect");
	script_close(&p.script);
}

/* clang-format off */
static const struct {
	const char *why, *dialogue, *happens, *breach;
} breaches[] = {
	{ "never", "expect 220|send RCPT TO:<x>|never 250 251", "220 hi|250 2.1.5 Ok",
	  "rcpt: never 250 251, but: 250 2.1.5 Ok" },
	{ "none", "stage data|none 500ms", "221 bye", "data: none 500ms, but: 221 bye" },
	{ "it is printable", "never 2", "=250 a\x1b[2J\tb\xc3\xa9\r\n", "connect: never 2, but: 250 a?[2J?b??" },
	{ "it is cut", "never 2", "250 0123456789012345678901234567890123456789",
	  "connect: never 2, but: 250 01234567890123456789012345678901234" },
	{ "of many lines it is the last", "never 2", "250-a|250 b", "connect: never 2, but: 250 b" },
	{ "what is expected is cut too", "never 200 201 202 203 204 205 206 207|close",
	  "207 01234567890123456789012345678901234567",
	  "connect: never 200 201 202 203 204 205 206 207, but: 207 01234567890123456789012345678901234" },
	{ "there is none", "never 250", "550 no", "" },
};
/* clang-format on */

static void a_breach_is_told_in_words(void **state)
{
	static struct play p;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(breaches); i++)
		for (size_t piece = 1; piece < 60; piece++) {
			BUF(seen, 1000);

			begin(&p, breaches[i].dialogue, SPEAKS_SMTP, &seen);
			p.piece = piece;
			tell(&p, VISIT_CONNECTED);
			happen(&p, breaches[i].happens);
			expect_span(breaches[i].why, span_str(p.breach),
				    span_str(breaches[i].breach));
			script_close(&p.script);
		}
}

static void it_listens_when_it_hears(void **state)
{
	static struct play p;
	BUF(seen, 100);

	(void)state;
	begin(&p, "expect 220|wait 1s|hold", SPEAKS_SMTP, &seen);
	expect_false("before it is connected", visit_listens(&p.visit));
	tell(&p, VISIT_CONNECTED);
	expect_true("when it expects something", visit_listens(&p.visit));
	happen(&p, "220 hi");
	expect_false("when it waits", visit_listens(&p.visit));
	happen(&p, "+1000");
	expect_true("when it holds", visit_listens(&p.visit));
	happen(&p, "!over");
	expect_false("when it is over", visit_listens(&p.visit));
	script_close(&p.script);
}

static void it_says_when_it_wants_to_be_woken(void **state)
{
	static struct play p;
	BUF(seen, 100);

	(void)state;
	begin(&p, "expect 220|wait 1s|drip 3s ab|none 7s|hold", SPEAKS_SMTP, &seen);
	expect_true("never before it is connected", p.visit.deadline == MS_NEVER);
	tell(&p, VISIT_CONNECTED);
	expect_number("for a reply", p.visit.deadline - p.now, PATIENCE);
	happen(&p, "220 hi");
	expect_number("in wait", p.visit.deadline - p.now, 1000);
	happen(&p, "+1000");
	expect_number("in drip", p.visit.deadline - p.now, 3000);
	happen(&p, "+3000");
	expect_number("in none", p.visit.deadline - p.now, 7000);
	happen(&p, "+7000");
	expect_true("never in hold", p.visit.deadline == MS_NEVER);
	happen(&p, "!over");
	expect_true("never when it is over", p.visit.deadline == MS_NEVER);
	script_close(&p.script);

	begin(&p, "expect 220", SPEAKS_SMTP, &seen);
	visit_init(&p.visit, &p.script, &p.pool, SPEAKS_SMTP, MS_NEVER);
	tell(&p, VISIT_CONNECTED);
	expect_true("never, with patience without end", p.visit.deadline == MS_NEVER);
	script_close(&p.script);
}

/* ---- long texts ---- */

/* All that a dialogue sends with so much room, as it is. */
static void sent_by(const char *dialogue, size_t room, struct buf *all)
{
	static struct pool pool = { .seed = 7 };
	static uint8_t mem[70000];
	struct visitor who = { .visit = 12, .rng = { 5 } };
	struct visit_out out;
	struct script s;
	struct visit v;
	struct buf text;
	enum visit_in_kind kind = VISIT_CONNECTED;

	open_dialogue(&s, dialogue, SPEAKS_SMTP, &pool);
	visit_init(&v, &s, &pool, SPEAKS_SMTP, PATIENCE);
	for (unsigned turn = 0; !v.over; turn++) {
		buf_init(&text, mem, room);
		out.out = &text;
		visit_step(&v, &who, kind, SPAN_NONE, 0, &out);
		expect_false("a piece fits", text.full);
		expect_true("there is progress", text.len > 0 || v.over);
		expect_true("it waits for VISIT_SENT", v.over || v.sending);
		buf_put(all, buf_span(&text));
		kind = VISIT_SENT;
	}
	expect_number("done", v.end, END_DONE);
	script_close(&s);
}

/* As strict as servers are: a header, lines that end with CRLF, and no dot before the last line. */
static void expect_message(const char *why, struct span all, size_t size)
{
	struct span left;
	size_t body = 0;

	expect_number(why, (int64_t)all.n, (int64_t)size + 3);
	expect_span(why, span_tail(all, 5), SPAN("\r\n.\r\n"));
	left = span_head(all, size);
	expect_true("a header", span_starts(left, SPAN("From: ")));
	while (left.n) {
		size_t n = span_find(left, '\n');

		expect_true("CRLF", n > 0 && n < left.n && left.p[n - 1] == '\r');
		expect_true("no other CR", span_find(left, '\r') == n - 1);
		expect_true("a line that is not long", n < 100);
		expect_true("no dot at its start", left.p[0] != '.');
		body += body > 0 || n == 1;
		left = span_skip(left, n + 1);
	}
	expect_true("a body", body > 1);
}

static void a_body_has_exactly_its_size(void **state)
{
	static uint8_t mem[70000];
	struct buf all;

	(void)state;
	for (unsigned size = 512; size < 1800; size++) {
		char dialogue[40];

		snprintf(dialogue, sizeof(dialogue), "body %u", size);
		buf_init(&all, mem, sizeof(mem));
		sent_by(dialogue, EXPAND_MAX, &all);
		expect_message(dialogue, buf_span(&all), size);
	}
}

static void a_body_is_the_same_in_any_pieces(void **state)
{
	static uint8_t mem[2][70000];
	struct buf whole, pieces;

	(void)state;
	buf_init(&whole, mem[0], sizeof(mem[0]));
	sent_by("body 64k", 70000, &whole);
	expect_message("whole", buf_span(&whole), 65536);
	for (size_t room = EXPAND_MAX; room < EXPAND_MAX + 130; room++) {
		buf_init(&pieces, mem[1], sizeof(mem[1]));
		sent_by("body 64k", room, &pieces);
		expect_true("the same", span_eq(buf_span(&whole), buf_span(&pieces)));
	}
}

static void two_bodies_have_different_names(void **state)
{
	static uint8_t mem[10000];
	struct span all, first;
	struct buf out;
	size_t at;

	(void)state;
	buf_init(&out, mem, sizeof(mem));
	sent_by("body 1k|body 1k", EXPAND_MAX, &out);
	all = buf_span(&out);
	expect_number("two", (int64_t)all.n, 2 * 1027);
	at = (size_t)((uint8_t *)memmem(all.p, all.n, "Message-ID: ", 12) - all.p);
	first = span_of(all.p + at, 28);
	expect_false("another Message-ID",
		     memmem(all.p + at + 28, all.n - at - 28, first.p, first.n) != NULL);
}

/* clang-format off */
static const struct {
	const char *why, *dialogue, *text;
	size_t n; /* texts */
} fills[] = {
	{ "one byte",                 "fill 1k x",            "x",     1024 },
	{ "a text that fits",         "fill 1k ab",           "ab",    512 },
	{ "a text that does not fit", "fill 1k abc",          "abc",   342 },
	{ "a text longer than it",    "fill 2 abc",           "abc",   1 },
	{ "many pieces",              "fill 50000 abcdefg",   "abcdefg", 7143 },
	{ "a line",                   "fill 20k RSET\\r\\n",  "RSET\r\n", 3414 },
};
/* clang-format on */

static void a_fill_is_whole_texts_until_there_is_enough(void **state)
{
	static uint8_t mem[70000];
	struct buf all;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(fills); i++)
		for (size_t room = EXPAND_MAX; room < EXPAND_MAX + 3; room++) {
			struct span left, text = span_str(fills[i].text);
			size_t n = 0;

			buf_init(&all, mem, sizeof(mem));
			sent_by(fills[i].dialogue, room, &all);
			for (left = buf_span(&all); left.n;
			     left = span_skip(left, text.n), n++)
				expect_span(fills[i].why, span_head(left, text.n), text);
			expect_number(fills[i].why, (int64_t)n, (int64_t)fills[i].n);
		}
}

static void a_fill_draws_each_text_anew(void **state)
{
	static uint8_t mem[70000];
	struct buf all;
	size_t same = 0;

	(void)state;
	buf_init(&all, mem, sizeof(mem));
	sent_by("fill 30000 {random 10}", EXPAND_MAX, &all);
	expect_number("enough", (int64_t)all.len, 30000);
	for (size_t i = 10; i < all.len; i += 10)
		same += memcmp(mem, mem + i, 10) == 0;
	expect_number("others", (int64_t)same, 0);
}

static void a_drip_sends_what_raw_would(void **state)
{
	static struct play p;
	BUF(raw, 300);
	BUF(dripped, 300);

	(void)state;
	begin(&p, "raw {random 9}-{n}-{digits 3}\\r\\n{random 3}|raw {random 5}|close",
	      SPEAKS_SMTP, &raw);
	tell(&p, VISIT_CONNECTED);
	script_close(&p.script);
	begin(&p, "drip 1s {random 9}-{n}-{digits 3}\\r\\n{random 3}|raw {random 5}|close",
	      SPEAKS_SMTP, &dripped);
	tell(&p, VISIT_CONNECTED);
	for (unsigned i = 0; i < 20; i++)
		happen(&p, "+1000");
	expect_true("it is over", p.visit.over);
	expect_span("the same", buf_span(&dripped), buf_span(&raw));
	script_close(&p.script);
}

static void a_long_pipeline_is_sent_in_pieces(void **state)
{
	static uint8_t mem[70000];
	struct buf all;

	(void)state;
	buf_init(&all, mem, sizeof(mem));
	sent_by("repeat 9000|send NOOP|again", EXPAND_MAX, &all);
	expect_number("all of it", (int64_t)all.len, 9000 * 6);
}

static void a_sender_that_gets_stuck_is_silent(void **state)
{
	static struct play p;
	BUF(seen, 20000);

	(void)state;
	begin(&p, "fill 1m x", SPEAKS_SMTP, &seen);
	p.room = EXPAND_MAX;
	p.holds_sent = true;
	tell(&p, VISIT_CONNECTED);
	expect_number("so much at once", (int64_t)seen.len, EXPAND_MAX + 1);
	happen(&p, "+9000|!sent");
	expect_number("so much more", (int64_t)seen.len, 2 * EXPAND_MAX + 1);
	happen(&p, "+9999");
	expect_false("there was progress since", p.visit.over);
	happen(&p, "+1");
	expect_true("and now there is none", p.visit.over && p.visit.end == END_SILENT);
	script_close(&p.script);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_happens_leads_to_what_is_seen),
		cmocka_unit_test(it_does_not_matter_how_bytes_are_chopped),
		cmocka_unit_test(a_nul_is_a_fault_at_once),
		cmocka_unit_test(a_nul_in_a_text_of_pop3_is_not),
		cmocka_unit_test(a_line_may_be_long),
		cmocka_unit_test(a_literal_may_be_longer_than_there_are_bytes),
		cmocka_unit_test(a_refusal_before_tls_is_not_taken_for_one_behind_it),
		cmocka_unit_test(bytes_behind_the_last_reply_come_with_the_end),
		cmocka_unit_test(who_does_not_get_through_in_time_is_silent),
		cmocka_unit_test(a_breach_is_told_in_words),
		cmocka_unit_test(it_listens_when_it_hears),
		cmocka_unit_test(it_says_when_it_wants_to_be_woken),
		cmocka_unit_test(a_body_has_exactly_its_size),
		cmocka_unit_test(a_body_is_the_same_in_any_pieces),
		cmocka_unit_test(two_bodies_have_different_names),
		cmocka_unit_test(a_fill_is_whole_texts_until_there_is_enough),
		cmocka_unit_test(a_fill_draws_each_text_anew),
		cmocka_unit_test(a_drip_sends_what_raw_would),
		cmocka_unit_test(a_long_pipeline_is_sent_in_pieces),
		cmocka_unit_test(a_sender_that_gets_stuck_is_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
