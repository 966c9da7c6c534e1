/*
 * The dialogues of canned, without a socket: what is answered, and that it does not depend on how
 * the input was chopped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "rehearse/answers.h"
#include "rehearse/rng.h"

#define HEARD_CAP (1024 * 1024)

/* What one dialogue came to. */
struct heard_all {
	struct buf said;  /* to the peer */
	struct buf text;  /* of messages, each ended by a byte 0xff */
	unsigned letters; /* whole */
	unsigned forgotten;
	bool tls, closed;
};

static struct heard_all *new_heard(void)
{
	struct heard_all *h = calloc(1, sizeof(*h));

	buf_init(&h->said, malloc(HEARD_CAP), HEARD_CAP);
	buf_init(&h->text, malloc(HEARD_CAP), HEARD_CAP);
	return h;
}

static void free_heard(struct heard_all *h)
{
	free(h->said.mem);
	free(h->text.mem);
	free(h);
}

/* One step of bytes that are exactly as long as said, so that a sanitizer sees what is read past. */
static size_t feed(const struct answers_kind *k, struct answers *a, struct span in,
		   struct heard_all *h, size_t out_cap)
{
	uint8_t *exact = malloc(in.n ? in.n : 1), *mem = malloc(out_cap);
	struct span rest = span_of(exact, in.n);
	struct buf out;

	if (in.n)
		memcpy(exact, in.p, in.n);
	buf_init(&out, mem, out_cap);
	for (bool goes_on = true; goes_on;) {
		struct answers_event ev = answers_next(k, a, &rest, &out);

		assert_false(out.full);
		switch (ev.heard) {
		case HEARD_TEXT:
			assert_true(ev.text.n > 0);
			buf_put(&h->text, ev.text);
			break;
		case HEARD_END:
			buf_byte(&h->text, 0xff);
			h->letters++;
			answers_kept(a, true, &out);
			break;
		case HEARD_FORGET:
			h->forgotten++;
			while (h->text.len && h->text.mem[h->text.len - 1] != 0xff)
				h->text.len--;
			break;
		case HEARD_TLS:
			h->tls = true;
			a->secure = true;
			rest = SPAN_NONE;
			break;
		case HEARD_CLOSE:
			h->closed = true;
			rest = SPAN_NONE;
			goes_on = false;
			break;
		case HEARD_FULL:
			buf_put(&h->said, buf_span(&out));
			buf_reset(&out);
			break;
		case HEARD_MORE:
			goes_on = false;
			break;
		}
	}
	buf_put(&h->said, buf_span(&out));
	assert_true(rest.n < ANSWERS_LINE);
	free(exact);
	free(mem);
	return rest.n;
}

/* The whole dialogue, in pieces of up to `most` bytes (0: in one). */
static struct heard_all *talk(const struct answers_kind *k, struct span in, size_t most,
			      size_t out_cap)
{
	struct heard_all *h = new_heard();
	struct answers a = { .secure = false };
	size_t begun = 0, at = 0;
	struct rng r = rng_of(most, 1, in.n);

	answers_greet(k, &a, &h->said);
	buf_reset(&h->said);
	while (at < in.n && !h->closed) {
		size_t n = most ? 1 + (size_t)rng_below(&r, most) : in.n;

		at = at + n < in.n ? at + n : in.n;
		begun = at - feed(k, &a, span_of(in.p + begun, at - begun), h, out_cap);
	}
	assert_false(h->said.full || h->text.full);
	return h;
}

static void expect_said(const struct answers_kind *k, struct span in, const char *said)
{
	for (size_t most = 0; most < 4; most++) {
		struct heard_all *h = talk(k, in, most, 4096);

		buf_byte(&h->said, '\0');
		assert_string_equal((char *)h->said.mem, said);
		free_heard(h);
	}
}

static const struct answers_kind plain_smtp = { .speaks = SPEAKS_SMTP };
static const struct answers_kind full_smtp = { .speaks = SPEAKS_SMTP,
					       .tls = true,
					       .takes_passwords = true };
static const struct answers_kind imap = { .speaks = SPEAKS_IMAP };
static const struct answers_kind full_imap = { .speaks = SPEAKS_IMAP,
					       .tls = true,
					       .takes_passwords = true };
static const struct answers_kind pop3 = { .speaks = SPEAKS_POP3 };
static const struct answers_kind full_pop3 = { .speaks = SPEAKS_POP3,
					       .tls = true,
					       .takes_passwords = true };

#define EHLO_SAYS                                                            \
	"250-canned.example.test\r\n250-PIPELINING\r\n250-SIZE 67108864\r\n" \
	"250-8BITMIME\r\n250-CHUNKING\r\n"

static void smtp_is_answered_as_the_words_come(void **state)
{
	(void)state;
	expect_said(
		&plain_smtp,
		SPAN("EHLO x\r\nmail FROM:<a@b>\r\nRcpt TO:<c@d>\r\nDATA\r\nhi\r\n.\r\n"
		     "RSET\r\nNOOP\r\nHELO x\r\nVRFY a\r\nwhat\r\n\r\nQUIT\r\nNOOP\r\n"),
		EHLO_SAYS "250 AUTH LOGIN PLAIN\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"
			  "354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 Ok: kept\r\n"
			  "250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n250 canned.example.test\r\n"
			  "252 2.0.0 Send some mail\r\n500 5.5.1 Unknown command\r\n"
			  "500 5.5.1 Unknown command\r\n221 2.0.0 Bye\r\n");
}

static void auth_is_a_dialogue_in_smtp(void **state)
{
	(void)state;
	expect_said(
		&plain_smtp,
		SPAN("AUTH LOGIN\r\ndXNlcg==\r\ncGFzcw==\r\nAUTH LOGIN dXNlcg==\r\nx\r\n"
		     "AUTH PLAIN\r\nAGEAYg==\r\nAUTH PLAIN AGEAYg==\r\n"
		     "AUTH LOGIN\r\n*\r\nAUTH LOGIN\r\nQUIT\r\n*\r\nAUTH CRAM-MD5\r\n"
		     "AUTH\r\nNOOP\r\n"),
		"334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n535 5.7.8 Authentication failed\r\n"
		"334 UGFzc3dvcmQ6\r\n535 5.7.8 Authentication failed\r\n"
		"334 \r\n535 5.7.8 Authentication failed\r\n"
		"535 5.7.8 Authentication failed\r\n"
		"334 VXNlcm5hbWU6\r\n501 5.5.2 Cancelled\r\n"
		"334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n501 5.5.2 Cancelled\r\n"
		"504 5.5.4 Not that way\r\n504 5.5.4 Not that way\r\n250 2.0.0 Ok\r\n");
	expect_said(&full_smtp, SPAN("AUTH PLAIN AGEAYg==\r\n"), "235 2.7.0 Ok\r\n");
}

static void starttls_is_offered_once_and_what_came_with_it_is_dropped(void **state)
{
	struct heard_all *h;
	static const char in[] = "EHLO x\r\nSTARTTLS\r\nMAIL FROM:<injected@b>\r\n";

	(void)state;
	h = talk(&full_smtp, span_str(in), 0, 4096);
	assert_true(h->tls);
	buf_byte(&h->said, '\0');
	assert_string_equal((char *)h->said.mem,
			    EHLO_SAYS "250-STARTTLS\r\n250 AUTH LOGIN PLAIN\r\n"
				      "220 2.0.0 Go ahead\r\n");
	free_heard(h);

	h = talk(&full_smtp, SPAN("STARTTLS\r\n"), 0, 4096);
	assert_true(h->tls);
	free_heard(h);
	expect_said(&plain_smtp, SPAN("STARTTLS\r\n"), "502 5.5.1 Not offered\r\n");

	struct answers a = { .secure = true };

	h = new_heard();
	assert_int_equal(feed(&full_smtp, &a, SPAN("EHLO x\r\nSTARTTLS\r\n"), h, 4096), 0);
	assert_false(h->tls);
	buf_byte(&h->said, '\0');
	assert_string_equal((char *)h->said.mem, EHLO_SAYS
			    "250 AUTH LOGIN PLAIN\r\n502 5.5.1 Not offered\r\n");
	free_heard(h);
}

static void imap_is_answered_with_the_tag(void **state)
{
	(void)state;
	expect_said(
		&imap,
		SPAN("a1 CAPABILITY\r\na2 LOGIN \"u\" \"p\"\r\na3 select INBOX\r\n"
		     "a4 NOOP\r\na5 STARTTLS\r\nwhat\r\n\r\n a6 NOOP\r\na7 WHAT\r\n"
		     "a8 IDLE\r\nDONE\r\na9 IDLE\r\na10 NOOP\r\nb LOGOUT\r\nc NOOP\r\n"),
		"* CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID IDLE AUTH=PLAIN AUTH=LOGIN\r\n"
		"a1 OK Done\r\n"
		"a2 NO [AUTHENTICATIONFAILED] Authentication failed\r\n"
		"* FLAGS (\\Seen)\r\n* 0 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 1] \r\n"
		"* OK [UIDNEXT 1] \r\na3 OK Done\r\na4 OK Done\r\na5 BAD Not offered\r\n"
		"what BAD Unknown command\r\n* BAD No tag\r\n* BAD No tag\r\n"
		"a7 BAD Unknown command\r\n+ idling\r\na8 OK Done\r\n"
		"+ idling\r\na9 BAD Not DONE\r\n* BYE\r\nb OK Done\r\n");
}

static void imap_takes_literals_in_the_middle_of_a_command(void **state)
{
	(void)state;
	expect_said(&imap,
		    SPAN("a LOGIN {4}\r\nu\r\nx {3+}\r\np\0p\r\nb NOOP\r\n"
			 "c LOGIN {0}\r\n {0}\r\n\r\nd LOGIN {99999999999999999999}\r\n"
			 "e LOGIN {}\r\nf NOOP {2+}\r\n\r\n\r\n"),
		    "+ Go ahead\r\na NO [AUTHENTICATIONFAILED] Authentication failed\r\n"
		    "b OK Done\r\n"
		    "+ Go ahead\r\n+ Go ahead\r\n"
		    "c NO [AUTHENTICATIONFAILED] Authentication failed\r\n"
		    "d NO [AUTHENTICATIONFAILED] Authentication failed\r\n"
		    "e NO [AUTHENTICATIONFAILED] Authentication failed\r\n"
		    "f OK Done\r\n");
}

static void imap_authenticates_both_ways(void **state)
{
	(void)state;
	expect_said(&full_imap,
		    SPAN("a AUTHENTICATE PLAIN\r\nAGEAYg==\r\nb AUTHENTICATE PLAIN AGEAYg==\r\n"
			 "c AUTHENTICATE LOGIN\r\nx\r\ny\r\nd AUTHENTICATE PLAIN\r\n*\r\n"
			 "e AUTHENTICATE GSSAPI\r\nf LOGIN a b\r\n"),
		    "+ \r\na OK Logged in\r\nb OK Logged in\r\n"
		    "+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\nc OK Logged in\r\n"
		    "+ \r\nd BAD Cancelled\r\ne BAD Not offered\r\nf OK Logged in\r\n");
}

static void a_tag_is_echoed_only_if_it_is_one(void **state)
{
	(void)state;
	expect_said(&imap, SPAN("a\0b NOOP\r\n\x1b[2J NOOP\r\n\xff NOOP\r\n"),
		    "* BAD No tag\r\n* BAD No tag\r\n* BAD No tag\r\n");
	expect_said(&imap, SPAN("12345678901234567890123 NOOP\r\n"),
		    "12345678901234567890123 OK Done\r\n");
	expect_said(&imap, SPAN("123456789012345678901234 NOOP\r\n"), "* BAD No tag\r\n");
}

static void pop3_is_answered(void **state)
{
	(void)state;
	expect_said(
		&pop3,
		SPAN("CAPA\r\nUSER a\r\nPASS b\r\nSTAT\r\nSTLS\r\nLIST\r\nwhat\r\n"
		     "AUTH PLAIN\r\nx\r\nAUTH PLAIN x\r\nAUTH X\r\nNOOP\r\nQUIT\r\n"),
		"+OK\r\nUSER\r\nUIDL\r\nPIPELINING\r\nSASL PLAIN LOGIN\r\n.\r\n+OK\r\n"
		"-ERR [AUTH] Authentication failed\r\n+OK 0 0\r\n-ERR Not offered\r\n"
		"+OK\r\n.\r\n-ERR Unknown command\r\n+ \r\n"
		"-ERR [AUTH] Authentication failed\r\n-ERR [AUTH] Authentication failed\r\n"
		"-ERR Not offered\r\n+OK\r\n+OK Bye\r\n");
	expect_said(&full_pop3, SPAN("CAPA\r\nPASS b\r\n"),
		    "+OK\r\nUSER\r\nUIDL\r\nPIPELINING\r\nSASL PLAIN LOGIN\r\nSTLS\r\n.\r\n"
		    "+OK Logged in\r\n");
}

static void chunks_are_bytes_whatever_they_look_like(void **state)
{
	struct heard_all *h;

	(void)state;
	for (size_t most = 0; most < 5; most++) {
		h = talk(&plain_smtp,
			 SPAN("BDAT 9\r\n\r\n.\r\n\0\r\nQBDAT 0\r\nBDAT 5 LAST\r\nQUIT\nNOOP\r\n"
			      "BDAT 0 LAST\r\nBDAT x\r\nBDAT\r\nBDAT -1\r\nBDAT 1 FIRST\r\n"
			      "BDAT 99999999999999999999 LAST\r\nNOOP\r\n"),
			 most, 4096);
		buf_byte(&h->said, '\0');
		assert_string_equal(
			(char *)h->said.mem,
			"250 2.0.0 Ok: chunk\r\n250 2.0.0 Ok: chunk\r\n250 2.0.0 Ok: kept\r\n"
			"250 2.0.0 Ok\r\n250 2.0.0 Ok: kept\r\n501 5.5.4 Not a chunk\r\n"
			"501 5.5.4 Not a chunk\r\n501 5.5.4 Not a chunk\r\n"
			"501 5.5.4 Not a chunk\r\n501 5.5.4 Not a chunk\r\n250 2.0.0 Ok\r\n");
		assert_true(span_eq(buf_span(&h->text),
				    SPAN("\r\n.\r\n\0\r\nQQUIT\n\xff\xff")));
		free_heard(h);
	}
}

static void what_was_begun_is_forgotten_by_what_begins_anew(void **state)
{
	struct heard_all *h = talk(&plain_smtp,
				   SPAN("BDAT 1\r\nxRSET\r\nBDAT 1\r\nxEHLO a\r\nBDAT 1\r\nx"
					"DATA\r\ny\r\n.\r\nRSET\r\n"),
				   0, 4096);

	(void)state;
	assert_int_equal(h->forgotten, 3);
	assert_int_equal(h->letters, 1);
	assert_true(span_eq(buf_span(&h->text), SPAN("y\r\n\xff")));
	free_heard(h);
}

static void only_the_real_end_of_data_is_one(void **state)
{
	static const struct {
		struct span sent, text;
	} rows[] = {
		{ SPAN_INIT(".\r\n"), SPAN_INIT("") },
		{ SPAN_INIT("\r\n.\r\n"), SPAN_INIT("\r\n") },
		{ SPAN_INIT("a\r\n.\r\n"), SPAN_INIT("a\r\n") },
		{ SPAN_INIT("..\r\n.\r\n"), SPAN_INIT("..\r\n") },
		{ SPAN_INIT(".\r\r\n.\r\n"), SPAN_INIT(".\r\r\n") },
		{ SPAN_INIT(".\r\n"), SPAN_INIT("") },
		{ SPAN_INIT("a\n.\nb\r\n.\r\n"), SPAN_INIT("a\n.\nb\r\n") },
		{ SPAN_INIT("a\r.\rb\r\n.\r\n"), SPAN_INIT("a\r.\rb\r\n") },
		{ SPAN_INIT("a\n.\r\nb\r\n.\r\n"), SPAN_INIT("a\n.\r\nb\r\n") },
		{ SPAN_INIT("a\r\n.\nb\r\n.\r\n"), SPAN_INIT("a\r\n.\nb\r\n") },
		{ SPAN_INIT("a\r\n.\rb\r\n.\r\n"), SPAN_INIT("a\r\n.\rb\r\n") },
		{ SPAN_INIT("a\r\r\n.\r\n"), SPAN_INIT("a\r\r\n") },
		{ SPAN_INIT("a\r\n.\r\r\n.\r\n"), SPAN_INIT("a\r\n.\r\r\n") },
		{ SPAN_INIT("\0\r\n\0.\r\n.\r\n"), SPAN_INIT("\0\r\n\0.\r\n") },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		for (size_t most = 0; most < 7; most++) {
			uint8_t mem[200], want[200];
			struct buf in, text;
			struct heard_all *h;

			buf_init(&in, mem, sizeof(mem));
			buf_put(&in, SPAN("DATA\r\n"));
			buf_put(&in, rows[i].sent);
			buf_put(&in, SPAN("QUIT\r\n"));
			buf_init(&text, want, sizeof(want));
			buf_put(&text, rows[i].text);
			buf_byte(&text, 0xff);
			h = talk(&plain_smtp, buf_span(&in), most, 4096);
			assert_int_equal(h->letters, 1);
			assert_true(h->closed);
			assert_true(span_eq(buf_span(&h->text), buf_span(&text)));
			free_heard(h);
		}
	}
}

static void a_line_is_too_long_wherever_it_is_cut(void **state)
{
	static char in[3 * ANSWERS_LINE];

	(void)state;
	for (size_t n = ANSWERS_LINE - 3; n < ANSWERS_LINE + 3; n++) {
		/* n bytes with the LF, then another command */
		bool fits = n <= ANSWERS_LINE;

		memset(in, 'x', n);
		memcpy(in, "NOOP ", 5);
		memcpy(in + n - 2, "\r\nRSET\r\n", 9);
		for (size_t most = 0; most < 5000; most = most * 7 + 1) {
			struct heard_all *h = talk(&plain_smtp, span_str(in), most, 4096);

			buf_byte(&h->said, '\0');
			assert_string_equal((char *)h->said.mem,
					    fits ? "250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n"
						 : "500 5.5.2 Line too long\r\n"
						   "250 2.0.0 Ok\r\n");
			free_heard(h);
		}
	}
}

static void a_message_that_is_too_large_is_refused_and_forgotten(void **state)
{
	enum { PIECE = 1 << 20 };
	uint8_t *piece = malloc(PIECE), out_mem[1024];
	struct answers a = { .secure = false };
	uint64_t told = 0;
	bool forgotten = false;
	struct span in = SPAN("DATA\r\n");
	struct buf out;

	(void)state;
	memset(piece, 'x', PIECE);
	buf_init(&out, out_mem, sizeof(out_mem));
	for (int i = 0; i < 70; i++) {
		struct answers_event ev;

		while ((ev = answers_next(&plain_smtp, &a, &in, &out)).heard !=
		       HEARD_MORE) {
			if (ev.heard == HEARD_TEXT)
				told += ev.text.n;
			else if (ev.heard == HEARD_FORGET)
				forgotten = true;
			else
				fail_msg("event %d", (int)ev.heard);
		}
		in = span_of(piece, PIECE);
	}
	assert_true(forgotten);
	assert_int_equal(told, ANSWERS_SIZE);
	buf_reset(&out);
	in = SPAN("\r\n.\r\nNOOP\r\n");
	assert_int_equal(answers_next(&plain_smtp, &a, &in, &out).heard, HEARD_MORE);
	assert_true(
		span_eq(buf_span(&out), SPAN("552 5.3.4 Too large\r\n250 2.0.0 Ok\r\n")));
	free(piece);
}

/* Chosen from what is likely to hurt. */
static void put_random(struct rng *r, struct buf *out)
{
	static const char *const words[] = { "\r",
					     "\n",
					     "\r\n",
					     ".",
					     "\r\n.\r\n",
					     "\r\n.\r",
					     "\0",
					     "x",
					     "EHLO a\r\n",
					     "DATA\r\n",
					     "RSET\r\n",
					     "BDAT 3\r\n",
					     "BDAT 4 LAST\r\n",
					     "AUTH LOGIN\r\n",
					     "AUTH PLAIN x\r\n",
					     "*\r\n",
					     "MAIL FROM:<a@b>\r\n",
					     "NOOP\r\n",
					     "BDAT 9999\r\n",
					     "a NOOP\r\n",
					     "b LOGIN {3}\r\n",
					     "c LOGIN {2+}\r\n",
					     " {1}\r\n",
					     "d IDLE\r\n",
					     "DONE\r\n",
					     "e AUTHENTICATE PLAIN\r\n",
					     "f SELECT x\r\n",
					     "PASS x\r\n",
					     "\xff" };

	for (uint64_t n = rng_below(r, 60) + 1; n > 0; n--) {
		size_t i = (size_t)rng_below(r, COUNT_OF(words));
		const char *word = words[i];

		buf_put(out, span_of(word, *word ? strlen(word) : 1));
		if (rng_below(r, 200) == 0)
			for (int x = 0; x < 5000; x++)
				buf_byte(out, 'y');
	}
}

static void answers_do_not_depend_on_how_the_input_was_chopped(void **state)
{
	static uint8_t mem[400000];

	(void)state;
	for (uint64_t seed = 0; seed < 600; seed++) {
		struct answers_kind k = { .speaks = (enum speaks)(seed % 3),
					  .takes_passwords = seed % 2 };
		struct rng r = rng_of(seed, 7, 0);
		struct heard_all *one, *chopped;
		struct buf in;

		buf_init(&in, mem, sizeof(mem));
		put_random(&r, &in);
		assert_false(in.full);
		one = talk(&k, buf_span(&in), 0, 4096);
		for (size_t most = 1; most < 5000; most = most * 9 + 1) {
			/* also with so little room that it is often full */
			chopped = talk(&k, buf_span(&in), most, ANSWERS_ROOM + most);
			assert_true(
				span_eq(buf_span(&one->said), buf_span(&chopped->said)));
			assert_true(
				span_eq(buf_span(&one->text), buf_span(&chopped->text)));
			assert_int_equal(one->letters, chopped->letters);
			free_heard(chopped);
		}
		free_heard(one);
	}
}

/* One answer must fit into what HEARD_FULL promises. */
static void no_answer_is_larger_than_its_room(void **state)
{
	(void)state;
	for (int speaks = 0; speaks < 3; speaks++) {
		struct answers_kind k = { .speaks = (enum speaks)speaks, .tls = true };
		static const char *const lines[] = {
			"EHLO x\r\n",
			"CAPA\r\n",
			"12345678901234567890123 CAPABILITY\r\n",
			"12345678901234567890123 SELECT x\r\n",
			"12345678901234567890123 LOGOUT\r\n",
			"12345678901234567890123 LOGIN a b\r\n",
		};

		for (size_t i = 0; i < COUNT_OF(lines); i++) {
			struct heard_all *h = talk(&k, span_str(lines[i]), 0,
						   ANSWERS_ROOM);

			assert_in_range(h->said.len, 1, ANSWERS_ROOM);
			free_heard(h);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smtp_is_answered_as_the_words_come),
		cmocka_unit_test(auth_is_a_dialogue_in_smtp),
		cmocka_unit_test(starttls_is_offered_once_and_what_came_with_it_is_dropped),
		cmocka_unit_test(imap_is_answered_with_the_tag),
		cmocka_unit_test(imap_takes_literals_in_the_middle_of_a_command),
		cmocka_unit_test(imap_authenticates_both_ways),
		cmocka_unit_test(a_tag_is_echoed_only_if_it_is_one),
		cmocka_unit_test(pop3_is_answered),
		cmocka_unit_test(chunks_are_bytes_whatever_they_look_like),
		cmocka_unit_test(what_was_begun_is_forgotten_by_what_begins_anew),
		cmocka_unit_test(only_the_real_end_of_data_is_one),
		cmocka_unit_test(a_line_is_too_long_wherever_it_is_cut),
		cmocka_unit_test(a_message_that_is_too_large_is_refused_and_forgotten),
		cmocka_unit_test(answers_do_not_depend_on_how_the_input_was_chopped),
		cmocka_unit_test(no_answer_is_larger_than_its_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
