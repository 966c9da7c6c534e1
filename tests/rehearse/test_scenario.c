/*
 * Scenario files: what a good one becomes, how each mistake is told, and that all files which come
 * with the program are good.
 */
#include "../unit/expect.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rehearse/scenario.h"

#define SHIPPED_HONEST SOURCE_ROOT "/rehearse/honest"

/* The lines are counted by the rows below. */
/* clang-format off */
static const char good[] =
	"id = \"T1\"; title = \"a title\";\n" /* 1 */
	"about = \"what it is\"; ends = \"how it ends\";\n" /* 2 */
	"phases = { warm = \"0s\"; quiet = \"1s\"; attack = \"2s\"; after = \"0\"; };\n"
	"lists = { colour = [ \"red\", \"green\" ]; };\n" /* 4 */
	"attackers = ( {\n" /* 5 */
	"\tname = \"bots\"; title = \"some bots\";\n" /* 6 */
	"\tservice = \"submission\";\n" /* 7 */
	"\tfrom = { addresses = 10; spread = \"near\"; };\n" /* 8 */
	"\trate = 20; parallel = 50; ramp = 2.5; patience = \"7s\"; even = true;\n"
	"\tvalues = (\n" /* 10 */
	"\t\t{ name = \"shade\"; once = \"visit\"; one-of = [ \"dark\", \"light {colour}\" ]; weights = [ 3, 1 ]; },\n"
	"\t\t{ name = \"word\"; one-of = [ \"{shade}er\", \"\" ]; }\n" /* 12 */
	"\t);\n" /* 13 */
	"\tdialogue = [\n" /* 14 */
	"\t\t\"expect 220\",\n" /* 15 */
	"\t\t\"send EHLO {word}\",\n" /* 16 */
	"\t\t\"hear\", \"done\"\n" /* 17 */
	"\t];\n" /* 18 */
	"\ton-refusal = { connect = \"leave 0.25\"; silent = \"leave\"; later = \"retry 3s elsewhere\"; helo = \"retry 500ms\"; done = \"next\"; };\n"
	"} );\n" /* 20 */
	"beside = [ \"friend\" ];\n" /* 21 */
	"promises = ( { promise = \"served\"; limit = 98; of = \"friend\"; }, { promise = \"alive\"; } );\n";
/* clang-format on */

static const char friendly[] = "name = \"friend\"; title = \"a friend\"; rate = 2.0;\n"
			       "dialogue = [ \"expect 220\", \"done\" ];\n";

/* A directory of our own, with honest/ in it. */
static char dir[] = "/tmp/holdfast-scenario-XXXXXX";
static char honest_dir[64], file[64];

static void write_bytes(const char *path, const void *bytes, size_t n)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static void write_below(const char *name, const char *text)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	write_bytes(path, text, strlen(text));
}

static int make_dir(void **unused)
{
	(void)unused;
	if (!mkdtemp(dir))
		return -1;
	snprintf(honest_dir, sizeof(honest_dir), "%s/honest", dir);
	snprintf(file, sizeof(file), "%s/t.conf", dir);
	if (mkdir(honest_dir, 0700) < 0)
		return -1;
	write_below("honest/friend.conf", friendly);
	return 0;
}

static int drop(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static int drop_dir(void **unused)
{
	(void)unused;
	return nftw(dir, drop, 8, FTW_DEPTH | FTW_PHYS);
}

/* The good text with one piece of it replaced. */
static const char *with(const char *old, const char *new)
{
	static char text[sizeof(good) + 300000];
	const char *at = strstr(good, old);

	if (!at)
		fail_msg("there is no %s to replace", old);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, new,
		 at + strlen(old));
	return text;
}

static bool opens(struct scenario **s, const char *text, struct err *e)
{
	write_bytes(file, text, strlen(text));
	*s = NULL;
	snprintf(e->text, sizeof(e->text), "(nothing)");
	return scenario_open(s, file, honest_dir, NULL, e);
}

static struct scenario *opened(const char *text)
{
	struct scenario *s;
	struct err e;

	if (!opens(&s, text, &e))
		fail_msg("%s", e.text);
	return s;
}

static void expect_error(const char *why, const char *text, unsigned line,
			 const char *says)
{
	char at[100];
	struct scenario *s;
	struct err e;

	snprintf(at, sizeof(at), "%s:%u: ", file, line);
	if (opens(&s, text, &e)) {
		scenario_close(&s);
		fail_msg("%s: this is no error", why);
	}
	if (line && strncmp(e.text, at, strlen(at)) != 0)
		fail_msg("%s: not at line %u: %s", why, line, e.text);
	if (!strstr(e.text, says))
		fail_msg("%s: \"%s\" is not in: %s", why, says, e.text);
}

static void a_good_file_becomes_what_it_says(void **unused)
{
	struct scenario *s = opened(good);
	const struct actor *a = &s->actors[0];

	(void)unused;
	assert_string_equal(s->path, file);
	assert_string_equal(s->id, "T1");
	assert_string_equal(s->title, "a title");
	assert_string_equal(s->about, "what it is");
	assert_string_equal(s->ends, "how it ends");
	assert_int_equal(s->phase[PHASE_WARM], 0);
	assert_int_equal(s->phase[PHASE_QUIET], 1000);
	assert_int_equal(s->phase[PHASE_ATTACK], 2000);
	assert_int_equal(s->phase[PHASE_AFTER], 0);

	assert_int_equal(s->lists_n, 1);
	assert_string_equal(s->lists[0].name, "colour");
	assert_int_equal(s->lists[0].n, 2);
	assert_int_equal(s->lists[0].total, 2);
	assert_null(s->lists[0].weights);
	expect_span("the first word", s->lists[0].items[0], SPAN("red"));

	assert_int_equal(s->actors_n, 2);
	assert_string_equal(a->name, "bots");
	assert_string_equal(a->title, "some bots");
	assert_false(a->honest);
	assert_int_equal(a->service, SERVICE_SUBMISSION);
	assert_int_equal(a->addresses, 10);
	assert_int_equal(a->spread, SPREAD_NEAR);
	assert_true(a->rate == 20 && a->ramp == 2.5 && a->visits == 0);
	assert_int_equal(a->parallel, 50);
	assert_int_equal(a->patience, 7000);
	assert_true(a->even);
	assert_int_equal(a->script.n, 4);
	assert_true(a->script.has_done);

	assert_int_equal(a->values_n, 2);
	assert_string_equal(a->values[0].words.name, "shade");
	assert_int_equal(a->values[0].draw, DRAW_VISIT);
	assert_int_equal(a->values[0].words.weights[0], 3);
	assert_int_equal(a->values[0].words.total, 4);
	assert_int_equal(a->values[1].draw, DRAW_EACH);
	assert_int_equal(a->values[1].words.items[1].n, 0);

	assert_true(a->on_stage[STAGE_CONNECT].set);
	assert_int_equal(a->on_stage[STAGE_CONNECT].kind, REACT_LEAVE);
	assert_true(a->on_stage[STAGE_CONNECT].chance == 0.25);
	assert_true(a->on_end[END_SILENT].chance == 1);
	assert_int_equal(a->on_end[END_LATER].kind, REACT_RETRY);
	assert_int_equal(a->on_end[END_LATER].after, 3000);
	assert_true(a->on_end[END_LATER].elsewhere);
	assert_int_equal(a->on_stage[STAGE_HELO].after, 500);
	assert_false(a->on_stage[STAGE_HELO].elsewhere);
	assert_int_equal(a->on_end[END_DONE].kind, REACT_NEXT);
	assert_false(a->on_stage[STAGE_RCPT].set);

	assert_string_equal(s->actors[1].name, "friend");
	assert_true(s->actors[1].honest);
	assert_true(s->actors[1].script.has_done);

	assert_int_equal(s->promises_n, 2);
	assert_string_equal(s->promises[0].word, "served");
	assert_true(s->promises[0].has_limit && s->promises[0].limit == 98);
	assert_string_equal(s->promises[0].actor, "friend");
	assert_string_equal(s->promises[1].word, "alive");
	assert_false(s->promises[1].has_limit);
	assert_null(s->promises[1].actor);
	scenario_close(&s);
	assert_null(s);
}

static void what_is_not_said_has_a_default(void **unused)
{
	struct scenario *s = opened(
		"id = \"x\"; title = \"x\"; about = \"x\"; ends = \"x\";\n"
		"attackers = ( { name = \"x\"; title = \"x\"; parallel = 7;\n"
		"dialogue = [ \"expect 220\" ]; } ); beside = [ \"friend\" ];\n");
	const struct actor *a = &s->actors[0], *f = &s->actors[1];

	(void)unused;
	assert_int_equal(s->phase[PHASE_WARM], 2000);
	assert_int_equal(s->phase[PHASE_QUIET], 5000);
	assert_int_equal(s->phase[PHASE_ATTACK], 15000);
	assert_int_equal(s->phase[PHASE_AFTER], 5000);
	assert_int_equal(a->service, SERVICE_SMTP);
	assert_int_equal(a->addresses, 1);
	assert_int_equal(a->spread, SPREAD_FAR);
	assert_true(a->rate == 0 && a->visits == 0 && a->ramp == 0 && a->pause == 0);
	assert_int_equal(a->patience, 10000);
	assert_int_equal(f->patience, 30000);
	assert_int_equal(f->parallel, 100);
	assert_int_equal(s->promises_n, 0);
	scenario_close(&s);
}

static void each_mistake_is_told_with_its_line(void **unused)
{
	/* clang-format off */
	static const struct {
		const char *why, *old, *new;
		unsigned line;
		const char *says;
	} rows[] = {
		{ "no id", "id = \"T1\"; ", "", 1, "needs the setting \"id\"" },
		{ "no attackers", "attackers", "lists-of-attackers", 5, "no setting \"lists-of-attackers\"; there are id, " },
		{ "a setting twice", "title = \"a title\";", "title = \"a\"; title = \"b\";", 1, "duplicate setting name" },
		{ "bad syntax", "phases = {", "phases = ", 3, "syntax error" },
		{ "a comma too many", "\"hear\", \"done\"", "\"hear\", \"done\",", 18, "none after the last" },
		{ "a text without an end", "\"alive\"", "\"alive", 22, "a text without its closing \"" },
		{ "a text without an end, and more", "\"a title\"", "\"a title", 1, "a text without its closing \"" },
		{ "a comment without an end", "phases", "\n/* phases", 4, "a comment without its closing */" },
		{ "an empty title", "\"a title\"", "\"\"", 1, "title: must have 1 to 60 bytes" },
		{ "a number as title", "\"a title\"", "5", 1, "title: this is a number, but wanted is a text" },
		{ "a title of two lines", "a title", "a\\ntitle", 1, "only printable" },
		{ "a title that turns around", "a title", "a \xe2\x80\xae title", 1, "only printable" },
		{ "a title that is no UTF-8", "a title", "a \xff title", 1, "only printable" },
		{ "a long id", "\"T1\"", "\"a-very-long-name\"", 1, "id: must have 1 to 15 bytes" },

		{ "phases as text", "{ warm = \"0s\"; quiet = \"1s\"; attack = \"2s\"; after = \"0\"; }", "\"1s\"", 3, "phases: this is a text, but wanted is a group" },
		{ "an unknown phase", "quiet", "silent", 3, "there are warm, quiet, attack, after" },
		{ "no time", "\"1s\"", "\"1 s\"", 3, "quiet: \"1 s\" is not a time" },
		{ "a number as time", "\"1s\"", "1", 3, "wanted is a time in quotes" },
		{ "no attack", "\"2s\"", "\"0s\"", 3, "attack: \"0s\" is not a time from 100ms to 1h" },
		{ "two hours", "\"2s\"", "\"2h\"", 3, "to 1h" },

		{ "a list of numbers", "[ \"red\", \"green\" ]", "[ 1, 2 ]", 4, "a text, in quotes" },
		{ "an empty list", "[ \"red\", \"green\" ]", "[ ]", 4, "colour: must have 1 to" },
		{ "a list with a name in capitals", "colour =", "Colour =", 4, "a to z" },
		{ "a list called as something else", "colour =", "recipient =", 4, "{recipient} means something already" },

		{ "no list of attackers", "attackers = ( {", "attackers = ( 5, {", 5, "this is a number, but wanted is a group" },
		{ "an unknown setting", "parallel", "paralel", 9, "an attacker has no setting \"paralel\"" },
		{ "no name", "name = \"bots\"; ", "", 5, "an attacker needs the setting \"name\"" },
		{ "a name with a blank", "\"bots\"", "\"my bots\"", 6, "a to z" },
		{ "an unknown service", "submission", "gopher", 7, "none of smtp, submission" },
		{ "no addresses", "addresses = 10", "addresses = 0", 8, "addresses: 0 is outside 1 to 1000000" },
		{ "too many addresses", "addresses = 10", "addresses = 1000001", 8, "outside 1 to 1000000" },
		{ "a part of an address", "addresses = 10", "addresses = 1.5", 8, "a whole number" },
		{ "addresses not in a group", "from = { addresses = 10; spread = \"near\"; }", "from = 10", 8, "from: this is a number, but wanted is a group" },
		{ "an unknown spread", "near", "close", 8, "neither \"far\"" },
		{ "no rate", "rate = 20", "rate = 0", 9, "rate: 0 is not above 0" },
		{ "a negative rate", "rate = 20", "rate = -1.5", 9, "rate: -1.5 is not above 0" },
		{ "too high a rate", "rate = 20", "rate = 200001", 9, "up to 200000" },
		{ "an endless rate", "rate = 20", "rate = 1e999", 9, "up to 200000" },
		{ "a rate in quotes", "rate = 20", "rate = \"20\"", 9, "wanted is a number" },
		{ "rate and visits", "rate = 20", "rate = 20; visits = 3", 9, "say one of them" },
		{ "a pause in an open loop", "rate = 20", "rate = 20; pause = \"1s\"", 9, "pause: with rate or visits" },
		{ "even in a closed loop", "rate = 20; ", "", 9, "even: this is for rate or visits" },
		{ "no pace at all", "rate = 20; parallel = 50; ramp = 2.5; patience = \"7s\"; even = true;", "", 5, "how many? say rate" },
		{ "too many at once", "parallel = 50", "parallel = 500001", 9, "parallel: 500001 is outside" },
		{ "no patience", "\"7s\"", "\"0s\"", 9, "patience: \"0s\" is not a time from 1ms" },
		{ "even is no number", "even = true", "even = 1", 9, "true or false" },
		{ "high bits that are lost", "parallel = 50", "parallel = 4294967346", 9, "more than nine digits" },
		{ "high bits in hex", "parallel = 50", "parallel = 0x100000032", 9, "more than nine digits" },
		{ "a large number of 64 bits", "parallel = 50", "parallel = 4294967346L", 9, "more than nine digits" },

		{ "values not in a list", "values = (", "values = ( 5,", 10, "this is a number, but wanted is a group" },
		{ "a value without choices", "one-of = [ \"dark\", \"light {colour}\" ]; ", "", 11, "a value needs the setting \"one-of\"" },
		{ "a value from a list that is not there", "{colour}", "{color}", 11, "{color}" },
		{ "a value from one below it", "{colour}", "{word}", 11, "{word}" },
		{ "a value like a list", "\"shade\"", "\"colour\"", 11, "there is a list \"colour\" already" },
		{ "a value like another", "\"word\"", "\"shade\"", 12, "there is a value \"shade\" already" },
		{ "a value like a word of ours", "\"word\"", "\"base64\"", 12, "means something already" },
		{ "a brace too many", "{shade}er", "{shade}er{", 12, "brace" },
		{ "a weight too few", "[ 3, 1 ]", "[ 3 ]", 11, "weights: there are 1 for 2 choices" },
		{ "a weight of nothing", "[ 3, 1 ]", "[ 3, 0 ]", 11, "0 is outside 1 to 1000000" },
		{ "drawn once for the day", "\"visit\"", "\"day\"", 11, "neither \"visit\" nor \"address\"" },

		{ "no dialogue", "dialogue = [\n\t\t\"expect 220\",\n\t\t\"send EHLO {word}\",\n\t\t\"hear\", \"done\"\n\t];", "", 5, "\"bots\" needs a dialogue" },
		{ "an unknown step", "\"expect 220\"", "\"except 220\"", 15, "except" },
		{ "a value in a step that is not there", "{word}", "{wort}", 16, "{wort}" },
		{ "a step that is no text", "dialogue = [\n\t\t\"expect 220\",\n\t\t\"send EHLO {word}\",\n\t\t\"hear\", \"done\"\n\t];", "dialogue = (\n\"expect 220\",\n5\n);", 16, "this is a number" },
		{ "steps of two kinds", "\"hear\", \"done\"", "5", 17, "mismatched element type" },
		{ "an unknown reaction", "\"leave 0.25\"", "\"go away\"", 19, "is none of \"next\", \"leave\"" },
		{ "leaving more than always", "leave 0.25", "leave 1.5", 19, "none of" },
		{ "leaving never", "leave 0.25", "leave 0", 19, "none of" },
		{ "leaving with words", "leave 0.25", "leave nan", 19, "none of" },
		{ "leaving with two numbers", "leave 0.25", "leave 0.2 0.3", 19, "none of" },
		{ "coming again at no time", "retry 500ms", "retry", 19, "none of" },
		{ "coming again from nowhere", "3s elsewhere", "3s somewhere", 19, "none of" },
		{ "coming again next week", "retry 500ms", "retry 7d", 19, "none of" },
		{ "a stage that is none", "helo = \"retry", "hello = \"retry", 19, "neither a stage" },
		{ "the phase is over", "done = \"next\"", "over = \"next\"", 19, "neither a stage" },

		{ "beside nobody known", "\"friend\" ];", "\"foe\" ];", 21, "there is no honest client \"foe\"; there are friend" },
		{ "beside a path", "\"friend\" ];", "\"../friend\" ];", 21, "a to z" },
		{ "beside no array", "[ \"friend\" ]", "\"friend\"", 21, "wanted is up to 16 names" },
		{ "beside the same twice", "[ \"friend\" ]", "[ \"friend\", \"friend\" ]", 0, "somebody called \"friend\" already" },

		{ "an unknown promise", "\"alive\"", "\"fun\"", 22, "fun" },
		{ "a promise without its word", "promise = \"alive\"; ", "", 22, "needs the setting \"promise\"" },
		{ "a promise with a limit that takes none", "promise = \"alive\";", "promise = \"alive\"; limit = 3;", 22, "alive" },
		{ "a promise without the limit that it needs", "\"alive\"", "\"falls\"", 22, "falls" },
		{ "a promise about nobody", "of = \"friend\"", "of = \"foe\"", 22, "nobody called \"foe\"" },
		{ "attackers are served", "of = \"friend\"", "of = \"bots\"", 22, "served" },
	};
	/* clang-format on */

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		expect_error(rows[i].why, with(rows[i].old, rows[i].new), rows[i].line,
			     rows[i].says);
}

static void other_files_cannot_be_drawn_in(void **unused)
{
	static const struct {
		const char *why, *text;
		unsigned line;
	} rows[] = {
		{ "at the beginning", "@include \"/etc/hostname\"\n", 1 },
		{ "with blanks", "\n \t@include   \"t.conf\"\n", 2 },
		{ "behind a comment", "# \"\n@include \"/etc/hostname\"\n", 2 },
		{ "behind a comment of two lines",
		  "/* \"\n */\n@include \"/etc/hostname\"\n", 3 },
		{ "behind a comment that only seems to end",
		  "/*/ \" */\n@include \"t.conf\"\n# \"", 2 },
		{ "behind a comment with slashes", "// \"\n@include \"/etc/hostname\"\n",
		  2 },
		{ "behind a text", "id = \"\\\"\";\n@include \"/etc/hostname\"\n", 2 },
		{ "behind a backslash", "id = \"\\\\\";\n@include \"/etc/hostname\"\n", 2 },
	};
	char text[sizeof(good) + 100];
	struct scenario *s;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		expect_error(rows[i].why, rows[i].text, rows[i].line,
			     "@include is not for");

	/* what only looks like it */
	snprintf(text, sizeof(text), "# @include \"a\"\n/*\n@include \"b\"\n*/\n%.*s",
		 (int)sizeof(good) + 50, with("what it is", "me@include.example"));
	s = opened(text);
	assert_string_equal(s->about, "me@include.example");
	scenario_close(&s);
}

static void what_libconfig_would_swallow_is_told(void **unused)
{
	struct scenario *s;
	char text[sizeof(good) + 1];
	struct err e;

	(void)unused;
	expect_error("a NUL in a text", with("\"expect 220\"", "\"raw \\x00\""), 15,
		     "\\\\0");
	memcpy(text, good, sizeof(good));
	text[10] = '\0';
	write_bytes(file, text, sizeof(good));
	assert_false(scenario_open(&s, file, honest_dir, NULL, &e));
	assert_non_null(strstr(e.text, ":1: a zero byte"));

	/* digits in names, in texts and in comments are no numbers */
	s = opened(with("\"expect 220\",",
			"\"send 12345678901234567890\", # 12345678901234567890\n"));
	scenario_close(&s);
	s = opened(with("\"bots\"", "\"bots-12345678901234567890\""));
	scenario_close(&s);
	s = opened(with("{ colour =", "{ a12345678901234567890 = [ \"b\" ]; colour ="));
	scenario_close(&s);
}

static void a_list_may_be_in_a_file_beside_the_scenario(void **unused)
{
	const struct words *w;
	struct scenario *s;

	(void)unused;
	write_below("names.txt",
		    "# names\r\nanna\r\n\n  otto \nJ\xc3\xbcrgen\nlast without an end");
	s = opened(with("[ \"red\", \"green\" ]", "{ file = \"names.txt\"; }"));
	w = &s->lists[0];
	assert_int_equal(w->n, 4);
	assert_int_equal(w->total, 4);
	expect_span("first", w->items[0], SPAN("anna"));
	expect_span("second", w->items[1], SPAN("otto"));
	expect_span("third", w->items[2], SPAN("J\xc3\xbcrgen"));
	expect_span("last", w->items[3], SPAN("last without an end"));
	scenario_close(&s);
}

static void a_list_in_a_file_must_be_a_plain_list_of_words(void **unused)
{
	static const struct {
		const char *why, *name, *text, *says;
	} rows[] = {
		{ "not there", "none.txt", NULL, "No such file" },
		{ "a path", "../names.txt", NULL, "must be a plain name" },
		{ "an absolute path", "/etc/hostname", NULL, "must be a plain name" },
		{ "hidden", ".names", NULL, "must be a plain name" },
		{ "a directory", "honest", NULL, "this is not a file" },
		{ "nothing in it", "empty.txt", "", "there is no word in" },
		{ "only comments", "comments.txt", "#a\n\n#b", "there is no word in" },
		{ "a control character", "control.txt", "a\nb\x01\n",
		  "control.txt:2: a control" },
		{ "a tab", "tab.txt", "a\tb\n", "tab.txt:1: a control" },
	};
	char long_word[300], new[80], path[128];
	FILE *f;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (rows[i].text)
			write_below(rows[i].name, rows[i].text);
		snprintf(new, sizeof(new), "{ file = \"%s\"; }", rows[i].name);
		expect_error(rows[i].why, with("[ \"red\", \"green\" ]", new), 0,
			     rows[i].says);
	}
	expect_error("more than the file",
		     with("[ \"red\", \"green\" ]", "{ file = \"a\"; n = 3; }"), 4,
		     "a list has no");

	memset(long_word, 'a', 256);
	long_word[256] = '\0';
	write_below("long.txt", long_word);
	expect_error("a long word",
		     with("[ \"red\", \"green\" ]", "{ file = \"long.txt\"; }"), 0,
		     "long.txt:1: a word of more than 255 bytes");
	snprintf(path, sizeof(path), "%s/many.txt", dir);
	f = fopen(path, "we");
	assert_non_null(f);
	for (int i = 0; i <= WORDS_MAX; i++)
		fprintf(f, "w%d\n", i);
	fclose(f);
	expect_error("many words",
		     with("[ \"red\", \"green\" ]", "{ file = \"many.txt\"; }"), 0,
		     "many.txt:100001: more than 100000 words");
}

static void what_is_no_file_or_too_large_is_refused_at_once(void **unused)
{
	char path[128];
	struct scenario *s;
	struct err e;

	(void)unused;
	assert_false(scenario_open(&s, "/nonexistent/x.conf", honest_dir, NULL, &e));
	assert_string_equal(e.text, "/nonexistent/x.conf: No such file or directory");
	assert_false(scenario_open(&s, dir, honest_dir, NULL, &e));
	assert_non_null(strstr(e.text, "this is not a file"));

	snprintf(path, sizeof(path), "%s/pipe.conf", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_false(scenario_open(&s, path, honest_dir, NULL, &e));
	assert_non_null(strstr(e.text, "this is not a file"));

	write_below("large.conf", good);
	snprintf(path, sizeof(path), "%s/large.conf", dir);
	assert_int_equal(truncate(path, (4 << 20) + 1), 0);
	assert_false(scenario_open(&s, path, honest_dir, NULL, &e));
	assert_non_null(strstr(e.text, "more than 4 MiB"));
}

/* More of something than fits: head, n times `one` with a number in it, tail. */
static void expect_too_many(const char *why, const char *old, const char *head,
			    const char *one, int n, const char *tail, const char *says)
{
	static char text[200000];
	size_t used = (size_t)snprintf(text, sizeof(text), "%s", head);

	for (int i = 0; i < n; i++) {
		const char *mark = strchr(one, '#');

		used += (size_t)snprintf(text + used, sizeof(text) - used, "%.*s%d%s",
					 (int)(mark - one), one, i, mark + 1);
	}
	snprintf(text + used, sizeof(text) - used, "%s", tail);
	expect_error(why, with(old, text), 0, says);
}

static void everything_that_grows_has_a_ceiling(void **unused)
{
	(void)unused;
	expect_too_many("lists", "lists = { ", "lists = { ", "l# = [ \"a\" ];", LISTS_MAX,
			"", "lists: more than 32");
	expect_too_many("values", "values = (\n", "values = (\n",
			"{ name = \"v#\"; one-of = [ \"a\" ]; },", VALUES_MAX, "",
			"values: must have 1 to 16");
	expect_too_many("choices", "\"dark\", \"light {colour}\"", "\"a\"", ", \"b#\"",
			CHOICES_MAX, "", "one-of: must have 1 to 32");
	expect_too_many("steps", "\"hear\", \"done\"", "\"hear\"", ", \"send #\"",
			STEPS_MAX, "", "dialogue: must have 1 to 200");
	expect_too_many("promises", "promises = ( ", "promises = ( ",
			"{ promise = \"served\"; limit = #; },", PROMISES_MAX, "",
			"promises: must have 1 to 16");
	expect_too_many(
		"attackers", "attackers = ( {", "attackers = ( ",
		"{ name = \"a#\"; title = \"a\"; parallel = 1; dialogue = [ \"hear\" ]; },",
		ACTORS_MAX, "{", "attackers: must have 1 to 16");
	expect_too_many(
		"with those beside", "attackers = ( {", "attackers = ( ",
		"{ name = \"a#\"; title = \"a\"; parallel = 1; dialogue = [ \"hear\" ]; },",
		ACTORS_MAX - 1, "{",
		"more than 16, attackers and honest clients together");
}

static void an_attacker_may_be_like_another(void **unused)
{
	struct scenario *s;
	const struct actor *a, *b;

	(void)unused;
	s = opened(with(
		"} );\nbeside",
		"}, { name = \"more\"; like = \"bots\"; title = \"more bots\";\n"
		"from = { addresses = 3; }; values = ( { name = \"word\"; one-of = [ \"other\" ]; } );\n"
		"} );\nbeside"));
	a = &s->actors[0];
	b = &s->actors[1];
	assert_string_equal(b->name, "more");
	assert_string_equal(b->title, "more bots");
	assert_int_equal(b->service, a->service);
	assert_true(b->rate == a->rate && b->even);
	assert_int_equal(b->parallel, a->parallel);
	assert_int_equal(b->script.n, a->script.n);
	assert_int_equal(b->on_end[END_LATER].after, 3000);
	/* what it says of its own is all of that setting */
	assert_int_equal(b->addresses, 3);
	assert_int_equal(b->spread, SPREAD_FAR);
	assert_int_equal(b->values_n, 1);
	expect_span("its own word", b->values[0].words.items[0], SPAN("other"));
	scenario_close(&s);

	expect_error("like nobody",
		     with("name = \"bots\";", "name = \"bots\"; like = \"others\";"), 6,
		     "like: there is no \"others\" above");
	expect_error("like itself",
		     with("name = \"bots\";", "name = \"bots\"; like = \"bots\";"), 6,
		     "like: there is no \"bots\" above");
	expect_error("like one that is like another",
		     with("} );\nbeside",
			  "}, { name = \"b\"; like = \"bots\"; title = \"b\"; },\n"
			  "{ name = \"c\"; like = \"b\"; title = \"c\"; } );\nbeside"),
		     21, "is itself like another");
	expect_error(
		"two of one name",
		with("} );\nbeside",
		     "}, { name = \"bots\"; like = \"bots\"; title = \"b\"; } );\nbeside"),
		20, "somebody called \"bots\" already");
}

static void honest_clients_can_be_chosen_by_the_caller(void **unused)
{
	static const char *const none[] = { NULL }, *const other[] = { "other", NULL },
				 *const wrong[] = { "nobody", NULL },
				 *const path[] = { "../honest/friend", NULL };
	char gone[100];
	struct scenario *s;
	struct err e;

	(void)unused;
	write_below("honest/other.conf",
		    "name = \"other\"; title = \"another\"; rate = 1.0;\n"
		    "dialogue = [ \"expect 220\", \"done\" ];\n");
	write_bytes(file, good, strlen(good));
	assert_true(scenario_open(&s, file, honest_dir, other, &e));
	assert_int_equal(s->actors_n, 2);
	assert_string_equal(s->actors[1].name, "other");
	/* the promise about the friend went away with the friend */
	assert_int_equal(s->promises_n, 1);
	assert_string_equal(s->promises[0].word, "alive");
	scenario_close(&s);

	assert_true(scenario_open(&s, file, honest_dir, none, &e));
	assert_int_equal(s->actors_n, 1);
	scenario_close(&s);

	assert_false(scenario_open(&s, file, honest_dir, wrong, &e));
	assert_string_equal(
		e.text, "there is no honest client \"nobody\"; there are friend, other");
	assert_false(scenario_open(&s, file, honest_dir, path, &e));
	assert_false(scenario_open(&s, file, "/nonexistent", wrong, &e));
	assert_non_null(strstr(e.text, "/nonexistent: No such file"));
	snprintf(gone, sizeof(gone), "%s/other.conf", honest_dir);
	assert_int_equal(remove(gone), 0);
}

/* e is that of an honest file with this text. */
static void expect_honest_error(const char *text, const char *says)
{
	struct scenario *s;
	struct err e;

	write_below("honest/friend.conf", text);
	if (opens(&s, good, &e))
		fail_msg("%s: this is no error", says);
	write_below("honest/friend.conf", friendly);
	if (!strstr(e.text, says))
		fail_msg("%s is not in: %s", says, e.text);
}

static void a_mistake_in_an_honest_file_is_told_with_that_file(void **unused)
{
	(void)unused;
	expect_honest_error(
		"name = \"foe\"; title = \"a\";\nrate = 1.0; dialogue = [ \"hear\" ];",
		"honest/friend.conf:1: name: must be \"friend\", like the file");
	expect_honest_error(
		"name = \"friend\"; title = \"a\";\nrate = 1.0; dialogue = [ \"heer\" ];",
		"honest/friend.conf:2: dialogue: step 1");
	expect_honest_error(
		"title = \"a\";\nrate = 1.0; dialogue = [ \"hear\" ];",
		"honest/friend.conf:1: an honest client needs the setting \"name\"");
	expect_honest_error(
		"name = \"friend\"; title = \"a\";\nlike = \"bots\";",
		"honest/friend.conf:2: an honest client has no setting \"like\"");
	expect_honest_error(
		"name = \"friend\"; title = \"a\";\nlists = { a = [ \"b\" ]; };",
		"honest/friend.conf:2: an honest client has no setting \"lists\"");
	/* it goes with any scenario, so it cannot know the lists of this one */
	expect_honest_error(
		"name = \"friend\"; title = \"a\"; rate = 1.0;\ndialogue = [\n\"send {colour}\" ];",
		"honest/friend.conf:3: dialogue: step 1");
}

static void an_honest_client_may_use_any_name_for_its_values(void **unused)
{
	struct scenario *s;

	(void)unused;
	write_below("honest/friend.conf",
		    "name = \"friend\"; title = \"a\"; rate = 1.0;\n"
		    "values = ( { name = \"colour\"; one-of = [ \"blue\" ]; } );\n"
		    "dialogue = [ \"send {colour}\" ];");
	s = opened(good);
	assert_string_equal(s->actors[1].values[0].words.name, "colour");
	scenario_close(&s);
	write_below("honest/friend.conf", friendly);
}

static void scaling_changes_attackers_and_keeps_one_of_each(void **unused)
{
	struct scenario *s = opened(good);
	struct actor *a = &s->actors[0];
	struct err e;

	(void)unused;
	assert_true(scenario_scale(s, 3, &e));
	assert_int_equal(a->addresses, 30);
	assert_int_equal(a->parallel, 150);
	assert_true(a->rate == 60 && a->ramp == 7.5);
	assert_true(s->actors[1].rate == 2);
	assert_true(scenario_scale(s, 0.001, &e));
	assert_int_equal(a->addresses, 1);
	assert_int_equal(a->parallel, 1);
	assert_true(a->rate > 0.0599 && a->rate < 0.0601);
	assert_int_equal(s->actors[1].parallel, 100);
	scenario_close(&s);
}

static void scaling_above_a_limit_changes_nothing(void **unused)
{
	static const struct {
		const char *old, *new;
		double factor;
		const char *says;
	} rows[] = {
		{ "addresses = 10", "addresses = 600000", 2, "bots: 1200000 addresses" },
		{ "addresses = 10", "addresses = 1000000", 1000,
		  "bots: 1000000000 addresses" },
		{ "parallel = 50", "parallel = 300000", 2, "bots: 600000 visits at once" },
		{ "rate = 20", "rate = 150000", 2, "bots: 300000 visits a second" },
		{ "ramp = 2.5", "ramp = 150000", 2, "bots: 300000 visits a second" },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct scenario *s = opened(with(rows[i].old, rows[i].new));
		const struct actor before = s->actors[0];
		struct err e;

		assert_false(scenario_scale(s, rows[i].factor, &e));
		if (!strstr(e.text, rows[i].says))
			fail_msg("%s is not in: %s", rows[i].says, e.text);
		assert_memory_equal(&before, &s->actors[0], sizeof(before));
		scenario_close(&s);
	}
}

static void a_scenario_is_found_by_name_and_by_its_beginning(void **unused)
{
	static const char *const names[] = { "a1-one.conf",  "a1-two.conf",
					     "a10-ten.conf", "a4-relay-bots.conf",
					     "a4.txt",	     ".a5.conf",
					     "b-x.conf",     "b.conf" };
	static const struct {
		const char *name, *found; /* below the directory, or NULL */
		const char *says;
	} rows[] = {
		{ "a4-relay-bots", "a4-relay-bots.conf", NULL },
		{ "A4", "a4-relay-bots.conf", NULL },
		{ "A4-Relay-Bots", "a4-relay-bots.conf", NULL },
		{ "a4-relay", "a4-relay-bots.conf", NULL },
		{ "A10", "a10-ten.conf", NULL },
		{ "b", "b.conf", NULL }, /* exactly that, and not b-x */
		{ "a1", NULL, "\"a1\" could be any of these, say which: a1-one, a1-two" },
		{ "a4-rel", NULL,
		  "there is no scenario \"a4-rel\"; there are a1-one, a1-two, a4-relay-bots, " },
		{ "a5", NULL, "there is no scenario \"a5\"" },
		{ "a", NULL, "there is no scenario \"a\"" },
		{ "", NULL, "there is no scenario \"\"" },
	};
	char shelf[64], path[200], want[200];
	struct err e;

	(void)unused;
	snprintf(shelf, sizeof(shelf), "%s/shelf", dir);
	assert_int_equal(mkdir(shelf, 0700), 0);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		snprintf(path, sizeof(path), "shelf/%s", names[i]);
		write_below(path, "");
	}
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		bool ok = scenario_find(rows[i].name, shelf, path, sizeof(path), &e);

		expect_true(rows[i].name, ok == (rows[i].found != NULL));
		snprintf(want, sizeof(want), "%s/%s", shelf, ok ? rows[i].found : "");
		if (ok)
			assert_string_equal(path, want);
		else if (!strstr(e.text, rows[i].says))
			fail_msg("%s is not in: %s", rows[i].says, e.text);
	}
	/* paths are not looked for */
	assert_true(scenario_find("mine.conf", shelf, path, sizeof(path), &e));
	assert_string_equal(path, "mine.conf");
	assert_true(scenario_find("./a4", shelf, path, sizeof(path), &e));
	assert_string_equal(path, "./a4");
	assert_false(scenario_find("a4", shelf, path, 10, &e));
	assert_false(scenario_find("a4", "/nonexistent", path, sizeof(path), &e));
	assert_non_null(strstr(e.text, "/nonexistent: No such file"));
}

/* ---- what comes with the program ---- */

static int is_conf(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return d->d_name[0] != '.' && n > 5 && strcmp(d->d_name + n - 5, ".conf") == 0;
}

/* Call on() with each file of a directory of ours; returns how many. */
static int each_file(const char *where, void (*on)(const char *path, const char *name))
{
	struct dirent **found;
	int n = scandir(where, &found, is_conf, alphasort);

	assert_true(n > 0);
	for (int i = 0; i < n; i++) {
		char path[600];

		snprintf(path, sizeof(path), "%s/%s", where, found[i]->d_name);
		on(path, found[i]->d_name);
		free(found[i]);
	}
	free(found);
	return n;
}

static struct scenario *shipped(const char *path, const char *const *beside)
{
	struct scenario *s;
	struct err e;

	if (!scenario_open(&s, path, SHIPPED_HONEST, beside, &e))
		fail_msg("%s", e.text);
	return s;
}

static bool promises(const struct scenario *s, const char *word)
{
	for (size_t i = 0; i < s->promises_n; i++)
		if (strcmp(s->promises[i].word, word) == 0)
			return true;
	return false;
}

static bool seen[13];

static void check_attack(const char *path, const char *name)
{
	struct scenario *s = shipped(path, NULL);
	unsigned number = 0;
	char from[20];

	assert_int_equal(sscanf(s->id, "A%u", &number), 1);
	expect_true(name, number >= 1 && number <= 12);
	seen[number] = true;
	/* the file is found by the number of its attack */
	snprintf(from, sizeof(from), "a%s-", s->id + 1);
	expect_true(name, strncmp(name, from, strlen(from)) == 0);
	expect_true(name, promises(s, "served") && promises(s, "alive"));
	expect_true(name, s->actors[s->actors_n - 1].honest);
	for (size_t i = 0; i < s->actors_n; i++)
		expect_true(name, !s->actors[i].honest || s->actors[i].script.has_done);
	scenario_close(&s);
}

static void all_attacks_are_there_and_good(void **unused)
{
	(void)unused;
	each_file(SOURCE_ROOT "/rehearse/scenarios", check_attack);
	for (size_t i = 1; i < COUNT_OF(seen); i++)
		assert_true(seen[i]);
}

static void check_honest(const char *path, const char *name)
{
	char word[100];
	const char *const beside[] = { word, NULL };
	struct scenario *s;
	const struct actor *a;

	(void)path;
	snprintf(word, sizeof(word), "%.*s", (int)strlen(name) - 5, name);
	s = shipped(SOURCE_ROOT "/rehearse/scenarios/a4-relay-bots.conf", beside);
	assert_int_equal(s->actors_n, 2);
	a = &s->actors[1];
	assert_string_equal(a->name, word);
	/* due at their own time, whatever becomes of the server, and known to be served or not */
	expect_true(name, a->honest && a->rate > 0 && a->script.has_done);
	scenario_close(&s);
}

static void all_honest_clients_are_good(void **unused)
{
	(void)unused;
	assert_true(each_file(SHIPPED_HONEST, check_honest) >= 11);
}

static void check_bench(const char *path, const char *name)
{
	struct scenario *s = shipped(path, NULL);

	expect_true(name, s->phase[PHASE_ATTACK] <= 90000);
	scenario_close(&s);
}

static void all_scenarios_of_the_benchmarks_are_good(void **unused)
{
	(void)unused;
	each_file(SOURCE_ROOT "/bench/scenarios", check_bench);
}

/* ---- anything else ---- */

static uint64_t state = 4;

static void damage(const char *path, const char *name)
{
	static char text[64 << 10];
	FILE *f = fopen(path, "re");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	for (int round = 0; round < 40; round++) {
		static char copy[sizeof(text)];
		static const char odd[] = "{}[]()\"\\;,=@#/*\n0 9a-";
		size_t len = n;
		struct scenario *s;
		struct err e;

		memcpy(copy, text, n);
		for (size_t k = 0; k <= dice_below(&state, 3); k++) {
			size_t at = dice_below(&state, len), cut = dice_below(&state, 20);

			copy[at] = odd[dice_below(&state, sizeof(odd) - 1)];
			if (dice_below(&state, 2) && at + cut < len) {
				memmove(copy + at, copy + at + cut, len - at - cut);
				len -= cut;
			}
		}
		write_bytes(file, copy, len);
		e.text[0] = '\0';
		if (scenario_open(&s, file, SHIPPED_HONEST, NULL, &e))
			scenario_close(&s);
		else
			expect_true(name, strncmp(e.text, file, strlen(file)) == 0);
	}
}

static void damaged_files_are_told_or_still_good(void **unused)
{
	(void)unused;
	each_file(SOURCE_ROOT "/rehearse/scenarios", damage);
}

/* libconfig 1.5 does not free the texts that a syntax error leaves behind. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig\n";
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_file_becomes_what_it_says),
		cmocka_unit_test(what_is_not_said_has_a_default),
		cmocka_unit_test(each_mistake_is_told_with_its_line),
		cmocka_unit_test(other_files_cannot_be_drawn_in),
		cmocka_unit_test(what_libconfig_would_swallow_is_told),
		cmocka_unit_test(a_list_may_be_in_a_file_beside_the_scenario),
		cmocka_unit_test(a_list_in_a_file_must_be_a_plain_list_of_words),
		cmocka_unit_test(what_is_no_file_or_too_large_is_refused_at_once),
		cmocka_unit_test(everything_that_grows_has_a_ceiling),
		cmocka_unit_test(an_attacker_may_be_like_another),
		cmocka_unit_test(honest_clients_can_be_chosen_by_the_caller),
		cmocka_unit_test(a_mistake_in_an_honest_file_is_told_with_that_file),
		cmocka_unit_test(an_honest_client_may_use_any_name_for_its_values),
		cmocka_unit_test(scaling_changes_attackers_and_keeps_one_of_each),
		cmocka_unit_test(scaling_above_a_limit_changes_nothing),
		cmocka_unit_test(a_scenario_is_found_by_name_and_by_its_beginning),
		cmocka_unit_test(all_attacks_are_there_and_good),
		cmocka_unit_test(all_honest_clients_are_good),
		cmocka_unit_test(all_scenarios_of_the_benchmarks_are_good),
		cmocka_unit_test(damaged_files_are_told_or_still_good),
	};

	return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
