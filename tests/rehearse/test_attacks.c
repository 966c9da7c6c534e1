/*
 * Does each attack find the server that has the flaw it looks for, and leave one that has none in
 * peace? The dialogues that come with the program are played against a small server made of flaws,
 * without sockets and without time.
 */
#include "../unit/expect.h"

#include <ctype.h>
#include <string.h>

#include "base/number.h"
#include "rehearse/scenario.h"
#include "rehearse/visit.h"

#define LINE_MOST 2048
#define CUT_AT	  512 /* of FLAW_CUTS_LINES */
#define ROOM	  (256 << 10)
#define PLAY_MOST ((ms_t)60 * MS_SECOND)

enum flaw {
	FLAW_NONE = 0,
	FLAW_RELAYS = 1u << 0,		/* takes mail for others */
	FLAW_KNOWS_EVERYBODY = 1u << 1, /* takes mail for who does not exist */
	FLAW_ANY_PASSWORD = 1u << 2,	/* is right */
	FLAW_CUTS_LINES = 1u << 3,	/* what is longer is several commands */
	FLAW_WRAPS = 1u << 4,		/* the size of a chunk has 64 bits */
	FLAW_SIGNED = 1u << 5,		/* it may be negative */
	FLAW_READS_CHUNK = 1u << 6,	/* one that was refused is commands */
	FLAW_MIXES = 1u << 7,		/* DATA behind BDAT */
	FLAW_REMEMBERS = 1u << 8,	/* what came before TLS is answered inside it */
	FLAW_PATIENT = 1u << 9, /* goes on after any number of errors, and behind POST */
	FLAW_UNTIDY = 1u << 10, /* a wrong end of data refuses the message, and ends it */
};

/* A server of few words. */
struct fool {
	unsigned flaws;
	struct span end; /* of a message, besides the right one; or none */
	enum speaks speaks;
	bool mail, rcpt, chunked, data, tls, skips_line, gone;
	int auth; /* answers that are still to come */
	unsigned errors, accepted;
	uint64_t chunk; /* bytes that are still to come */
	bool last, refused;
	struct buf in, out;
};

static uint8_t in_mem[ROOM], out_mem[ROOM], sent_mem[EXPAND_MAX * 2];

static void say(struct fool *f, const char *reply)
{
	buf_put(&f->out, span_str(reply));
	buf_put(&f->out, SPAN("\r\n"));
	f->errors += reply[0] == '5';
	if (f->out.len > ROOM / 2) { /* to who does not read */
		f->gone = true;
		return;
	}
	if (f->errors == 10 && !(f->flaws & FLAW_PATIENT)) {
		buf_put(&f->out, SPAN("421 enough\r\n"));
		f->gone = true;
	}
}

static void fool_open(struct fool *f, unsigned flaws, struct span end, enum speaks speaks)
{
	*f = (struct fool){ .flaws = flaws, .end = end, .speaks = speaks };
	buf_init(&f->in, in_mem, sizeof(in_mem));
	buf_init(&f->out, out_mem, sizeof(out_mem));
	say(f, speaks == SPEAKS_IMAP   ? "* OK hello"
	       : speaks == SPEAKS_POP3 ? "+OK hello"
				       : "220 hello");
}

static void forget(struct fool *f)
{
	f->mail = f->rcpt = f->chunked = false;
}

static bool is_here(struct span line, const char *what)
{
	char text[LINE_MOST + 1];

	snprintf(text, sizeof(text), "%.*s", SPAN_ARG(line));
	return strstr(text, what) != NULL;
}

static void rcpt(struct fool *f, struct span line)
{
	if (!f->mail)
		say(f, "503 MAIL first");
	else if (!is_here(line, "@example.test>") && !(f->flaws & FLAW_RELAYS))
		say(f, "554 no relaying");
	else if (!is_here(line, "<alice@") && !(f->flaws & FLAW_KNOWS_EVERYBODY) &&
		 is_here(line, "@example.test>"))
		say(f, "550 no such user");
	else {
		f->rcpt = true;
		say(f, "250 ok");
	}
}

static void bdat(struct fool *f, struct span args)
{
	struct span size = span_cut(&args, ' ');
	bool negative = size.n && size.p[0] == '-' && f->flaws & FLAW_SIGNED;
	uint64_t n = 0;

	if (f->flaws & FLAW_WRAPS) {
		for (size_t i = 0; i < size.n && isdigit(size.p[i]); i++)
			n = n * 10 + size.p[i] - '0';
	} else if (negative) {
		n = 0;
	} else if (!number_parse(size, INT64_MAX, &n)) {
		say(f, "501 what size?");
		return;
	}
	f->refused = !f->rcpt;
	f->last = args.n > 0;
	f->chunk = n;
	if (f->refused && f->flaws & FLAW_READS_CHUNK) {
		f->chunk = 0;
		say(f, "503 RCPT first");
	} else if (n == 0) {
		f->accepted += f->last;
		say(f, f->refused ? "503 RCPT first" : "250 ok");
	}
}

static void take_chunk(struct fool *f)
{
	size_t n = f->chunk < f->in.len ? (size_t)f->chunk : f->in.len;

	buf_drop(&f->in, n);
	f->chunk -= n;
	if (f->chunk)
		return;
	f->accepted += !f->refused && f->last;
	f->chunked = !f->refused && !f->last;
	say(f, f->refused ? "503 RCPT first" : "250 ok");
}

static void smtp_line(struct fool *f, struct span line)
{
	struct span args = line, verb = span_cut(&args, ' ');

	if (f->auth) {
		f->auth--;
		say(f, f->auth			      ? "334 UGFzc3dvcmQ6"
		       : f->flaws & FLAW_ANY_PASSWORD ? "235 welcome"
						      : "535 no");
	} else if (span_eq(verb, SPAN("EHLO"))) {
		forget(f);
		say(f, "250 hello");
	} else if (span_eq(verb, SPAN("MAIL"))) {
		f->mail = true;
		say(f, "250 ok");
	} else if (span_eq(verb, SPAN("RCPT"))) {
		rcpt(f, args);
	} else if (span_eq(verb, SPAN("DATA"))) {
		f->data = f->rcpt && (!f->chunked || f->flaws & FLAW_MIXES);
		say(f, f->data ? "354 go on" : "503 not now");
	} else if (span_eq(verb, SPAN("BDAT"))) {
		bdat(f, args);
	} else if (span_eq(verb, SPAN("AUTH"))) {
		f->auth = span_eq(args, SPAN("LOGIN")) ? 2 : 0;
		say(f, f->auth ? "334 VXNlcm5hbWU6" : "504 what?");
	} else if (span_eq(verb, SPAN("STARTTLS"))) {
		f->tls = true;
		say(f, "220 go ahead");
	} else if (span_eq(verb, SPAN("NOOP")) || span_eq(verb, SPAN("RSET"))) {
		say(f, "250 ok");
	} else if (span_eq(verb, SPAN("QUIT"))) {
		say(f, "221 bye");
		f->gone = true;
	} else {
		say(f, "500 what?");
		f->gone |= span_eq(verb, SPAN("POST")) && !(f->flaws & FLAW_PATIENT);
	}
}

static void imap_line(struct fool *f, struct span line)
{
	struct span args = line, tag = span_cut(&args, ' '), verb = span_cut(&args, ' ');
	bool good = !span_eq(verb, SPAN("LOGIN")) || f->flaws & FLAW_ANY_PASSWORD;

	buf_put(&f->out, tag);
	say(f, good ? " OK" : " NO");
}

static void pop3_line(struct fool *f, struct span line)
{
	bool good = !span_starts(line, SPAN("PASS ")) || f->flaws & FLAW_ANY_PASSWORD;

	say(f, good ? "+OK" : "-ERR no");
}

static size_t find(struct span in, struct span what)
{
	for (size_t i = 0; i + what.n <= in.n; i++)
		if (span_eq(span_of(in.p + i, what.n), what))
			return i;
	return SIZE_MAX;
}

/* True if the message has ended. */
static bool take_data(struct fool *f)
{
	struct span in = buf_span(&f->in), right = SPAN("\r\n.\r\n");
	size_t at = find(in, right), odd = f->end.n ? find(in, f->end) : SIZE_MAX;
	bool other = odd < at;

	if (span_starts(in, SPAN(".\r\n"))) { /* an empty message */
		at = 0;
		right = SPAN(".\r\n");
	}
	if (at == SIZE_MAX && odd == SIZE_MAX)
		return false;
	buf_drop(&f->in, other ? odd + f->end.n : at + right.n);
	f->data = false;
	forget(f);
	f->accepted++;
	say(f, other && f->flaws & FLAW_UNTIDY ? "550 not like that" : "250 ok");
	return true;
}

/* One line, or a piece of one; false: there is none. */
static bool take_line(struct fool *f)
{
	size_t most = f->flaws & FLAW_CUTS_LINES ? CUT_AT : LINE_MOST;
	struct span in = buf_span(&f->in);
	size_t at = find(span_head(in, most), SPAN("\r\n"));
	uint8_t mem[LINE_MOST];
	struct span line;

	if (at == SIZE_MAX && in.n < most)
		return false;
	line = span_of(mem, at == SIZE_MAX ? most : at);
	memcpy(mem, in.p, line.n);
	buf_drop(&f->in, at == SIZE_MAX ? most : at + 2);
	if (at == SIZE_MAX && !(f->flaws & FLAW_CUTS_LINES)) {
		f->skips_line = true;
	} else if (f->skips_line) {
		f->skips_line = false;
		say(f, "500 too long");
	} else if (f->speaks == SPEAKS_IMAP) {
		imap_line(f, line);
	} else if (f->speaks == SPEAKS_POP3) {
		pop3_line(f, line);
	} else {
		smtp_line(f, line);
	}
	return true;
}

static void fool_hears(struct fool *f, struct span bytes)
{
	if (f->tls && bytes.n) { /* this is no handshake */
		f->gone = true;
		return;
	}
	buf_put(&f->in, bytes);
	assert_false(f->in.full);
	while (!f->gone && !f->tls && f->in.len) {
		if (f->chunk)
			take_chunk(f);
		else if (f->data ? !take_data(f) : !take_line(f))
			break;
	}
	assert_false(f->out.full);
}

/* Both are inside TLS from here on. Not if it had not said so: it does not renegotiate. */
static bool fool_shakes_hands(struct fool *f)
{
	if (!f->tls)
		return false;
	if (!(f->flaws & FLAW_REMEMBERS))
		buf_reset(&f->in);
	f->tls = false;
	fool_hears(f, SPAN_NONE);
	return true;
}

/* How one visit went. */
struct outcome {
	bool breach;
	enum end end;
	unsigned accepted;
	char text[120];
};

static struct outcome play(const struct scenario *s, const struct actor *a,
			   unsigned flaws, struct span end)
{
	static const struct span alice = SPAN_INIT("alice@example.test");
	static const struct span login = SPAN_INIT("alice@example.test:secret");
	struct pool pool = { .lists = s->lists,
			     .lists_n = s->lists_n,
			     .values = a->values,
			     .values_n = a->values_n,
			     .domain = SPAN("example.test"),
			     .recipients = &alice,
			     .recipients_n = 1,
			     .logins = &login,
			     .logins_n = 1,
			     .seed = 7 };
	struct visitor who = { .from = "127.1.2.3", .to = "127.0.0.1", .to_port = 25 };
	struct outcome result = { 0 };
	enum visit_in_kind what = VISIT_CONNECTED;
	struct visit v;
	struct fool f;
	ms_t now = 0;

	who.rng = rng_of(7, 7, 7);
	fool_open(&f, flaws, end, service_speaks(a->service));
	visit_init(&v, &a->script, &pool, f.speaks, a->patience);
	while (!v.over && !result.breach) {
		struct buf sent;
		struct visit_out out = { .out = &sent };
		bool waits;

		buf_init(&sent, sent_mem, sizeof(sent_mem));
		visit_step(&v, &who, what, buf_span(&f.out), now++, &out);
		buf_drop(&f.out, out.used);
		if (out.heard.breach) {
			result.breach = true;
			memcpy(result.text, out.breach, sizeof(result.text));
		}
		waits = sent.len == 0 && !out.again && !(out.orders & VISIT_DO_TLS);
		what = sent.len ? VISIT_SENT : VISIT_BYTES;
		if (sent.len && !f.gone)
			fool_hears(&f, buf_span(&sent));
		if (out.orders & VISIT_DO_TLS)
			what = fool_shakes_hands(&f) ? VISIT_TLS_DONE : VISIT_TLS_FAILED;
		if (waits && !v.over) {
			/* nothing more comes by itself */
			now = v.deadline < PLAY_MOST ? v.deadline : PLAY_MOST;
			what = f.gone ? VISIT_EOF : VISIT_TIME;
		}
		if (now >= PLAY_MOST)
			what = VISIT_PHASE_OVER;
	}
	result.end = (enum end)v.end;
	result.accepted = f.accepted;
	return result;
}

static struct scenario *shipped(const char *name)
{
	struct scenario *s;
	char path[300];
	struct err e;

	snprintf(path, sizeof(path), SOURCE_ROOT "/rehearse/scenarios/%s.conf", name);
	if (!scenario_open(&s, path, SOURCE_ROOT "/rehearse/honest", NULL, &e))
		fail_msg("%s", e.text);
	return s;
}

static const struct actor *actor_of(const struct scenario *s, const char *name)
{
	for (size_t i = 0; i < s->actors_n; i++)
		if (strcmp(s->actors[i].name, name) == 0)
			return &s->actors[i];
	fail_msg("there is no %s in %s", name, s->path);
	return NULL;
}

static void each_flaw_is_found(void **unused)
{
	static const struct {
		const char *scenario, *actor;
		unsigned flaws;
	} rows[] = {
		{ "a1-auth-slots", "guesser", FLAW_ANY_PASSWORD },
		{ "a1-auth-slots", "guessers", FLAW_ANY_PASSWORD },
		{ "a1-slots", "guesser", FLAW_ANY_PASSWORD },
		{ "a2b-stale-password", "devices", FLAW_ANY_PASSWORD },
		{ "a4-relay-bots", "bots", FLAW_RELAYS },
		{ "a5-dictionary", "harvesters", FLAW_KNOWS_EVERYBODY },
		{ "a7-distributed-guessing", "few", FLAW_ANY_PASSWORD },
		{ "a7-distributed-guessing", "many", FLAW_ANY_PASSWORD },
		{ "a7-mailbox-guessing", "imap", FLAW_ANY_PASSWORD },
		{ "a7-mailbox-guessing", "pop3", FLAW_ANY_PASSWORD },
		{ "a8-prefix-guessing", "prefix", FLAW_ANY_PASSWORD },
		{ "a12-floods", "long-line", FLAW_CUTS_LINES | FLAW_PATIENT },
		{ "a12-bdat", "overflow", FLAW_WRAPS },
		{ "a12-bdat", "negative", FLAW_SIGNED },
		{ "a12-bdat", "no-mail", FLAW_READS_CHUNK },
		{ "a12-bdat", "then-data", FLAW_MIXES },
		{ "a12-tls", "inject-rset", FLAW_REMEMBERS },
		{ "a12-tls", "inject-noop", FLAW_REMEMBERS },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct scenario *s = shipped(rows[i].scenario);
		const struct actor *a = actor_of(s, rows[i].actor);

		expect_true(rows[i].actor, play(s, a, rows[i].flaws, SPAN_NONE).breach);
		expect_false(rows[i].actor, play(s, a, FLAW_NONE, SPAN_NONE).breach);
		scenario_close(&s);
	}
}

/* clang-format off */
static const struct {
	const char *actor;
	struct span end;
} forms[] = {
	{ "lf-dot-lf",         SPAN_INIT("\n.\n") },
	{ "lf-dot-crlf",       SPAN_INIT("\n.\r\n") },
	{ "crlf-dot-lf",       SPAN_INIT("\r\n.\n") },
	{ "cr-dot-cr",         SPAN_INIT("\r.\r") },
	{ "cr-dot-crlf",       SPAN_INIT("\r.\r\n") },
	{ "crlf-dot-cr",       SPAN_INIT("\r\n.\r") },
	{ "cr-dot-lf",         SPAN_INIT("\r.\n") },
	{ "lf-dot-cr",         SPAN_INIT("\n.\r") },
	{ "crlf-nul-dot-crlf", SPAN_INIT("\r\n\0.\r\n") },
};
/* clang-format on */

static void each_end_of_data_that_is_none_is_found(void **unused)
{
	struct scenario *s = shipped("a12-smuggling");

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(forms); i++) {
		const struct actor *a = actor_of(s, forms[i].actor);
		struct outcome o = play(s, a, FLAW_NONE, forms[i].end);

		expect_true(forms[i].actor, o.breach);
		/* also if the message before it is refused, which does not help */
		o = play(s, a, FLAW_UNTIDY, forms[i].end);
		expect_true(forms[i].actor, o.breach);
		/* and a server that is right takes one message, and refuses what comes behind it */
		o = play(s, a, FLAW_NONE, SPAN_NONE);
		expect_false(forms[i].actor, o.breach);
		assert_int_equal(o.accepted, 1);
		assert_int_equal(o.end, END_NO);
	}
	scenario_close(&s);
}

/* Who takes one form for the end is found by that form, and by those that end with it. */
static void each_form_is_told_from_the_others(void **unused)
{
	struct scenario *s = shipped("a12-smuggling");

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(forms); i++)
		for (size_t k = 0; k < COUNT_OF(forms); k++) {
			bool same = span_eq(span_tail(forms[i].end, forms[k].end.n),
					    forms[k].end);
			struct outcome o = play(s, actor_of(s, forms[i].actor), FLAW_NONE,
						forms[k].end);

			expect_true(forms[i].actor, o.breach == same);
		}
	scenario_close(&s);
}

static void a_server_without_flaws_breaks_nothing_and_gives_nobody_what_they_came_for(
	void **unused)
{
	/* who delivers where that is allowed, or was let in by nothing but patience */
	static const char *const may[] = { "hasty", "flood", "thieves", "storm" };
	static const char *const names[] = {
		"a1-auth-silent",
		"a1-auth-slots",
		"a1-slots",
		"a2b-stale-password",
		"a4-relay-bots",
		"a5-dictionary",
		"a6-idle",
		"a6-imap",
		"a6-reconnect-storm",
		"a6-small",
		"a6-states",
		"a7-distributed-guessing",
		"a7-mailbox-guessing",
		"a8-prefix-guessing",
		"a9-machine-gun",
		"a10-early-talkers",
		"a12-bdat",
		"a12-floods",
		"a12-http",
		"a12-recipients",
		"a12-smuggling",
		"a12-tls",
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct scenario *s = shipped(names[i]);

		for (size_t k = 0; k < s->actors_n; k++) {
			const struct actor *a = &s->actors[k];
			bool allowed = a->honest;
			struct outcome o;

			for (size_t m = 0; m < COUNT_OF(may); m++)
				allowed |= strcmp(a->name, may[m]) == 0;
			if (a->honest)
				continue;
			o = play(s, a, FLAW_NONE, SPAN_NONE);
			if (o.breach)
				fail_msg("%s, %s: %s", names[i], a->name, o.text);
			if (!allowed && a->script.has_done && o.end == END_DONE)
				fail_msg("%s, %s: done", names[i], a->name);
		}
		scenario_close(&s);
	}
}

static void a_message_comes_out_of_a_web_form_only_at_a_patient_server(void **unused)
{
	struct scenario *s = shipped("a12-http");
	const struct actor *a = actor_of(s, "form");
	struct outcome o = play(s, a, FLAW_PATIENT, SPAN_NONE);

	(void)unused;
	assert_int_equal(o.accepted, 1);
	assert_int_equal(o.end, END_DONE);
	scenario_close(&s);
}

static void honest_clients_get_through_and_take_no_for_an_answer(void **unused)
{
	static const char *const names[] = { "regular", "newcomer", "relay-odd-helo",
					     "list-server", "probe" };
	struct scenario *s = shipped("a4-relay-bots");

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		const struct actor *a = actor_of(s, names[i]);
		struct outcome o = play(s, a, FLAW_NONE, SPAN_NONE);

		expect_false(names[i], o.breach);
		assert_int_equal(o.end, END_DONE);
		assert_int_equal(o.accepted, strcmp(names[i], "probe") != 0);
	}
	scenario_close(&s);
	s = shipped("a2b-stale-password");
	assert_int_equal(play(s, actor_of(s, "phone"), FLAW_NONE, SPAN_NONE).end,
			 END_DONE);
	assert_int_equal(
		play(s, actor_of(s, "traveller"), FLAW_ANY_PASSWORD, SPAN_NONE).end,
		END_DONE);
	assert_int_equal(play(s, actor_of(s, "traveller"), FLAW_NONE, SPAN_NONE).end,
			 END_NO);
	scenario_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_flaw_is_found),
		cmocka_unit_test(each_end_of_data_that_is_none_is_found),
		cmocka_unit_test(each_form_is_told_from_the_others),
		cmocka_unit_test(
			a_server_without_flaws_breaks_nothing_and_gives_nobody_what_they_came_for),
		cmocka_unit_test(
			a_message_comes_out_of_a_web_form_only_at_a_patient_server),
		cmocka_unit_test(honest_clients_get_through_and_take_no_for_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
