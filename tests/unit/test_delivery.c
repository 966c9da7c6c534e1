#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/number.h"
#include "session/delivery.h"
#include "spec/messages.h"

/*
 * Each row is a whole conversation: "> x" is what we must say, "< x" what the host says,
 * and the rest is what happens: "hangup", "broken", "wait 300" (seconds; must be the time
 * that was asked for), "ready 5" (so soon it has to be ready for MAIL), "closed" (we must
 * have closed), "kept" (we must not), "tls" (it must have been asked for), "no tls". "| x"
 * is an answer at the end, "elsewhere" says that another host may be asked.
 */
#define CHUNKED	     (1u << 17) /* what the host of REUSED can do, too */
#define NO_CHUNKING  (1u << 18)
#define ODD	     (1u << 19) /* the body cannot go by DATA as it is */
#define LATIN	     (1u << 20) /* the body holds a byte above 127 */
#define LATIN_HEADER (1u << 21)
#define PREFIX	     (1u << 22) /* a field goes before the message */
#define TLS_MAY	     (1u << 23)
#define TLS_MUST     (1u << 24)
#define LOGIN	     (1u << 25)
#define SECURE	     (1u << 26) /* the host is this machine */
#define KEEP	     (1u << 27)
#define MX	     (1u << 28) /* it must not be us */
#define REUSED	     (1u << 29)
#define LMTP	     (1u << 30)
#define PROBE	     (1u << 31)
#define OURS	     (~((1u << 17) - 1))

struct talk {
	uint32_t how; /* MAIL_ bits and those above */
	const char *why;
	const char *rcpts; /* separated by spaces */
	const char *lines;
};

struct stage {
	struct delivery d;
	struct delivery_setup setup;
	uint8_t out_mem[OUT_MAX], rcpt_mem[4096];
	uint8_t answers[LIST_FRAME_MAX], list_mem[LIST_FRAME_MAX];
	struct buf peer, rcpts;
	struct delivery_out out;
	struct span body, body_left;
	struct span answers_left;
	unsigned told;
	bool elsewhere; /* is expected */
	ms_t now;
};

static void step(struct stage *s, enum delivery_in_kind kind, struct span bytes)
{
	struct delivery_in in = { .kind = kind, .bytes = bytes };

	s->out.peer = &s->peer;
	delivery_step(&s->d, &in, s->now, &s->out);
	if (kind == DELIVERY_BYTES)
		assert_int_equal(s->out.used, bytes.n);
	if (kind == DELIVERY_BODY)
		s->body_left = span_skip(s->body_left, s->out.used);
	if (s->out.orders & DELIVERY_DO_REWIND)
		s->body_left = s->body;
	if (s->out.orders & DELIVERY_DO_RESULT)
		s->told++;
}

static bool kept(const struct stage *s)
{
	return s->out.orders & DELIVERY_DO_KEEP;
}

static bool closed(const struct stage *s)
{
	return kept(s) || s->out.orders & (DELIVERY_DO_CLOSE | DELIVERY_DO_ABORT);
}

/* The next line that we say; asks for more if it is not there yet. */
static struct span next_said(struct stage *s, uint8_t *mem, size_t cap)
{
	struct span all, line;

	while (s->peer.len == 0) {
		if (s->out.orders & DELIVERY_DO_BODY)
			step(s, DELIVERY_BODY, s->body_left);
		else if (s->out.orders & DELIVERY_DO_SENT)
			step(s, DELIVERY_SENT, SPAN_NONE);
		else
			return SPAN("(silence)");
	}
	all = buf_span(&s->peer);
	line = span_head(all, span_find(all, '\n'));
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	assert_true(line.n < cap);
	memcpy(mem, line.p, line.n);
	buf_drop(&s->peer, span_find(all, '\n') + 1);
	return span_of(mem, line.n);
}

static void hears(struct stage *s, struct span text)
{
	uint8_t mem[3000];
	struct buf line;

	buf_init(&line, mem, sizeof(mem));
	/* several replies in one piece: "250 a\250 b" */
	while (text.n) {
		buf_put(&line, span_cut(&text, '\\'));
		buf_put(&line, SPAN("\r\n"));
	}
	step(s, DELIVERY_BYTES, buf_span(&line));
}

static void perform(struct stage *s, const struct talk *t, struct span line)
{
	uint8_t mem[600];
	struct span rest = span_skip(line, 2), got, answer;

	if (line.p[0] == '>') {
		got = next_said(s, mem, sizeof(mem));
		if (!span_eq(got, rest))
			fail_msg("%s: \"%.*s\", not \"%.*s\"", t->why, SPAN_ARG(got),
				 SPAN_ARG(rest));
	} else if (line.p[0] == '<') {
		hears(s, rest);
	} else if (line.p[0] == '|') {
		if (!list_next(&s->answers_left, &answer) || !span_eq(answer, rest))
			fail_msg("%s: answered \"%.*s\", not \"%.*s\"", t->why,
				 SPAN_ARG(answer), SPAN_ARG(rest));
	} else if (span_eq(line, SPAN("hangup"))) {
		step(s, DELIVERY_EOF, SPAN_NONE);
	} else if (span_eq(line, SPAN("broken"))) {
		step(s, DELIVERY_BROKEN, SPAN_NONE);
	} else if (span_eq(line, SPAN("tls")) || span_eq(line, SPAN("no tls"))) {
		if (s->peer.len || !(s->out.orders & DELIVERY_DO_TLS))
			fail_msg("%s: no TLS wanted", t->why);
		if (line.n == 3)
			step(s, DELIVERY_TLS, SPAN_NONE);
		else
			step(s, DELIVERY_NO_TLS, SPAN("why"));
	} else if (span_eq(line, SPAN("elsewhere"))) {
		s->elsewhere = true;
	} else if (span_eq(line, SPAN("unreadable"))) {
		step(s, DELIVERY_NO_BODY, SPAN_NONE);
	} else if (span_eq(line, SPAN("silent"))) {
		assert_int_equal(s->peer.len, 0);
	} else if (span_starts(line, SPAN("wait "))) {
		uint64_t seconds = 0;
		ms_t wake;

		assert_true(number_parse(span_skip(line, 5), 100000, &seconds));
		wake = s->now + (ms_t)seconds * MS_SECOND;
		if (s->out.wake != wake)
			fail_msg("%s: wakes in %ld", t->why, (long)(s->out.wake - s->now));
		s->now = wake;
		step(s, DELIVERY_TIME, SPAN_NONE);
	} else if (span_starts(line, SPAN("ready "))) {
		uint64_t seconds = 0;

		assert_true(number_parse(span_skip(line, 6), 100000, &seconds));
		s->setup.ready_by = s->now + (ms_t)seconds * MS_SECOND;
	} else if (span_eq(line, SPAN("late"))) {
		s->now += MS_DAY;
		step(s, DELIVERY_TIME, SPAN_NONE);
	} else if (span_eq(line, SPAN("closed")) || span_eq(line, SPAN("kept"))) {
		struct buf out;

		if (!closed(s) || kept(s) != (line.p[0] == 'k'))
			fail_msg("%s: is not %.*s", t->why, SPAN_ARG(line));
		buf_init(&out, s->list_mem, sizeof(s->list_mem));
		answers_print(&s->d.answers, &out);
		s->answers_left = buf_span(&out);
	} else {
		fail_msg("%s: what is \"%.*s\"?", t->why, SPAN_ARG(line));
	}
}

static struct span body_of(uint32_t how)
{
	if (how & ODD)
		return SPAN("Subject: x\r\n\r\na\n.\n");
	if (how & LATIN)
		return SPAN("Subject: x\r\n\r\n.d\xf6t\r\n");
	return how & LATIN_HEADER ? SPAN("Subject: \xc3\xb6\r\n\r\n.dot\r\n")
				  : SPAN("Subject: x\r\n\r\n.dot\r\n");
}

static void play(const struct talk *t)
{
	const unsigned chunked = t->how & CHUNKED ? SMTP_CAN_CHUNKING : 0;
	const struct smtp_peer host = { .can = SMTP_CAN_PIPELINING | chunked };
	struct stage *s = calloc(1, sizeof(*s));
	struct span script = span_str(t->lines), names = span_str(t->rcpts);

	assert_non_null(s);
	s->now = 1000000;
	buf_init(&s->peer, s->out_mem, sizeof(s->out_mem));
	buf_init(&s->rcpts, s->rcpt_mem, sizeof(s->rcpt_mem));
	while (names.n)
		list_put(&s->rcpts, span_cut(&names, ' '));
	s->body = s->body_left = body_of(t->how);
	s->setup = (struct delivery_setup){ .lmtp = t->how & LMTP,
					    .probe = t->how & PROBE,
					    .helo = SPAN("me.example"),
					    .sender = t->how & PROBE ? SPAN("")
								     : SPAN("s@x.example"),
					    .rcpts = buf_span(&s->rcpts),
					    .flags = t->how & ~OURS,
					    .keep = t->how & KEEP,
					    .chunking = !(t->how & NO_CHUNKING),
					    .not_to_self = t->how & MX,
					    .secure = t->how & SECURE,
					    .envid = SPAN("e1"),
					    .size = s->body.n,
					    .reply_timeout = 300 * MS_SECOND,
					    .answers = s->answers };
	if (t->how & (TLS_MAY | TLS_MUST))
		s->setup.tls = t->how & TLS_MAY ? HOP_TLS_MAY : HOP_TLS_MUST;
	if (t->how & PREFIX)
		s->setup.prefix = SPAN("DKIM-Signature: v=1\r\n");
	if (t->how & LOGIN) {
		s->setup.user = SPAN("u");
		s->setup.secret = SPAN("pw");
		s->setup.plain = span_of("\0u\0pw", 5);
	}
	assert_true(delivery_rcpts_ok(s->setup.rcpts));
	if (t->how & REUSED)
		delivery_resume(&s->d, &s->setup, &host, s->now);
	else
		delivery_init(&s->d, &s->setup, s->now);
	step(s, DELIVERY_OPENED, SPAN_NONE);
	while (script.n)
		perform(s, t, span_cut(&script, '\n'));
	if (!closed(s) || s->told != 1 || s->answers_left.n ||
	    s->d.elsewhere != s->elsewhere)
		fail_msg("%s: ended wrongly", t->why);
	free(s);
}

/* clang-format off */
#define HELLO   "< 220 hi\n> EHLO me.example\n"
#define PLAIN   HELLO "< 250 you\n"
#define PIPES   HELLO "< 250-you\\250 PIPELINING\n"
#define LHELLO  "< 220 hi\n> LHLO me.example\n"
#define LPIPES  LHELLO "< 250-you\\250 PIPELINING\n"
#define MAIL    "> MAIL FROM:<s@x.example>\n"
#define RCPT(x) "> RCPT TO:<" x ">\n"
#define TEXT    "< 354 go\n> Subject: x\n> \n> ..dot\n> .\n"
#define DATA    "> DATA\n" TEXT
#define BYE     "> QUIT\n< 221 bye\nclosed\n"

static const struct talk smtp_talks[] = {
	{ 0, "a message is delivered step by step", "a@b.c",
	  PLAIN MAIL "< 250 ok\n" RCPT("a@b.c") "silent\n< 250 ok\n" DATA "silent\n< 250 kept\n" BYE "| 250 kept\n" },
	{ 0, "a host that offers it gets all RCPT at once, and DATA with them", "a@b.c d@e.f g@h.i",
	  PIPES MAIL RCPT("a@b.c") RCPT("d@e.f") RCPT("g@h.i") "> DATA\nsilent\n< 250 ok\\550 no\\250 ok\nsilent\n< 450 later\nsilent\n"
	  TEXT "< 250 kept\n" BYE "| 550 no\n| 250 kept\n| 450 later\n" },
	{ 0, "one answer stands for all that were accepted", "a@b.c d@e.f",
	  PIPES MAIL RCPT("a@b.c") RCPT("d@e.f") "< 250 ok\\250 ok\\251 ok\n" DATA "< 451 full\n" BYE "| 451 full\n| 451 full\n" },
	{ MAIL_8BIT | MAIL_UTF8, "size, 8BITMIME and SMTPUTF8 are said if offered", "a@b.c",
	  HELLO "< 250-you\\250-SIZE 1000\\250-8BITMIME\\250 SMTPUTF8\n> MAIL FROM:<s@x.example> SIZE=20 BODY=8BITMIME SMTPUTF8\n"
	  "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n" DATA "< 250 kept\n" BYE "| 250 kept\n" },
	{ MAIL_8BIT, "what was announced as 8-bit text and is not goes to a host that does not offer it", "a@b.c",
	  PLAIN MAIL "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n" DATA "< 250 kept\n" BYE "| 250 kept\n" },
	{ MAIL_8BIT | LATIN, "8-bit text does not", "a@b.c",
	  PLAIN BYE "| 554 5.6.3 The message is 8-bit text, which the next hop does not take\n" },
	{ 0, "a host that refuses EHLO is asked with HELO", "a@b.c",
	  HELLO "< 502 what\n> HELO me.example\n< 250 you\n" MAIL "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n" DATA "< 250 kept\n" BYE "| 250 kept\n" },
	{ MAIL_UTF8, "a message that was announced as SMTPUTF8 and is ASCII goes where it is not offered", "a@b.c",
	  PLAIN MAIL "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n" DATA "< 250 kept\n" BYE "| 250 kept\n" },
	{ MAIL_UTF8, "but not to an address that is not", "\xc3\xb6@b.c d@e.f",
	  PIPES MAIL RCPT("d@e.f") "< 250 ok\\250 ok\n" DATA "< 250 kept\n" BYE
	  "| 550 5.6.7 The message needs SMTPUTF8, which the next hop does not offer\n| 250 kept\n" },
	{ MAIL_UTF8 | LATIN_HEADER, "a message that needs SMTPUTF8 does not go where it is not offered", "a@b.c",
	  PLAIN BYE "| 550 5.6.7 The message needs SMTPUTF8, which the next hop does not offer\n" },
	{ 0, "an address that would be a command is not said", "a@b.c>\r a@b.c",
	  PLAIN MAIL "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n" DATA "< 250 kept\n" BYE
	  "| 553 5.1.3 The address cannot be said in SMTP\n| 250 kept\n" },
	{ 0, "a message that nobody may get is not sent", "a@b.c d@e.f",
	  PIPES MAIL RCPT("a@b.c") RCPT("d@e.f") "> DATA\n< 250 ok\\550 no\\551 no\\503 what\n" BYE "| 550 no\n| 551 no\n" },
	{ 0, "not even to a host that wants it", "a@b.c d@e.f",
	  PIPES MAIL RCPT("a@b.c") RCPT("d@e.f") "> DATA\n< 250 ok\\550 no\\551 no\\354 go\nclosed\nsilent\n| 550 no\n| 551 no\n" },
	{ 0, "nor if the sender was refused", "a@b.c",
	  PIPES MAIL RCPT("a@b.c") "> DATA\n< 550 no\\503 what\\354 go\nclosed\nsilent\n| 550 no\n" },
	{ 0, "a refused sender is the answer for all, whatever was said to RCPT behind it", "a@b.c d@e.f",
	  PIPES MAIL RCPT("a@b.c") RCPT("d@e.f") "> DATA\n< 550 not you\\503 what\nsilent\n< 503 what\\503 what\n" BYE "| 550 not you\n| 550 not you\n" },
	{ 0, "a refused DATA is the answer for all that were accepted", "a@b.c d@e.f",
	  PIPES MAIL RCPT("a@b.c") RCPT("d@e.f") "< 250 ok\\250 ok\\551 no\n> DATA\n< 451 no\n" BYE "| 451 no\n| 551 no\n" },
	{ 0, "a refused greeting is no answer about a recipient", "a@b.c",
	  "< 554 go away\n" BYE "| 000 the greeting was answered with 554 go away\nelsewhere\n" },
	{ 0, "a refused HELO is no answer about a recipient", "a@b.c",
	  HELLO "< 502 what\n> HELO me.example\n< 550 no\n" BYE "| 000 HELO was answered with 550 no\nelsewhere\n" },
	{ 0, "EHLO that is refused for now is not followed by HELO", "a@b.c",
	  HELLO "< 450 later\n" BYE "| 000 EHLO was answered with 450 later\nelsewhere\n" },
	{ 0, "no end of message is sent when the message cannot be read", "a@b.c",
	  PLAIN MAIL "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n> DATA\n< 354 go\nunreadable\nclosed\nsilent\n| 000 the message was not sent: it cannot be read\n" },
	{ 0, "a second transaction takes those the first had no room for", "a@b.c d@e.f g@h.i",
	  HELLO "< 250-you\\250-PIPELINING\\250 LIMITS RCPTMAX=2\n"
	  MAIL RCPT("a@b.c") RCPT("d@e.f") "> DATA\nsilent\n< 250 ok\\250 ok\\550 no\n" TEXT "< 250 kept\n"
	  MAIL RCPT("g@h.i") "< 250 ok\\250 ok\n" DATA "< 250 kept too\n" BYE "| 250 kept\n| 550 no\n| 250 kept too\n" },
	{ 0, "too many recipients for one message are asked again behind it", "a@b.c d@e.f",
	  PIPES MAIL RCPT("a@b.c") RCPT("d@e.f") "< 250 ok\\250 ok\\452 4.5.3 too many\n" DATA "< 250 kept\n"
	  MAIL RCPT("d@e.f") "< 250 ok\\250 ok\n" DATA "< 250 kept too\n" BYE "| 250 kept\n| 250 kept too\n" },
	{ 0, "but not for ever", "a@b.c d@e.f",
	  PIPES MAIL RCPT("a@b.c") RCPT("d@e.f") "< 250 ok\\250 ok\\452 4.5.3 too many\n" DATA "< 250 kept\n"
	  MAIL RCPT("d@e.f") "> DATA\n< 250 ok\\452 4.5.3 too many\\503 what\n" BYE "| 250 kept\n| 452 4.5.3 too many\n" },
	{ 0, "recipients behind a refused group are tried, too, also with DATA ahead", "a@b.c d@e.f",
	  HELLO "< 250-you\\250-PIPELINING\\250 LIMITS RCPTMAX=1\n" MAIL RCPT("a@b.c") "> DATA\n< 250 ok\\550 no\\503 what\n> RSET\n< 250 ok\n"
	  MAIL RCPT("d@e.f") "> DATA\n< 250 ok\\250 ok\n" TEXT "< 250 kept\n" BYE "| 550 no\n| 250 kept\n" },
	{ 0, "recipients behind a refused group are tried, too", "a@b.c d@e.f",
	  HELLO "< 250-you\\250 LIMITS RCPTMAX=1\n" MAIL "< 250 ok\n" RCPT("a@b.c") "< 550 no\n> RSET\n< 250 ok\n"
	  MAIL "< 250 ok\n" RCPT("d@e.f") "< 250 ok\n" DATA "< 250 kept\n" BYE "| 550 no\n| 250 kept\n" },
};

#define TLS_OFFER HELLO "< 250-you\\250 STARTTLS\n"
#define GO_TLS    "> STARTTLS\n< 220 go\ntls\n> EHLO me.example\n"
#define SEND      MAIL "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n" DATA "< 250 kept\n"

static const struct talk tls_talks[] = {
	{ TLS_MAY, "TLS is used if it is offered, and what was learnt before is forgotten", "a@b.c",
	  HELLO "< 250-you\\250-SIZE 10\\250 STARTTLS\n" GO_TLS "< 250 you\n" SEND BYE "| 250 kept\n" },
	{ TLS_MAY, "and not if it is not", "a@b.c", PLAIN SEND BYE "| 250 kept\n" },
	{ 0, "nor if it is not wanted", "a@b.c", TLS_OFFER SEND BYE "| 250 kept\n" },
	{ TLS_MAY, "STARTTLS that is refused need not be", "a@b.c",
	  TLS_OFFER "> STARTTLS\n< 454 later\n" SEND BYE "| 250 kept\n" },
	{ TLS_MUST, "unless it must", "a@b.c",
	  TLS_OFFER "> STARTTLS\n< 454 later\n" BYE "| 000 STARTTLS was answered with 454 later\nelsewhere\n" },
	{ TLS_MUST, "a host without it is left", "a@b.c",
	  PLAIN BYE "| 000 TLS is needed, and STARTTLS is not offered\nelsewhere\n" },
	{ TLS_MUST, "a handshake may fail", "a@b.c",
	  TLS_OFFER "> STARTTLS\n< 220 go\nno tls\nclosed\nsilent\n| 000 the TLS handshake failed: why\nelsewhere\n" },
	{ TLS_MAY, "a handshake may hang", "a@b.c",
	  TLS_OFFER "> STARTTLS\n< 220 go\nwait 60\nclosed\n| 000 the TLS handshake was not answered in time\nelsewhere\n" },
	{ TLS_MAY, "what came in clear behind the 220 is not taken for a reply inside TLS", "a@b.c",
	  TLS_OFFER "> STARTTLS\n< 220 go\\250 injected\nclosed\n| 000 the TLS handshake began in clear\nelsewhere\n" },
	{ TLS_MAY, "STARTTLS that is offered again inside TLS is not said again", "a@b.c",
	  TLS_OFFER GO_TLS "< 250-you\\250 STARTTLS\n" SEND BYE "| 250 kept\n" },
	{ TLS_MAY | LOGIN, "a password is said inside TLS", "a@b.c",
	  TLS_OFFER GO_TLS "< 250-you\\250 AUTH LOGIN PLAIN\n> AUTH PLAIN AHUAcHc=\n< 235 in\n" SEND BYE "| 250 kept\n" },
	{ TLS_MAY | LOGIN, "or in two steps", "a@b.c",
	  TLS_OFFER GO_TLS "< 250-you\\250 AUTH LOGIN\n> AUTH LOGIN\n< 334 VXNlcm5hbWU6\n> dQ==\n< 334 UGFzc3dvcmQ6\n> cHc=\n< 235 in\n"
	  SEND BYE "| 250 kept\n" },
	{ TLS_MAY | LOGIN, "never in clear", "a@b.c",
	  HELLO "< 250-you\\250 AUTH PLAIN\n" BYE "| 000 AUTH was not said: the connection is not encrypted\nelsewhere\n" },
	{ LOGIN | SECURE, "unless the host is this machine", "a@b.c",
	  HELLO "< 250-you\\250 AUTH PLAIN\n> AUTH PLAIN AHUAcHc=\n< 235 in\n" SEND BYE "| 250 kept\n" },
	{ LOGIN | SECURE, "a refused login is no answer about a recipient", "a@b.c",
	  HELLO "< 250-you\\250 AUTH PLAIN\n> AUTH PLAIN AHUAcHc=\n< 535 no\n" BYE "| 000 AUTH was answered with 535 no\nelsewhere\n" },
	{ LOGIN | SECURE, "a host that does not offer it gets no mail", "a@b.c",
	  PLAIN BYE "| 000 AUTH was not said: neither PLAIN nor LOGIN is offered\nelsewhere\n" },
	{ LOGIN | SECURE, "nor one that asks and asks", "a@b.c",
	  HELLO "< 250-you\\250 AUTH LOGIN\n> AUTH LOGIN\n< 334 a\n> dQ==\n< 334 b\n> cHc=\n< 334 c\n" BYE
	  "| 000 AUTH was answered with 334 c\nelsewhere\n" },
};

static const struct talk mx_talks[] = {
	{ MX, "a host with our name is us", "a@b.c",
	  HELLO "< 250 ME.example hello\n" BYE "| 554 5.4.6 Mail for this domain comes back to us\n" },
	{ 0, "which may be meant", "a@b.c", HELLO "< 250 me.example\n" SEND BYE "| 250 kept\n" },
	{ PREFIX, "what goes before the message goes before it", "a@b.c",
	  HELLO "< 250-you\\250 SIZE\n> MAIL FROM:<s@x.example> SIZE=41\n< 250 ok\n" RCPT("a@b.c")
	  "< 250 ok\n> DATA\n< 354 go\n> DKIM-Signature: v=1\n> Subject: x\n> \n> ..dot\n> .\n< 250 kept\n" BYE "| 250 kept\n" },
	{ 0, "a message that is too large is not offered", "a@b.c",
	  HELLO "< 250-you\\250 SIZE 19\n" BYE "| 552 5.3.4 The message is larger than the next hop takes\n" },
	{ MAIL_RET_HDRS, "what is wanted of notices is passed on", "a@b.c\tNOTIFY=NEVER d@e.f",
	  HELLO "< 250-you\\250-DSN\\250 PIPELINING\n> MAIL FROM:<s@x.example> RET=HDRS ENVID=e1\n> RCPT TO:<a@b.c> NOTIFY=NEVER\n"
	  RCPT("d@e.f") "< 250 ok\\250 ok\\250 ok\n" DATA "< 250 kept\n" BYE "| 250 kept\n| 250 kept\n" },
	{ MAIL_RET_HDRS, "to who offers it", "a@b.c\tNOTIFY=NEVER", PLAIN SEND BYE "| 250 kept\n" },
};

#define OFFERS(x)  HELLO "< 250-you\\250-PIPELINING\\250 " x "\n"
#define CHUNKS     OFFERS("CHUNKING")
#define BOTH       HELLO "< 250-you\\250-PIPELINING\\250-BINARYMIME\\250 CHUNKING\n"
#define SLOW(x)    HELLO "< 250-you\\250-" x "\\250 CHUNKING\n" /* each chunk is answered before the next */
#define ONE_CHUNK  "> BDAT 20\n> Subject: x\n> \n> .dot\n"
#define LAST_CHUNK "> BDAT 0 LAST\n"
#define ODD_CHUNK  "> BDAT 18\n> Subject: x\n> \n> a\n> .\n"
#define BINARY     "> MAIL FROM:<s@x.example> BODY=BINARYMIME\n"

static const struct talk chunk_talks[] = {
	{ 0, "a host that offers it gets the message in chunks, without a question before", "a@b.c",
	  CHUNKS MAIL RCPT("a@b.c") "silent\n< 250 ok\\250 ok\n" ONE_CHUNK LAST_CHUNK "silent\n< 250 20 octets\\250 kept\n" BYE "| 250 kept\n" },
	{ 0, "which it may answer at once", "a@b.c",
	  CHUNKS MAIL RCPT("a@b.c") "< 250 ok\\250 ok\n" ONE_CHUNK "< 250 20 octets\n" LAST_CHUNK "silent\n< 250 kept\n" BYE "| 250 kept\n" },
	{ NO_CHUNKING, "or not, if that is turned off", "a@b.c", CHUNKS MAIL RCPT("a@b.c") "> DATA\n< 250 ok\\250 ok\n" TEXT "< 250 kept\n" BYE "| 250 kept\n" },
	{ 0, "nor if each would cost a round trip", "a@b.c", SLOW("HELP") SEND BYE "| 250 kept\n" },
	{ PREFIX, "what goes before the message is a chunk of its own", "a@b.c",
	  CHUNKS MAIL RCPT("a@b.c") "< 250 ok\\250 ok\n> BDAT 21\n> DKIM-Signature: v=1\n" ONE_CHUNK LAST_CHUNK
	  "< 250 ok\\250 ok\\250 kept\n" BYE "| 250 kept\n" },
	{ ODD, "of text all ends of lines are CRLF, as in DATA", "a@b.c",
	  CHUNKS MAIL RCPT("a@b.c") "< 250 ok\\250 ok\n> BDAT 20\n> Subject: x\n> \n> a\n> .\n" LAST_CHUNK "< 250 ok\\250 kept\n" BYE "| 250 kept\n" },
	{ KEEP, "the connection is good for another", "a@b.c",
	  CHUNKS MAIL RCPT("a@b.c") "< 250 ok\\250 ok\n" ONE_CHUNK LAST_CHUNK "< 250 ok\\250 kept\nkept\n| 250 kept\n" },
	{ KEEP | REUSED | CHUNKED, "and the other goes in chunks, too", "a@b.c",
	  MAIL RCPT("a@b.c") "silent\n< 250 ok\\250 ok\n" ONE_CHUNK LAST_CHUNK "< 250 ok\\250 kept\nkept\n| 250 kept\n" },
	{ 0, "a message that nobody may get is not sent", "a@b.c", CHUNKS MAIL RCPT("a@b.c") "< 250 ok\\550 no\n" BYE "| 550 no\n" },
	{ 0, "a second transaction takes those the first had no room for", "a@b.c d@e.f",
	  HELLO "< 250-you\\250-PIPELINING\\250-CHUNKING\\250 LIMITS RCPTMAX=1\n" MAIL RCPT("a@b.c") "< 250 ok\\250 ok\n" ONE_CHUNK LAST_CHUNK
	  "< 250 ok\\250 kept\n" MAIL RCPT("d@e.f") "< 250 ok\\250 ok\n" ONE_CHUNK LAST_CHUNK "< 250 ok\\250 kept too\n" BYE "| 250 kept\n| 250 kept too\n" },
	{ LMTP, "LMTP answers once for a chunk, and for each recipient behind the last", "a@b.c d@e.f g@h.i",
	  LHELLO "< 250-you\\250-PIPELINING\\250 CHUNKING\n" MAIL RCPT("a@b.c") RCPT("d@e.f") RCPT("g@h.i") "< 250 ok\\250 ok\\550 no\\250 ok\n"
	  ONE_CHUNK LAST_CHUNK "< 250 octets\\250 kept\nsilent\n< 452 over quota\n" BYE "| 250 kept\n| 550 no\n| 452 over quota\n" },
	{ 0, "a host that does not want a chunk gets no more, and no command", "a@b.c d@e.f",
	  CHUNKS MAIL RCPT("a@b.c") RCPT("d@e.f") "< 250 ok\\250 ok\\550 no\n> BDAT 20\n< 451 no room\nclosed\n| 451 no room\n| 550 no\n" },
	{ KEEP, "also if it says so when all is sent, whatever it says of the rest", "a@b.c",
	  CHUNKS MAIL RCPT("a@b.c") "< 250 ok\\250 ok\n" ONE_CHUNK LAST_CHUNK "< 552 too big\\250 kept\nclosed\n| 552 too big\n" },
	{ LMTP, "in LMTP that is the answer for all", "a@b.c d@e.f",
	  LHELLO "< 250-you\\250-PIPELINING\\250 CHUNKING\n" MAIL RCPT("a@b.c") RCPT("d@e.f") "< 250 ok\\250 ok\\250 ok\n"
	  ONE_CHUNK LAST_CHUNK "< 452 no\\503 what\nclosed\n| 452 no\n| 452 no\n" },
	{ 0, "the answer to the last chunk is that of the message", "a@b.c",
	  CHUNKS MAIL RCPT("a@b.c") "< 250 ok\\250 ok\n" ONE_CHUNK LAST_CHUNK "< 250 ok\\554 spam\n" BYE "| 554 spam\n" },
	{ 0, "and is not believed before that was said", "a@b.c",
	  CHUNKS MAIL RCPT("a@b.c") "< 250 ok\\250 ok\n> BDAT 20\n< 250 ok\\250 kept\nclosed\n| 000 the message was answered before it was said: kept\n" },
	{ 0, "354 is no answer to a chunk", "a@b.c",
	  CHUNKS MAIL RCPT("a@b.c") "< 250 ok\\250 ok\n" ONE_CHUNK "< 354 go\nclosed\n| 000 the message was answered out of turn: go\n" },
	{ 0, "421 between chunks", "a@b.c",
	  CHUNKS MAIL RCPT("a@b.c") "< 250 ok\\250 ok\n" ONE_CHUNK LAST_CHUNK "< 250 ok\\421 dying\nclosed\n| 421 dying\n" },
	{ 0, "a connection that is lost between chunks", "a@b.c",
	  CHUNKS MAIL RCPT("a@b.c") "< 250 ok\\250 ok\n" ONE_CHUNK "hangup\nclosed\n| 000 the message was not answered: the host hung up\n" },
	{ 0, "no end is sent of a message that cannot be read", "a@b.c",
	  CHUNKS MAIL RCPT("a@b.c") "< 250 ok\\250 ok\n" ONE_CHUNK "unreadable\nclosed\nsilent\n| 000 the message was not sent: it cannot be read\n" },
	{ MAIL_BINARY | MAIL_8BIT | ODD, "what is binary goes as it is to who offers BINARYMIME", "a@b.c",
	  BOTH BINARY RCPT("a@b.c") "< 250 ok\\250 ok\n" ODD_CHUNK LAST_CHUNK "< 250 ok\\250 kept\n" BYE "| 250 kept\n" },
	{ MAIL_BINARY | MAIL_8BIT | ODD, "also if each chunk costs a round trip", "a@b.c",
	  SLOW("BINARYMIME") BINARY "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n" ODD_CHUNK "silent\n< 250 ok\n" LAST_CHUNK "silent\n< 250 kept\n" BYE "| 250 kept\n" },
	{ MAIL_BINARY | MAIL_8BIT | ODD | PREFIX, "and something goes before it", "a@b.c",
	  SLOW("BINARYMIME") BINARY "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n> BDAT 21\n> DKIM-Signature: v=1\nsilent\n< 250 ok\n" ODD_CHUNK
	  "silent\n< 250 ok\n" LAST_CHUNK "< 250 kept\n" BYE "| 250 kept\n" },
	{ MAIL_BINARY | MAIL_8BIT | ODD, "a host that never answers a chunk is left", "a@b.c",
	  SLOW("BINARYMIME") BINARY "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n" ODD_CHUNK "wait 300\nclosed\n| 000 the message was not answered in time\n" },
	{ MAIL_BINARY | MAIL_8BIT | ODD, "what is binary is not converted", "a@b.c",
	  CHUNKS BYE "| 554 5.6.3 The message needs BINARYMIME, which the next hop does not offer\n" },
	{ MAIL_BINARY | MAIL_8BIT | ODD, "and BINARYMIME is nothing without CHUNKING", "a@b.c",
	  OFFERS("BINARYMIME") BYE "| 554 5.6.3 The message needs CHUNKING, which the next hop does not offer\n" },
	{ MAIL_BINARY | MAIL_8BIT | ODD | NO_CHUNKING, "here or there", "a@b.c",
	  BOTH BYE "| 554 5.6.3 The message needs BDAT, which is turned off here\n" },
	{ MAIL_BINARY | MAIL_8BIT, "what was announced as binary and is text goes anywhere", "a@b.c", PLAIN SEND BYE "| 250 kept\n" },
	{ MAIL_BINARY | MAIL_8BIT | LATIN, "unless it is 8-bit text, which is not for all", "a@b.c",
	  PLAIN BYE "| 554 5.6.3 The message is 8-bit text, which the next hop does not take\n" },
};

static const struct talk kept_talks[] = {
	{ KEEP, "after a message that was taken the connection can be kept", "a@b.c", PLAIN SEND "kept\n| 250 kept\n" },
	{ KEEP, "but not after one that was not", "a@b.c",
	  PLAIN MAIL "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n" DATA "< 451 no\n" BYE "| 451 no\n" },
	{ KEEP, "nor if the host says more than it was asked", "a@b.c",
	  PLAIN MAIL "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n" DATA "< 250 kept\\250 and so on\nclosed\n| 250 kept\n" },
	{ KEEP | REUSED, "one that was kept is neither greeted nor asked what it can", "a@b.c",
	  MAIL RCPT("a@b.c") "> DATA\nsilent\n< 250 ok\\250 ok\n" TEXT "< 250 kept\nkept\n| 250 kept\n" },
	{ REUSED, "it may have gone meanwhile", "a@b.c",
	  MAIL RCPT("a@b.c") "> DATA\nhangup\nclosed\n| 000 MAIL was not answered: the host hung up\nelsewhere\n" },
	{ REUSED, "or be about to", "a@b.c",
	  MAIL RCPT("a@b.c") "> DATA\n< 421 idle\nclosed\n| 000 MAIL was answered with 421 idle\nelsewhere\n" },
	{ REUSED, "once it has answered it is a host like any other", "a@b.c",
	  MAIL RCPT("a@b.c") "> DATA\n< 250 ok\nhangup\nclosed\n| 000 RCPT was not answered: the host hung up\n" },
};

static const struct talk lmtp_talks[] = {
	{ LMTP, "LMTP answers for each recipient that it accepted", "a@b.c d@e.f g@h.i",
	  LPIPES MAIL RCPT("a@b.c") RCPT("d@e.f") RCPT("g@h.i") "< 250 ok\\250 ok\\550 no\\250 ok\n"
	  DATA "< 250 kept\nsilent\n< 452 over quota\n" BYE "| 250 kept\n| 550 no\n| 452 over quota\n" },
	{ LMTP, "an LMTP host that refuses LHLO is not asked with HELO", "a@b.c",
	  LHELLO "< 500 what\n" BYE "| 000 EHLO was answered with 500 what\nelsewhere\n" },
	{ LMTP, "those for whom LMTP did not answer have no answer", "a@b.c d@e.f",
	  LPIPES MAIL RCPT("a@b.c") RCPT("d@e.f") "< 250 ok\\250 ok\\250 ok\n" DATA "< 250 kept\nhangup\nclosed\n"
	  "| 250 kept\n| 000 the end of the message was not answered: the host hung up\n" },
	{ LMTP, "421 between LMTP answers is the answer of those that wait", "a@b.c d@e.f",
	  LPIPES MAIL RCPT("a@b.c") RCPT("d@e.f") "< 250 ok\\250 ok\\250 ok\n" DATA "< 250 kept\\421 dying\nclosed\n| 250 kept\n| 421 dying\n" },
	{ LMTP, "an answer too many counts for nothing", "a@b.c",
	  LPIPES MAIL RCPT("a@b.c") "< 250 ok\\250 ok\n" DATA "< 250 kept\\250 kept\nclosed\n| 250 kept\n" },
};

static const struct talk probes[] = {
	{ PROBE, "a probe says nobody, asks and leaves", "a@b.c",
	  PIPES "> MAIL FROM:<>\n" RCPT("a@b.c") "< 250 ok\\250 known\n" BYE "| 250 known\n" },
	{ PROBE | LMTP, "a probe hears a refusal", "a@b.c",
	  LPIPES "> MAIL FROM:<>\n" RCPT("a@b.c") "< 250 ok\\550 5.1.1 unknown\n" BYE "| 550 5.1.1 unknown\n" },
	{ PROBE, "a probe whose sender is refused hears nothing of the recipient", "a@b.c",
	  PIPES "> MAIL FROM:<>\n" RCPT("a@b.c") "< 550 no bounces\\503 what\n" BYE "| 450 no bounces\n" },
	{ PROBE, "a probe whose sender is refused for now hears that", "a@b.c",
	  PIPES "> MAIL FROM:<>\n" RCPT("a@b.c") "< 451 busy\\503 what\n" BYE "| 451 busy\n" },
	{ PROBE, "a probe that nobody answers has no answer", "a@b.c",
	  PIPES "> MAIL FROM:<>\n" RCPT("a@b.c") "wait 300\nclosed\n| 000 MAIL was not answered in time\n" },
	{ PROBE, "a probe that has to be ready soon does not wait longer for who says nothing", "a@b.c",
	  "ready 5\n" HELLO "wait 5\nclosed\n| 000 EHLO was not answered in time\nelsewhere\n" },
	{ PROBE, "once it is ready it waits as others do", "a@b.c",
	  "ready 5\n" PIPES "> MAIL FROM:<>\n" RCPT("a@b.c") "wait 300\nclosed\n| 000 MAIL was not answered in time\n" },
};

static const struct talk bad_hosts[] = {
	{ 0, "a host that says nothing", "a@b.c", "wait 300\nclosed\n| 000 the greeting was not answered in time\nelsewhere\n" },
	{ 0, "the same while we stood still, and are late for everything", "a@b.c", "late\nclosed\n| 000 the greeting was not answered in time\nelsewhere\n" },
	{ 0, "a host that is gone at once", "a@b.c", "hangup\nclosed\n| 000 the greeting was not answered: the host hung up\nelsewhere\n" },
	{ 0, "a host that does not speak SMTP", "a@b.c", "< SSH-2.0-x\nclosed\n| 000 the greeting was answered with a line that is not part of a reply\nelsewhere\n" },
	{ 0, "a host that is shutting down", "a@b.c", "< 421 later\nclosed\n| 000 the greeting was answered with 421 later\nelsewhere\n" },
	{ 0, "421 instead of an answer to MAIL", "a@b.c", PLAIN MAIL "< 421 later\nclosed\n| 421 later\n" },
	{ 0, "421 in the middle of RCPT answers for the rest, and for who was only accepted", "a@b.c d@e.f g@h.i",
	  PIPES MAIL RCPT("a@b.c") RCPT("d@e.f") RCPT("g@h.i") "< 250 ok\\250 ok\\550 no\\421 dying\nclosed\n| 421 dying\n| 550 no\n| 421 dying\n" },
	{ 0, "421 that nobody asked for", "a@b.c", PLAIN MAIL "< 250 ok\\421 dying\nclosed\n| 421 dying\n" },
	{ 0, "421 while the message is under way", "a@b.c",
	  PLAIN MAIL "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n> DATA\n< 354 go\n> Subject: x\n< 421 dying\nclosed\n| 421 dying\n" },
	{ 0, "a refusal while the message is under way", "a@b.c",
	  PLAIN MAIL "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n> DATA\n< 354 go\n> Subject: x\n< 552 too big\nclosed\n| 552 too big\n" },
	{ 0, "an acceptance before the message was sent counts for nothing", "a@b.c",
	  PLAIN MAIL "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n> DATA\n< 354 go\\250 kept\nclosed\n| 000 the message was answered before it was said: kept\n" },
	{ 0, "a message lost behind its end may be there, and is not taken for delivered", "a@b.c",
	  PLAIN MAIL "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n" DATA "broken\nclosed\n| 000 the end of the message was not answered: the connection broke\n" },
	{ 0, "the end of a message is waited for twice as long", "a@b.c",
	  PLAIN MAIL "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n" DATA "wait 600\nclosed\n| 000 the end of the message was not answered in time\n" },
	{ 0, "an answer to a command that was not said yet", "a@b.c",
	  PLAIN MAIL "< 250 ok\\250 ok\nclosed\n| 000 RCPT was answered before it was said: ok\n" },
	{ 0, "354 where it has no place", "a@b.c",
	  PLAIN MAIL "< 250 ok\n" RCPT("a@b.c") "< 354 go\nclosed\n| 000 RCPT was answered out of turn: go\n" },
	{ 0, "250 where 354 should be", "a@b.c",
	  PLAIN MAIL "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n> DATA\n< 250 kept\nclosed\n| 000 DATA was answered out of turn: kept\n" },
	{ 0, "a host that does not say bye does not change the answer", "a@b.c",
	  PLAIN MAIL "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n" DATA "< 250 kept\n> QUIT\nwait 5\nclosed\n| 250 kept\n" },
	{ 0, "a host that hangs up instead of saying bye, neither", "a@b.c",
	  PLAIN MAIL "< 250 ok\n" RCPT("a@b.c") "< 250 ok\n" DATA "< 250 kept\n> QUIT\nhangup\nclosed\n| 250 kept\n" },
};
/* clang-format on */

static void play_all(const struct talk *talks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		play(&talks[i]);
}

static void a_message_goes_to_an_smtp_host(void **state)
{
	(void)state;
	play_all(smtp_talks, COUNT_OF(smtp_talks));
}

static void tls_and_login_come_before_the_message(void **state)
{
	(void)state;
	play_all(tls_talks, COUNT_OF(tls_talks));
}

static void a_message_goes_to_the_host_of_a_domain(void **state)
{
	(void)state;
	play_all(mx_talks, COUNT_OF(mx_talks));
}

static void a_message_goes_in_chunks(void **state)
{
	(void)state;
	play_all(chunk_talks, COUNT_OF(chunk_talks));
}

static void a_connection_serves_for_more_than_one_message(void **state)
{
	(void)state;
	play_all(kept_talks, COUNT_OF(kept_talks));
}

static void a_message_goes_to_an_lmtp_host(void **state)
{
	(void)state;
	play_all(lmtp_talks, COUNT_OF(lmtp_talks));
}

static void a_probe_asks_and_sends_nothing(void **state)
{
	(void)state;
	play_all(probes, COUNT_OF(probes));
}

static void whatever_a_host_does_each_recipient_has_an_answer(void **state)
{
	(void)state;
	play_all(bad_hosts, COUNT_OF(bad_hosts));
}

static void a_host_that_drips_replies_is_left_in_the_end(void **state)
{
	static struct stage s;

	(void)state;
	s.now = 0;
	buf_init(&s.peer, s.out_mem, sizeof(s.out_mem));
	buf_init(&s.rcpts, s.rcpt_mem, sizeof(s.rcpt_mem));
	for (int i = 0; i < 100; i++)
		list_put(&s.rcpts, SPAN("a@b.c"));
	s.setup = (struct delivery_setup){ .rcpts = buf_span(&s.rcpts),
					   .reply_timeout = 300 * MS_SECOND,
					   .answers = s.answers };
	delivery_init(&s.d, &s.setup, s.now);
	step(&s, DELIVERY_OPENED, SPAN_NONE);
	for (int i = 0; i < 100 && !closed(&s); i++) {
		s.now += 299 * MS_SECOND < s.out.wake - s.now ? 299 * MS_SECOND
							      : s.out.wake - s.now;
		buf_reset(&s.peer);
		if (s.now == s.out.wake)
			step(&s, DELIVERY_TIME, SPAN_NONE);
		else
			hears(&s, SPAN("250 ok"));
	}
	assert_true(closed(&s));
	assert_int_equal(s.now, 4 * 300 * MS_SECOND);
}

static void answers_for_many_recipients_fit_into_one_message(void **state)
{
	static uint8_t rcpt_mem[LIST_FRAME_MAX], mem[LIST_FRAME_MAX],
		long_text[SMTP_PEER_TEXT];
	static struct stage s;
	struct buf rcpts, out;
	struct span left, answer;
	size_t n = 0;

	(void)state;
	memset(long_text, 'x', sizeof(long_text));
	buf_init(&rcpts, rcpt_mem, sizeof(rcpt_mem));
	while (buf_room(&rcpts) >= 6)
		list_put(&rcpts, SPAN("a@bc"));
	assert_true(delivery_rcpts_ok(buf_span(&rcpts)));
	assert_true(answers_room(list_count(buf_span(&rcpts))) <= sizeof(s.answers));
	s.setup = (struct delivery_setup){ .rcpts = buf_span(&rcpts),
					   .answers = s.answers };
	delivery_init(&s.d, &s.setup, 0);
	delivery_fail(&s.d, span_of(long_text, sizeof(long_text)));
	buf_init(&out, mem, sizeof(mem));
	answers_print(&s.d.answers, &out);
	assert_false(out.full);
	for (left = buf_span(&out); list_next(&left, &answer); n++)
		assert_true(span_eq(answer, SPAN("000 ")));
	assert_int_equal(n, list_count(buf_span(&rcpts)));
}

static void lists_that_cannot_be_answered_are_refused(void **state)
{
	static uint8_t mem[LIST_FRAME_MAX], long_one[ADDRESS_MAX + 1];
	struct buf rcpts;

	(void)state;
	assert_false(delivery_rcpts_ok(SPAN_NONE));
	assert_false(delivery_rcpts_ok(SPAN("\xff\xff")));
	buf_init(&rcpts, mem, sizeof(mem));
	while (buf_room(&rcpts) >= 3)
		list_put(&rcpts, SPAN("a"));
	assert_false(delivery_rcpts_ok(buf_span(&rcpts)));
	buf_reset(&rcpts);
	list_put(&rcpts, span_of(long_one, sizeof(long_one)));
	assert_false(delivery_rcpts_ok(buf_span(&rcpts)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_goes_to_an_smtp_host),
		cmocka_unit_test(tls_and_login_come_before_the_message),
		cmocka_unit_test(a_message_goes_to_the_host_of_a_domain),
		cmocka_unit_test(a_message_goes_in_chunks),
		cmocka_unit_test(a_connection_serves_for_more_than_one_message),
		cmocka_unit_test(a_message_goes_to_an_lmtp_host),
		cmocka_unit_test(a_probe_asks_and_sends_nothing),
		cmocka_unit_test(whatever_a_host_does_each_recipient_has_an_answer),
		cmocka_unit_test(a_host_that_drips_replies_is_left_in_the_end),
		cmocka_unit_test(answers_for_many_recipients_fit_into_one_message),
		cmocka_unit_test(lists_that_cannot_be_answered_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
