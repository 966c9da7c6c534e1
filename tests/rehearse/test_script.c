#include "expect.h"

#include <math.h>

#include "base/attr.h"
#include "base/number.h"
#include "rehearse/script.h"

/* ---- what there is to draw from ---- */

static struct span color_items[] = { SPAN_INIT("red"), SPAN_INIT("green"),
				     SPAN_INIT("blue") };
static struct span rare_items[] = { SPAN_INIT("often"), SPAN_INIT("never"),
				    SPAN_INIT("rare") };
static unsigned rare_weights[] = { 9, 0, 1 };
static struct span one_item[] = { SPAN_INIT("one") };
static struct span maybe_items[] = { SPAN_INIT(""), SPAN_INIT("x") };
static unsigned no_weights[] = { 0 };

static const struct words lists[] = {
	{ .name = "color", .items = color_items, .n = 3 },
	{ .name = "rare", .items = rare_items, .weights = rare_weights, .total = 10, .n = 3 },
	{ .name = "one", .items = one_item, .n = 1 },
	{ .name = "maybe", .items = maybe_items, .n = 2 },
	{ .name = "empty" },
	{ .name = "weightless", .items = one_item, .weights = no_weights, .n = 1 },
};

static struct span each_items[] = { SPAN_INIT("{random 12}") };
static struct span helo_items[] = { SPAN_INIT("{color}.{random 6}.example"),
				    SPAN_INIT("{address}") };
static struct span pair_items[] = { SPAN_INIT("{login}/{password}/{visit}/{helo}") };
static struct span mine_items[] = { SPAN_INIT("{login}") };
static struct span secret_items[] = { SPAN_INIT("{password}") };

static const struct value values[] = {
	{ { .name = "each", .items = each_items, .n = 1 }, DRAW_EACH },
	{ { .name = "visit", .items = each_items, .n = 1 }, DRAW_VISIT },
	{ { .name = "helo", .items = helo_items, .n = 2 }, DRAW_ADDRESS },
	{ { .name = "pair", .items = pair_items, .n = 1 }, DRAW_EACH },
	{ { .name = "mine", .items = mine_items, .n = 1 }, DRAW_ADDRESS },
	{ { .name = "secret", .items = secret_items, .n = 1 }, DRAW_ADDRESS },
};

static const struct span recipients[] = { SPAN_INIT("a@here.example"),
					  SPAN_INIT("b@here.example") };
static const struct span logins[] = { SPAN_INIT("ann:1"), SPAN_INIT("bob:2:2"),
				      SPAN_INIT("cleo:3"), SPAN_INIT("dan:4") };

static const struct pool pool = {
	.lists = lists,
	.lists_n = COUNT_OF(lists),
	.values = values,
	.values_n = COUNT_OF(values),
	.domain = SPAN_INIT("here.example"),
	.recipients = recipients,
	.recipients_n = COUNT_OF(recipients),
	.logins = logins,
	.logins_n = COUNT_OF(logins),
	.seed = 1,
};

static struct visitor visitor(uint64_t visit, uint64_t address)
{
	return (struct visitor){ .actor = 2,
				 .visit = visit,
				 .address = address,
				 .from = "127.1.2.3",
				 .from_port = 4321,
				 .to = "::1",
				 .to_port = 25,
				 .rng = rng_of(1, 1, visit) };
}

static size_t split(char *text, const char **lines)
{
	size_t n = 0;

	while (text) {
		lines[n++] = text;
		text = strchr(text, '|');
		if (text)
			*text++ = '\0';
	}
	return n;
}

static struct script open_lines(const char *dialogue, enum speaks speaks)
{
	char copy[4000];
	const char *lines[STEPS_MAX];
	struct script s;
	struct err e;

	snprintf(copy, sizeof(copy), "%s", dialogue);
	if (!script_open(&s, lines, split(copy, lines), speaks, &pool, &e))
		fail_msg("%s: %s", dialogue, e.text);
	return s;
}

/* What the first step of a dialogue sends. */
static struct span expand(const char *dialogue, struct visitor *who, struct buf *out)
{
	struct script s = open_lines(dialogue, SPEAKS_SMTP);
	size_t before = out->len;

	script_expand(&s.steps[0], &pool, who, out);
	expect_true(dialogue, !out->full && out->len - before <= s.steps[0].most);
	script_close(&s);
	return span_skip(buf_span(out), before);
}

/* ---- texts ---- */

/* clang-format off */
static const struct {
	const char *why, *line;
	struct span text;
} texts[] = {
	{ "send ends the line",          "send NOOP",             SPAN_INIT("NOOP\r\n") },
	{ "send can be empty",           "send",                  SPAN_INIT("\r\n") },
	{ "all spaces but one count",    "send  a b ",            SPAN_INIT(" a b \r\n") },
	{ "send has no escapes",         "send a\\r\\x41",        SPAN_INIT("a\\r\\x41\r\n") },
	{ "raw does not end the line",   "raw NOOP",              SPAN_INIT("NOOP") },
	{ "raw has escapes",             "raw \\r\\n\\t\\\\\\x41\\xff", SPAN_INIT("\r\n\t\\A\xff") },
	{ "the time is no text",         "drip 3s a b",           SPAN_INIT("a b") },
	{ "the size is no text",         "fill 1m a\\n",          SPAN_INIT("a\n") },
	{ "NUL is a byte",               "raw a\\0b\\x00c",       SPAN_INIT("a\0b\0c") },
	{ "\\0 takes no more digits",    "raw \\012",             SPAN_INIT("\00012") },
	{ "hex digits may be large",     "raw \\xAf\\xfA",        SPAN_INIT("\xaf\xfa") },
	{ "a brace",                     "raw a {{5}",            SPAN_INIT("a {5}") },
	{ "two braces",                  "raw {{{{n}}",           SPAN_INIT("{{n}}") },
	{ "an escape makes no value",    "raw \\x7bn}",           SPAN_INIT("{n}") },
	{ "a lone } is a }",             "raw a}",                SPAN_INIT("a}") },
	{ "the number of the visit",     "raw {n}",               SPAN_INIT("77") },
	{ "where it comes from",         "raw {address}:{port}",  SPAN_INIT("127.1.2.3:4321") },
	{ "where it goes",               "raw {to}:{to-port}",    SPAN_INIT("::1:25") },
	{ "the domain",                  "send EHLO {domain}",    SPAN_INIT("EHLO here.example\r\n") },
	{ "a number of one",             "raw {number 7 7}",      SPAN_INIT("7") },
	{ "a list of one",               "raw <{one}>",           SPAN_INIT("<one>") },
	{ "base64",                      "raw {base64 a\\0b}",    SPAN_INIT("YQBi") },
	{ "base64 in send",              "send {base64 \\xff}",   SPAN_INIT("/w==\r\n") },
	{ "base64 of values",            "raw {base64 \\0{n}\\0{domain}}x", SPAN_INIT("ADc3AGhlcmUuZXhhbXBsZQ==x") },
	{ "base64 of base64",            "raw {base64 {base64 {base64 x}}}", SPAN_INIT("WlVFOVBRPT0=") },
	{ "base64 of a brace",           "raw {base64 {{\\x7d}",  SPAN_INIT("e30=") },
	{ "base64 of nothing",           "raw a{base64 }b",       SPAN_INIT("ab") },
	{ "bytes above 127",             "raw \xc3\xa9",          SPAN_INIT("\xc3\xa9") },
};
/* clang-format on */

static void texts_become_what_they_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct visitor who = visitor(77, 5);
		BUF(out, 1000);

		expect_span(texts[i].why, expand(texts[i].line, &who, &out),
			    texts[i].text);
	}
}

static void what_does_not_vary_is_there_as_it_is_sent(void **state)
{
	struct script s = open_lines("send EHLO {{x}|send EHLO {n}", SPEAKS_SMTP);

	(void)state;
	expect_false("the first", s.steps[0].varies);
	expect_span("its text", s.steps[0].text, SPAN("EHLO {x}\r\n"));
	expect_true("the second", s.steps[1].varies);
	script_close(&s);
}

static size_t count(struct span text, uint8_t low, uint8_t high)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] >= low && text.p[i] <= high;
	return n;
}

static void random_things_have_their_length_and_their_letters(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 300; n++) {
		struct visitor who = visitor(n, 5);
		char line[40];
		struct span text;
		BUF(out, 1000);

		snprintf(line, sizeof(line), "raw {random %u}", n);
		text = expand(line, &who, &out);
		expect_number(line, (int64_t)text.n, n);
		expect_number(line, (int64_t)count(text, 'a', 'z'), n);
		snprintf(line, sizeof(line), "raw {digits %u}", n);
		text = expand(line, &who, &out);
		expect_number(line, (int64_t)text.n, n);
		expect_number(line, (int64_t)count(text, '0', '9'), n);
	}
}

static void all_letters_come_about_equally_often(void **state)
{
	struct visitor who = visitor(1, 1);
	unsigned letters[256] = { 0 };
	static uint8_t mem[30000];
	struct span text;
	struct buf out;

	(void)state;
	buf_init(&out, mem, sizeof(mem));
	text = expand("raw {random 5200}{digits 2000}", &who, &out);
	for (size_t i = 0; i < text.n; i++)
		letters[text.p[i]]++;
	for (unsigned b = 'a'; b <= 'z'; b++)
		expect_true("a letter", letters[b] > 140 && letters[b] < 260);
	for (unsigned b = '0'; b <= '9'; b++)
		expect_true("a digit", letters[b] > 140 && letters[b] < 260);
}

static void numbers_reach_both_ends_and_not_beyond(void **state)
{
	bool seen[10] = { false };
	struct visitor who = visitor(1, 1);

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		BUF(out, 100);
		uint64_t n;

		assert_true(number_parse(expand("raw {number 98 102}", &who, &out), 1000,
					 &n));
		assert_in_range(n, 98, 102);
		seen[n - 98] = true;
	}
	for (unsigned i = 0; i < 5; i++)
		expect_true("each", seen[i]);
}

static void words_come_as_often_as_they_weigh(void **state)
{
	struct visitor who = visitor(1, 1);
	unsigned often = 0, rare = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		BUF(out, 100);
		struct span text = expand("raw {rare}", &who, &out);

		often += span_eq(text, SPAN("often"));
		rare += span_eq(text, SPAN("rare"));
	}
	expect_number("nothing else", often + rare, 1000);
	expect_true("about nine to one", rare > 60 && rare < 140);
}

/* Is it drawn anew for another visit, another address, and within one visit? */
static void expect_drawn(const char *why, const char *text, bool each, bool visit,
			 bool address)
{
	struct visitor a = visitor(1, 1), same = visitor(2, 1), other = visitor(2, 2);
	char line[100];
	struct span first;
	BUF(out, 1000);

	snprintf(line, sizeof(line), "raw %s", text);
	first = expand(line, &a, &out);
	if (span_eq(first, expand(line, &a, &out)) == each)
		fail_msg("%s: within a visit", why);
	if (span_eq(first, expand(line, &same, &out)) == visit)
		fail_msg("%s: for another visit", why);
	if (span_eq(first, expand(line, &other, &out)) == address)
		fail_msg("%s: for another address", why);
}

static void values_are_drawn_as_often_as_they_say(void **state)
{
	(void)state;
	expect_drawn("each", "{each}", true, true, true);
	expect_drawn("once a visit", "{visit}", false, true, true);
	expect_drawn("random", "{random 12}", true, true, true);
	/* of the two choices of helo, one has letters: these addresses have that one */
	expect_drawn("once an address", "{helo}", false, false, true);
	expect_drawn("the address", "{address}", false, false, false);
}

static void the_same_visit_is_the_same_again(void **state)
{
	static const char *const line =
		"raw {each} {visit} {helo} {recipient} {login} {random 9} "
		"{digits 9} {number 1 1000000} {color} {rare} {pair}";
	struct visitor a = visitor(9, 3), again = visitor(9, 3), other = visitor(9, 3);
	BUF(one, 1000);
	BUF(two, 1000);
	BUF(three, 1000);

	(void)state;
	expect_span("the same", expand(line, &a, &one), expand(line, &again, &two));
	other.actor = 3;
	expect_false("not for another actor",
		     span_eq(buf_span(&one), expand(line, &other, &three)));
}

/* A seed that somebody wrote down plays the same in a later version; or this fails, and says so. */
static void a_seed_means_the_same_for_ever(void **state)
{
	struct visitor who = visitor(9, 3);
	BUF(out, 1000);

	(void)state;
	expand("raw {random 9} {digits 9} {number 1 1000000} {color} {helo} {visit} {login}",
	       &who, &out);
	expect_text("seed 1, visit 9", &out,
		    "stwtwlpfp 305183401 822650 green 127.1.2.3 bmkethqrzcnj dan");
}

static void name_and_password_belong_together(void **state)
{
	bool seen[COUNT_OF(logins)] = { false };

	(void)state;
	for (uint64_t visit = 0; visit < 100; visit++) {
		struct visitor who = visitor(visit, visit % 7);
		struct span text;
		bool known = false;
		BUF(out, 1000);

		text = expand("raw {login}:{password}", &who, &out);
		for (size_t i = 0; i < COUNT_OF(logins); i++)
			if (span_eq(text, logins[i]))
				known = seen[i] = true;
		expect_true("in a step", known);
		expect_span("the same in the next step", text,
			    expand("raw {login}:{password}", &who, &out));
	}
	for (size_t i = 0; i < COUNT_OF(logins); i++)
		expect_true("each is drawn", seen[i]);
}

static void in_values_of_an_address_they_belong_together_too(void **state)
{
	unsigned others = 0;

	(void)state;
	for (uint64_t address = 0; address < 50; address++) {
		struct visitor who = visitor(address * 3, address);
		struct visitor next = visitor(address * 3 + 1, address);
		struct span text;
		bool known = false;
		BUF(out, 1000);

		text = expand("raw {mine}:{secret}", &who, &out);
		for (size_t i = 0; i < COUNT_OF(logins); i++)
			known |= span_eq(text, logins[i]);
		expect_true("they do", known);
		expect_span("the next visit has the same", text,
			    expand("raw {mine}:{secret}", &next, &out));
		others += !span_eq(text, expand("raw {login}:{password}", &who, &out));
	}
	expect_true("the visit's own is another one, mostly", others > 20);
}

static void what_there_is_none_of_is_empty(void **state)
{
	static const struct pool nothing = { .seed = 1 };
	const char *line = "raw <{recipient}{login}{password}{domain}>";
	struct visitor who = visitor(1, 1);
	struct script s;
	struct err e;
	BUF(out, 100);

	(void)state;
	assert_true(script_open(&s, &line, 1, SPEAKS_SMTP, &nothing, &e));
	script_expand(&s.steps[0], &nothing, &who, &out);
	expect_text("", &out, "<>");
	expect_true("and it is known", s.needs_recipients && s.needs_logins);
	script_close(&s);
}

/* clang-format off */
static const struct {
	const char *why, *dialogue;
	bool recipients, logins;
} needs[] = {
	{ "nothing",               "send a{n}{each}",           false, false },
	{ "a recipient",           "send a|send {recipient}",   true,  false },
	{ "a name",                "send {login}|send a",       false, true },
	{ "a password",            "send {password}",           false, true },
	{ "in base64",             "send {base64 {password}}",  false, true },
	{ "through a value",       "send {mine}",               false, true },
	{ "through two values",    "send {pair}",               false, true },
};
/* clang-format on */

static void a_script_knows_what_it_needs(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(needs); i++) {
		struct script s = open_lines(needs[i].dialogue, SPEAKS_SMTP);

		expect_number(needs[i].why, s.needs_recipients, needs[i].recipients);
		expect_number(needs[i].why, s.needs_logins, needs[i].logins);
		script_close(&s);
	}
}

static void a_step_is_never_longer_than_it_says(void **state)
{
	static uint8_t long_bytes[3000];
	const struct span outside = span_of(long_bytes, sizeof(long_bytes));
	struct pool big = pool;
	struct visitor who = visitor(UINT64_MAX, UINT64_MAX);
	const char *line =
		"send {n} {number 9223372036854775807 9223372036854775807} {recipient} "
		"{base64 {login}{base64 {recipient}}} {domain} {address} {pair}";
	struct script s;
	struct buf out;
	struct err e;
	static uint8_t mem[EXPAND_MAX];

	(void)state;
	memset(long_bytes, 'x', sizeof(long_bytes));
	memset(who.from, 'f', sizeof(who.from) - 1);
	who.from_port = UINT16_MAX;
	big.recipients = big.logins = &outside;
	big.recipients_n = big.logins_n = 1;
	big.domain = outside;
	if (!script_open(&s, &line, 1, SPEAKS_SMTP, &big, &e))
		fail_msg("%s", e.text);
	buf_init(&out, mem, s.steps[0].most);
	script_expand(&s.steps[0], &big, &who, &out);
	expect_false("it fits", out.full);
	expect_true("and it was long", out.len > 2 * 512);
	script_close(&s);
}

/* ---- stages ---- */

/* clang-format off */
static const struct {
	const char *why;
	enum speaks speaks;
	const char *dialogue, *stages; /* of the steps */
} stages[] = {
	{ "it begins at connect",      SPEAKS_SMTP, "expect 220|close", "connect connect" },
	{ "a transaction",             SPEAKS_SMTP,
	  "send EHLO x|send MAIL FROM:<>|expect 250|send RCPT TO:<a>|send DATA|expect 354|body 1k|hear",
	  "helo mail mail rcpt data data body body" },
	{ "HELO, LHLO and BDAT",       SPEAKS_SMTP, "send HELO x|send BDAT 5|send LHLO x", "helo data helo" },
	{ "letters may be small",      SPEAKS_SMTP, "send ehlo x|send rcpt to", "helo rcpt" },
	{ "other words keep it",       SPEAKS_SMTP, "send EHLO x|send NOOP|send QUIT|send EHLOX", "helo helo helo helo" },
	{ "TLS",                       SPEAKS_SMTP, "send STARTTLS|hear|tls|send EHLO x", "tls tls tls helo" },
	{ "TLS 1.2",                   SPEAKS_SMTP, "send STARTTLS|hear|tls12|tls|send EHLO x", "tls tls tls tls helo" },
	{ "`tls` alone",               SPEAKS_SMTP, "tls|hear", "tls tls" },
	{ "AUTH and its answers",      SPEAKS_SMTP, "send AUTH PLAIN|send {base64 x}", "auth auth" },
	{ "raw, drip and fill",        SPEAKS_SMTP,
	  "raw EHLO x\\r\\n|drip 1s MAIL FROM|fill 9k RCPT TO:<{random 9}>\\r\\n", "helo mail rcpt" },
	{ "only the first word",       SPEAKS_SMTP, "raw NOOP\\r\\nDATA\\r\\n|send x EHLO", "connect connect" },
	{ "a word ends with its line", SPEAKS_SMTP, "raw DATA\\r\\nEHLO", "data" },
	{ "a word that varies",        SPEAKS_SMTP, "send {one} DATA|send DA{one}TA|send DATA {one}",
	  "connect connect data" },
	{ "`stage` says it",           SPEAKS_SMTP, "stage rcpt|hear|stage other|send DATA|stage body|hear",
	  "rcpt data body" },
	{ "loops do not matter",       SPEAKS_SMTP, "repeat 2|hear|send DATA|again|hear",
	  "connect connect data data data" },
	{ "behind a tag",              SPEAKS_IMAP,
	  "send a1 LOGIN u p|send a2 SELECT INBOX|send {random 3} STARTTLS|send x{n} authenticate plain",
	  "auth auth tls auth" },
	{ "not behind two",            SPEAKS_IMAP, "send a b LOGIN", "connect" },
	{ "no tags in SMTP",           SPEAKS_SMTP, "send a1 LOGIN", "connect" },
	{ "POP3",                      SPEAKS_POP3, "send USER u|send PASS p|send STLS|send AUTH|send APOP u x",
	  "auth auth tls auth auth" },
};
/* clang-format on */

static void stages_follow_from_what_is_sent(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(stages); i++) {
		struct script s = open_lines(stages[i].dialogue, stages[i].speaks);
		BUF(got, 400);

		for (size_t k = 0; k < s.n; k++)
			buf_fmt(&got, "%s%s", k ? " " : "", stage_word(s.steps[k].stage));
		expect_text(stages[i].why, &got, stages[i].stages);
		script_close(&s);
	}
}

/* ---- steps ---- */

static void steps_have_their_numbers(void **state)
{
	struct script s = open_lines(
		"expect 250 251|never 5|none 500ms|drip 3s a|fill 1m a|body 4k|"
		"wait 2m|repeat 26|repeat forever|hear|again|again|done|reset",
		SPEAKS_SMTP);
	const struct step *at = s.steps;

	(void)state;
	expect_number("steps", (int64_t)s.n, 14);
	expect_number("two statuses", at[0].words, 2);
	expect_span("the second one", at[0].word[1], SPAN("251"));
	expect_span("one status", at[1].word[0], SPAN("5"));
	expect_number("none", at[2].time, 500);
	expect_number("drip", at[3].time, 3000);
	expect_number("fill", at[4].number, 1 << 20);
	expect_number("body", at[5].number, 4096);
	expect_number("wait", at[6].time, 120000);
	expect_number("repeat", at[7].number, 26);
	expect_number("repeat forever", at[8].number, -1);
	expect_number("the outer loop", at[7].other, 11);
	expect_number("and back", at[11].other, 7);
	expect_number("the inner loop", at[8].other, 10);
	expect_number("and back", at[10].other, 8);
	expect_true("it can be done", s.has_done);
	script_close(&s);
	expect_true("nothing is left", s.steps == NULL && s.n == 0);
	script_close(&s);
}

static void lines_may_go_away_afterwards(void **state)
{
	char line[] = "expect 250 251", sent[] = "send EHLO {n} x";
	const char *lines[] = { line, sent };
	struct visitor who = visitor(5, 5);
	struct script s;
	struct err e;
	BUF(out, 100);

	(void)state;
	assert_true(script_open(&s, lines, 2, SPEAKS_SMTP, &pool, &e));
	memset(line, 'x', sizeof(line));
	memset(sent, 'x', sizeof(sent));
	expect_span("a status", s.steps[0].word[1], SPAN("251"));
	script_expand(&s.steps[1], &pool, &who, &out);
	expect_text("a text", &out, "EHLO 5 x\r\n");
	script_close(&s);
}

/* clang-format off */
static const struct {
	enum speaks speaks;
	const char *dialogue, *error;
} wrong[] = {
	/* steps */
	{ SPEAKS_SMTP, "hear|except 250", "step 2: there is no step \"except\"; there are expect, expect-text, hear, "
	  "never, none, send, raw, drip, fill, body, wait, hold, tls, tls12, begin, done, repeat, again, close, reset, stage" },
	{ SPEAKS_SMTP, "", "step 1: there is no step \"\"; there are expect, expect-text, hear, "
	  "never, none, send, raw, drip, fill, body, wait, hold, tls, tls12, begin, done, repeat, again, close, reset, stage" },
	{ SPEAKS_SMTP, "hear 250", "step 1: hear: it takes nothing" },
	{ SPEAKS_SMTP, "hold 3s", "step 1: hold: it takes nothing" },
	{ SPEAKS_SMTP, "stage rcpt|close now", "step 2: close: it takes nothing" },

	/* statuses */
	{ SPEAKS_SMTP, "expect", "step 1: expect: it needs a code from 200 to 599, or the beginning of one" },
	{ SPEAKS_SMTP, "expect OK", "step 1: expect: \"OK\" is not a code from 200 to 599, or the beginning of one" },
	{ SPEAKS_SMTP, "never 150", "step 1: never: \"150\" is not a code from 200 to 599, or the beginning of one" },
	{ SPEAKS_SMTP, "never 6", "step 1: never: \"6\" is not a code from 200 to 599, or the beginning of one" },
	{ SPEAKS_SMTP, "expect 2500", "step 1: expect: \"2500\" is not a code from 200 to 599, or the beginning of one" },
	{ SPEAKS_SMTP, "expect 250  251", "step 1: expect: \"\" is not a code from 200 to 599, or the beginning of one" },
	{ SPEAKS_SMTP, "expect 2 2 2 2 2 2 2 2 2", "step 1: expect: at most 8 of them" },
	{ SPEAKS_IMAP, "expect 250", "step 1: expect: \"250\" is not OK, NO, BAD, +, BYE or PREAUTH" },
	{ SPEAKS_IMAP, "expect ok", "step 1: expect: \"ok\" is not OK, NO, BAD, +, BYE or PREAUTH" },
	{ SPEAKS_POP3, "expect OK", "step 1: expect: \"OK\" is not +OK, -ERR or +" },
	{ SPEAKS_IMAP, "expect-text OK", "step 1: expect-text: only POP3 has such replies" },

	/* times, sizes, numbers */
	{ SPEAKS_SMTP, "wait", "step 1: wait: \"\" is not a time such as 500ms or 3s, at most 3600s" },
	{ SPEAKS_SMTP, "wait 3", "step 1: wait: \"3\" is not a time such as 500ms or 3s, at most 3600s" },
	{ SPEAKS_SMTP, "none 0", "step 1: none: \"0\" is not a time such as 500ms or 3s, at most 3600s" },
	{ SPEAKS_SMTP, "none 3601s", "step 1: none: \"3601s\" is not a time such as 500ms or 3s, at most 3600s" },
	{ SPEAKS_SMTP, "drip abc", "step 1: drip: \"abc\" is not a time such as 500ms or 3s, at most 3600s" },
	{ SPEAKS_SMTP, "fill x y", "step 1: fill: \"x\" is not a size such as 4k or 1m, from 1 to 64m" },
	{ SPEAKS_SMTP, "fill 65m y", "step 1: fill: \"65m\" is not a size such as 4k or 1m, from 1 to 64m" },
	{ SPEAKS_SMTP, "body", "step 1: body: \"\" is not a size such as 4k or 1m, from 512 to 64m" },
	{ SPEAKS_SMTP, "body 511", "step 1: body: \"511\" is not a size such as 4k or 1m, from 512 to 64m" },
	{ SPEAKS_IMAP, "body 4k", "step 1: body: only SMTP takes messages" },
	{ SPEAKS_SMTP, "repeat 0", "step 1: repeat: \"0\" is neither \"forever\" nor a number from 1 to 1000000000" },
	{ SPEAKS_SMTP, "repeat", "step 1: repeat: \"\" is neither \"forever\" nor a number from 1 to 1000000000" },
	{ SPEAKS_SMTP, "repeat ever", "step 1: repeat: \"ever\" is neither \"forever\" nor a number from 1 to 1000000000" },
	{ SPEAKS_SMTP, "stage kelo", "step 1: stage: \"kelo\" is no stage; there are connect, helo, tls, auth, "
	  "mail, rcpt, data, body and other" },

	/* loops */
	{ SPEAKS_SMTP, "hear|again", "step 2: again: there is no repeat before it" },
	{ SPEAKS_SMTP, "repeat 2|hear", "a repeat is without its \"again\"" },
	{ SPEAKS_SMTP, "repeat 2|repeat 2|repeat 2|repeat 2", "step 4: repeat: at most 3 repeats inside each other" },
	{ SPEAKS_SMTP, "repeat forever|again", "step 2: again: nothing in this loop takes time or sends anything" },
	{ SPEAKS_SMTP, "hear|repeat 2|done|stage rcpt|repeat 2|again", "step 6: again: nothing in this loop takes time or sends anything" },
	{ SPEAKS_SMTP, "repeat 2|raw {maybe}|again", "step 3: again: nothing in this loop takes time or sends anything" },

	/* texts */
	{ SPEAKS_SMTP, "raw", "step 1: raw: what should be sent?" },
	{ SPEAKS_SMTP, "drip 3s", "step 1: drip: what should be sent?" },
	{ SPEAKS_SMTP, "fill 1k", "step 1: fill: what should be sent?" },
	{ SPEAKS_SMTP, "fill 1k {maybe}", "step 1: fill: its text could turn out empty, and never fill anything" },
	{ SPEAKS_SMTP, "raw a\\q", "step 1: raw: \\q: after \\ comes r, n, t, 0, \\ or x with two hex digits" },
	{ SPEAKS_SMTP, "raw a\\", "step 1: raw: \\: after \\ comes r, n, t, 0, \\ or x with two hex digits" },
	{ SPEAKS_SMTP, "raw \\x4", "step 1: raw: \\x: after \\ comes r, n, t, 0, \\ or x with two hex digits" },
	{ SPEAKS_SMTP, "raw \\x4g", "step 1: raw: \\x: after \\ comes r, n, t, 0, \\ or x with two hex digits" },
	{ SPEAKS_SMTP, "send {", "step 1: send: a { without its }; a brace alone is written {{" },
	{ SPEAKS_SMTP, "send {n", "step 1: send: a { without its }; a brace alone is written {{" },
	{ SPEAKS_SMTP, "send {}", "step 1: send: {}: there is no such value or list; a brace is written {{" },
	{ SPEAKS_SMTP, "send {colour}", "step 1: send: {colour}: there is no such value or list; a brace is written {{" },
	{ SPEAKS_SMTP, "send {color 3}", "step 1: send: {color 3}: no such value takes an argument" },
	{ SPEAKS_SMTP, "send {n 3}", "step 1: send: {n} takes nothing" },
	{ SPEAKS_SMTP, "send {random}", "step 1: send: {random }: it takes a number from 1 to 8192" },
	{ SPEAKS_SMTP, "send {random 0}", "step 1: send: {random 0}: it takes a number from 1 to 8192" },
	{ SPEAKS_SMTP, "send {digits x}", "step 1: send: {digits x}: it takes a number from 1 to 8192" },
	{ SPEAKS_SMTP, "send {number 5}", "step 1: send: {number 5}: it takes two numbers, as in {number 1 99}" },
	{ SPEAKS_SMTP, "send {number 5 4}", "step 1: send: {number 5 4}: it takes two numbers, as in {number 1 99}" },
	{ SPEAKS_SMTP, "send {base64}", "step 1: send: {base64} takes a text, as in {base64 {login}}" },
	{ SPEAKS_SMTP, "send {base64 ", "step 1: send: {base64 ...: its } is missing" },
	{ SPEAKS_SMTP, "send {base64 x", "step 1: send: {base64 ...: its } is missing" },
	{ SPEAKS_SMTP, "send {base64 {n}", "step 1: send: {base64 ...: its } is missing" },
	{ SPEAKS_SMTP, "send {base64 \\y}", "step 1: send: \\y: after \\ comes r, n, t, 0, \\ or x with two hex digits" },
	{ SPEAKS_SMTP, "send {base64 {base64 {base64 {base64 }}}}", "step 1: send: {base64 ...}: at most 3 inside each other" },
	{ SPEAKS_SMTP, "send {empty}", "step 1: send: {empty}: this list is empty" },
	{ SPEAKS_SMTP, "send {weightless}", "step 1: send: {weightless}: no word of it has a weight above 0" },
	{ SPEAKS_SMTP, "send {random 8191}", "step 1: send: this can become more than 8192 bytes" },
	{ SPEAKS_SMTP, "raw {base64 {random 6145}}", "step 1: raw: this can become more than 8192 bytes" },
};
/* clang-format on */

static void what_is_wrong_is_said(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		const char *lines[STEPS_MAX];
		char copy[4000];
		struct script s;
		struct err e;

		snprintf(copy, sizeof(copy), "%s", wrong[i].dialogue);
		if (script_open(&s, lines, split(copy, lines), wrong[i].speaks, &pool, &e))
			fail_msg("%s: this is fine", wrong[i].dialogue);
		expect_span(wrong[i].dialogue, span_str(e.text), span_str(wrong[i].error));
	}
}

static void what_just_fits_is_fine(void **state)
{
	static const char *const fine[] = {
		"send {random 8190}",
		"raw {base64 {random 6144}}",
		"repeat 1|repeat 1|repeat 1|hear|again|again|again",
		"fill 64m x",
		"body 512",
		"wait 3600s",
		"none 1ms",
		"repeat 1000000000|hear|again",
		"expect 2 2 2 2 2 2 2 2",
		"repeat forever|raw {maybe}x|again",
		"repeat forever|raw {base64 {one}}|again",
		"repeat forever|close|again",
		"drip 1ms {maybe}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(fine); i++) {
		struct script s = open_lines(fine[i], SPEAKS_SMTP);

		script_close(&s);
	}
}

static void there_are_ceilings(void **state)
{
	static char text[STEP_TEXT_MAX + 2];
	const char *lines[STEPS_MAX + 1], *one = text;
	struct script s;
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lines); i++)
		lines[i] = "hear";
	expect_false("no step", script_open(&s, lines, 0, SPEAKS_SMTP, &pool, &e));
	expect_span("it says", span_str(e.text),
		    SPAN("a dialogue has 1 to 200 steps, not 0"));
	expect_false("201", script_open(&s, lines, STEPS_MAX + 1, SPEAKS_SMTP, &pool, &e));
	expect_span("it says", span_str(e.text),
		    SPAN("a dialogue has 1 to 200 steps, not 201"));
	assert_true(script_open(&s, lines, STEPS_MAX, SPEAKS_SMTP, &pool, &e));
	script_close(&s);

	memset(text, 'x', STEP_TEXT_MAX + 1);
	memcpy(text, "send ", 5);
	expect_false("long", script_open(&s, &one, 1, SPEAKS_SMTP, &pool, &e));
	expect_span("it says", span_str(e.text),
		    SPAN("step 1: it is longer than 2000 bytes"));
	text[STEP_TEXT_MAX] = '\0';
	assert_true(script_open(&s, &one, 1, SPEAKS_SMTP, &pool, &e));
	script_close(&s);
}

/* clang-format off */
static const struct {
	const char *why;
	struct value value[2];
	const char *items[2];
	const char *error;
} bad_values[] = {
	{ "it uses one below",
	  { { { .name = "up", .n = 1 }, DRAW_EACH }, { { .name = "down", .n = 1 }, DRAW_EACH } },
	  { "{down}", "x" }, "the value \"up\": {down}: a value may only use values that stand above it" },
	{ "it uses itself",
	  { { { .name = "up", .n = 1 }, DRAW_EACH }, { { .name = "down", .n = 1 }, DRAW_EACH } },
	  { "x", "{down}" }, "the value \"down\": {down}: a value may only use values that stand above it" },
	{ "it has nothing",
	  { { { .name = "up", .n = 0 }, DRAW_EACH }, { { .name = "down", .n = 1 }, DRAW_EACH } },
	  { "x", "x" }, "the value \"up\": it has nothing to choose from" },
	{ "it changes",
	  { { { .name = "up", .n = 1 }, DRAW_EACH }, { { .name = "down", .n = 1 }, DRAW_ADDRESS } },
	  { "{base64 {n}}", "{up}" },
	  "the value \"down\": it is drawn once for an address, but its choice 1 changes with each visit" },
	{ "so does what is drawn for a visit",
	  { { { .name = "up", .n = 1 }, DRAW_VISIT }, { { .name = "down", .n = 1 }, DRAW_ADDRESS } },
	  { "{random 9}", "{up}" },
	  "the value \"down\": it is drawn once for an address, but its choice 1 changes with each visit" },
	{ "its name is taken",
	  { { { .name = "up", .n = 1 }, DRAW_EACH }, { { .name = "port", .n = 1 }, DRAW_EACH } },
	  { "x", "x" }, "the value \"port\" needs another name: {port} has a meaning already" },
	{ "values have no escapes, but base64 does",
	  { { { .name = "up", .n = 1 }, DRAW_EACH }, { { .name = "down", .n = 1 }, DRAW_EACH } },
	  { "\\q{base64 \\0}", "{base64 \\q}" },
	  "the value \"down\": \\q: after \\ comes r, n, t, 0, \\ or x with two hex digits" },
};
/* clang-format on */

static void values_are_checked_too(void **state)
{
	static struct span taken[] = { SPAN_INIT("x") };
	static const struct words list = { .name = "digits", .items = taken, .n = 1 };
	const struct pool with_list = { .lists = &list, .lists_n = 1 };
	const char *line = "hear";
	struct script s;
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad_values); i++) {
		struct value v[2] = { bad_values[i].value[0], bad_values[i].value[1] };
		struct span items[2] = { span_str(bad_values[i].items[0]),
					 span_str(bad_values[i].items[1]) };
		const struct pool p = { .values = v, .values_n = 2 };

		v[0].words.items = &items[0];
		v[1].words.items = &items[1];
		expect_false(bad_values[i].why,
			     script_open(&s, &line, 1, SPEAKS_SMTP, &p, &e));
		expect_span(bad_values[i].why, span_str(e.text),
			    span_str(bad_values[i].error));
	}
	expect_false("a list", script_open(&s, &line, 1, SPEAKS_SMTP, &with_list, &e));
	expect_span(
		"a list", span_str(e.text),
		SPAN("the list \"digits\" needs another name: {digits} has a meaning already"));
}

/* Ten values, each of which is forty of the one above: 40^10 pieces, and not one byte. */
static void a_value_of_values_cannot_become_endless_work(void **state)
{
	const char *line = "send {v9}";
	struct span empty = SPAN_NONE, items[10];
	struct value v[10];
	char names[10][3], names_used[10][40 * 4 + 1];
	const struct pool p = { .values = v, .values_n = 10 };
	struct script s;
	struct err e;

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		snprintf(names[i], sizeof(names[i]), "v%u", i);
		names_used[i][0] = '\0';
		for (unsigned k = 0; i && k < 40; k++)
			memcpy(names_used[i] + 4 * k,
			       (char[]){ '{', 'v', (char)('0' + i - 1), '}' }, 4);
		items[i] = i ? span_of(names_used[i], 160) : empty;
		v[i] = (struct value){ { .name = names[i], .items = &items[i], .n = 1 },
				       DRAW_EACH };
	}
	expect_false("refused", script_open(&s, &line, 1, SPEAKS_SMTP, &p, &e));
	expect_span("it says", span_str(e.text),
		    SPAN("step 1: send: this can become more than 8192 bytes"));
}

/* ---- words, chance ---- */

static void words_are_read_as_they_are_written(void **state)
{
	enum service service;
	enum stage stage;
	enum end end;

	(void)state;
	for (enum service s = 0; s < SERVICE_COUNT; s++)
		expect_true(service_word(s),
			    service_parse(span_str(service_word(s)), &service) &&
				    service == s);
	for (enum stage s = 0; s < STAGE_COUNT; s++)
		expect_true(stage_word(s),
			    stage_parse(span_str(stage_word(s)), &stage) && stage == s);
	for (enum end n = 0; n < END_COUNT; n++)
		expect_true(end_word(n),
			    end_parse(span_str(end_word(n)), &end) && end == n);
	expect_span("a phase", span_str(phase_word(PHASE_AFTER)), SPAN("after"));

	service = SERVICE_IMAPS;
	expect_false("no service", service_parse(SPAN("http"), &service));
	expect_number("untouched", service, SERVICE_IMAPS);
	expect_false("the beginning of one", stage_parse(SPAN("hel"), &stage));
	expect_false("nothing", end_parse(SPAN_NONE, &end));
	expect_number("pop3s", service_port(SERVICE_POP3S), 995);
	expect_true("pop3s", service_tls(SERVICE_POP3S) && !service_tls(SERVICE_POP3));
	expect_number("submission", service_speaks(SERVICE_SUBMISSION), SPEAKS_SMTP);
}

static void chance_is_the_same_for_the_same_thing(void **state)
{
	struct rng a = rng_of(1, 2, 3), b = rng_of(1, 2, 3), zero = { 0 };

	(void)state;
	expect_true("splitmix64, as published", rng_next(&zero) == 0xe220a8397b1dcdafu);
	for (unsigned i = 0; i < 10; i++)
		expect_true("the same", rng_next(&a) == rng_next(&b));
	b = rng_of(1, 2, 4);
	expect_true("another number", rng_next(&a) != rng_next(&b));
	a = rng_of(1, 2, 3);
	b = rng_of(1, 3, 3);
	expect_true("another kind", rng_next(&a) != rng_next(&b));
	b = rng_of(2, 2, 3);
	a = rng_of(1, 2, 3);
	expect_true("another seed", rng_next(&a) != rng_next(&b));
}

static void neighbours_have_nothing_in_common(void **state)
{
	unsigned same = 0;

	(void)state;
	for (uint64_t n = 0; n < 1000; n++) {
		struct rng a = rng_of(1, 2, n), b = rng_of(1, 2, n + 1);
		uint64_t differ = rng_next(&a) ^ rng_next(&b);

		same += 64 - (unsigned)__builtin_popcountll(differ);
	}
	expect_true("half of the bits", same > 31000 && same < 33000);
}

static void chance_is_even(void **state)
{
	struct rng r = rng_of(1, 1, 1);
	unsigned below[10] = { 0 }, tenths[10] = { 0 };
	double gaps = 0, least = 1;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		double f = rng_fraction(&r), gap = rng_gap(&r, 5);
		uint64_t n = rng_below(&r, 10);

		assert_true(n < 10 && f >= 0 && f < 1 && gap >= 0 && isfinite(gap));
		below[n]++;
		tenths[(unsigned)(f * 10)]++;
		gaps += gap;
		least = f < least ? f : least;
	}
	for (unsigned i = 0; i < 10; i++) {
		expect_true("a number", below[i] > 9600 && below[i] < 10400);
		expect_true("a tenth", tenths[i] > 9600 && tenths[i] < 10400);
	}
	expect_true("the mean of gaps", gaps > 490000 && gaps < 510000);
	expect_number("below nothing", (int64_t)rng_below(&r, 0), 0);
	expect_number("below one", (int64_t)rng_below(&r, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_become_what_they_say),
		cmocka_unit_test(what_does_not_vary_is_there_as_it_is_sent),
		cmocka_unit_test(random_things_have_their_length_and_their_letters),
		cmocka_unit_test(all_letters_come_about_equally_often),
		cmocka_unit_test(numbers_reach_both_ends_and_not_beyond),
		cmocka_unit_test(words_come_as_often_as_they_weigh),
		cmocka_unit_test(values_are_drawn_as_often_as_they_say),
		cmocka_unit_test(the_same_visit_is_the_same_again),
		cmocka_unit_test(a_seed_means_the_same_for_ever),
		cmocka_unit_test(name_and_password_belong_together),
		cmocka_unit_test(in_values_of_an_address_they_belong_together_too),
		cmocka_unit_test(what_there_is_none_of_is_empty),
		cmocka_unit_test(a_script_knows_what_it_needs),
		cmocka_unit_test(a_step_is_never_longer_than_it_says),
		cmocka_unit_test(stages_follow_from_what_is_sent),
		cmocka_unit_test(steps_have_their_numbers),
		cmocka_unit_test(lines_may_go_away_afterwards),
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(what_just_fits_is_fine),
		cmocka_unit_test(there_are_ceilings),
		cmocka_unit_test(values_are_checked_too),
		cmocka_unit_test(a_value_of_values_cannot_become_endless_work),
		cmocka_unit_test(words_are_read_as_they_are_written),
		cmocka_unit_test(chance_is_the_same_for_the_same_thing),
		cmocka_unit_test(neighbours_have_nothing_in_common),
		cmocka_unit_test(chance_is_even),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
