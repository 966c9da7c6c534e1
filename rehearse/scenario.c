#include "rehearse/scenario.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/number.h"
#include "base/utf8.h"
#include "rehearse/result.h"

#define FILE_MOST   ((size_t)4 << 20) /* bytes of a scenario, or of a list */
#define PATH_CAP    4096
#define NAME_MOST   40
#define ID_MOST	    15
#define TITLE_MOST  60
#define ABOUT_MOST  500
#define WORD_MOST   255 /* bytes of a word of a list */
#define WEIGHT_MOST 1000000
#define TIME_MOST   (SECONDS_MAX * MS_SECOND)

/* What a scenario holds on to, besides its scripts. */
struct piece {
	struct piece *next;
	max_align_t bytes[];
};

struct memory {
	struct piece *pieces;
	config_t trees[1 + ACTORS_MAX]; /* texts of the scenario point into them */
	size_t trees_n;
};

/* One file that is being read. */
struct reader {
	struct scenario *s;
	struct memory *m;
	const char *path;
	const config_setting_t *attackers[ACTORS_MAX]; /* for `like` */
	struct err *e;
};

typedef const config_setting_t setting;

static bool bad(const struct reader *r, setting *at, const char *fmt, ...) PRINTF(3, 4);

/* FILE:LINE: and the text; a long path loses its beginning. */
static bool bad_line(const struct reader *r, unsigned line, const char *text)
{
	size_t n = strlen(r->path), most = 150;

	return err_set(r->e, "%s%s:%u: %s", n > most ? "..." : "",
		       n > most ? r->path + n - most : r->path, line, text);
}

static bool bad(const struct reader *r, setting *at, const char *fmt, ...)
{
	char text[sizeof(r->e->text)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return bad_line(r, config_setting_source_line(at), text);
}

static void *take(struct memory *m, size_t n, size_t size)
{
	struct piece *p = NULL;

	if (n <= SIZE_MAX / 2 / size)
		p = calloc(1, sizeof(*p) + n * size);
	if (!p)
		return NULL;
	p->next = m->pieces;
	m->pieces = p;
	return p->bytes;
}

static bool no_room(const struct reader *r)
{
	return err_set(r->e, "%s: out of memory", r->path);
}

/* ---- a file, up to libconfig's tree ---- */

static bool file_read(struct memory *m, const char *path, struct span *out, struct err *e)
{
	/* O_NONBLOCK: a FIFO must not hold us up */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *text = NULL;
	struct stat st;
	size_t n = 0;
	ssize_t got;

	if (fd < 0)
		return err_set(e, "%s: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		err_set(e, "%s: this is not a file", path);
	else if ((uint64_t)st.st_size > FILE_MOST)
		err_set(e, "%s: more than %zu MiB; make it smaller", path,
			FILE_MOST >> 20);
	else if (!(text = take(m, (size_t)st.st_size + 1, 1)))
		err_set(e, "%s: out of memory", path);
	while (text && n < (size_t)st.st_size) {
		got = read(fd, text + n, (size_t)st.st_size - n);
		if (got == 0)
			break;
		if (got < 0 && errno != EINTR) {
			err_set(e, "%s: %s", path, strerror(errno));
			text = NULL;
		}
		n += got > 0 ? (size_t)got : 0;
	}
	close(fd);
	if (!text)
		return false;
	*out = span_of(text, n);
	return true;
}

enum inside { INSIDE_NOTHING, INSIDE_TEXT, INSIDE_LINE_COMMENT, INSIDE_COMMENT };

static bool part_of_word(uint8_t c, bool inside)
{
	return (c >= '0' && c <= '9') || (byte_lower(c) >= 'a' && byte_lower(c) <= 'z') ||
	       (inside && (c == '-' || c == '_'));
}

/*
 * What libconfig would swallow: other files through @include; the high bits of a long number; a
 * zero byte, and all of the text behind it.
 */
static bool text_ok(const struct reader *r, struct span text)
{
	enum inside in = INSIDE_NOTHING;
	unsigned line = 1, word = 0;
	bool number = false;

	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i], next = i + 1 < text.n ? text.p[i + 1] : 0;

		if (c == '\0')
			return bad_line(r, line, "a zero byte; this is no text");
		if (c == '\n')
			line++;
		if (in == INSIDE_COMMENT && c == '*' && next == '/') {
			in = INSIDE_NOTHING;
			i++;
		} else if (in == INSIDE_LINE_COMMENT && c == '\n') {
			in = INSIDE_NOTHING;
		} else if (in == INSIDE_TEXT && c == '"') {
			in = INSIDE_NOTHING;
		} else if (in == INSIDE_TEXT && c == '\\') {
			if (span_starts(span_skip(text, i), SPAN("\\x00")))
				return bad_line(
					r, line,
					"\\x00 would end the text here; in raw, drip and "
					"fill write \\\\0");
			i += next != '\n';
		} else if (in != INSIDE_NOTHING) {
			continue;
		} else if (c == '"') {
			in = INSIDE_TEXT;
		} else if (c == '#' || (c == '/' && next == '/')) {
			in = INSIDE_LINE_COMMENT;
		} else if (c == '/' && next == '*') {
			in = INSIDE_COMMENT;
			i++;
		} else if (c == '@') {
			return bad_line(r, line,
					"@include is not for scenarios; write it here, or "
					"use a list with file = \"NAME\"");
		}
		if (!part_of_word(c, word))
			word = 0;
		else if (word++ == 0)
			number = c <= '9';
		if (number && word > 9)
			return bad_line(r, line,
					"a number of more than nine digits is too large");
	}
	return true;
}

static bool tree_read(struct reader *r, setting **root)
{
	config_t *tree = &r->m->trees[r->m->trees_n];
	struct span text;
	char why[200];

	if (!file_read(r->m, r->path, &text, r->e) || !text_ok(r, text))
		return false;
	config_init(tree);
	r->m->trees_n++;
	/* file_read() left a zero byte behind the text */
	if (!config_read_string(tree, (const char *)text.p)) {
		snprintf(why, sizeof(why),
			 "%s; a setting is NAME = VALUE; with commas between, and none after "
			 "the last, in [ ] and ( )",
			 config_error_text(tree));
		return bad_line(r, (unsigned)config_error_line(tree), why);
	}
	*root = config_root_setting(tree);
	return true;
}

/* ---- single values ---- */

static const char *kind_word(setting *s)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_GROUP:
		return "a group { }";
	case CONFIG_TYPE_ARRAY:
		return "an array [ ]";
	case CONFIG_TYPE_LIST:
		return "a list ( )";
	case CONFIG_TYPE_STRING:
		return "a text";
	case CONFIG_TYPE_BOOL:
		return "true or false";
	default:
		return "a number";
	}
}

static bool wanted(const struct reader *r, setting *s, const char *what)
{
	const char *name = config_setting_name(s);

	return bad(r, s, "%s%sthis is %s, but wanted is %s", name ? name : "",
		   name ? ": " : "", kind_word(s), what);
}

/* Printable, on one line, not empty: what may stand in a table. */
static bool text_of(const struct reader *r, setting *s, size_t most, const char **out)
{
	const char *text = config_setting_get_string(s);
	const char *name = config_setting_name(s);
	uint32_t code;

	if (!text)
		return wanted(r, s, "a text, in quotes");
	if (!name)
		name = "this text";
	if (!*text || strlen(text) > most)
		return bad(r, s, "%s: must have 1 to %zu bytes", name, most);
	for (struct span t = span_str(text); t.n;) {
		size_t n = utf8_first(t, &code);

		if (n == 0 || utf8_is_control(code))
			return bad(r, s, "%s: only printable characters, in UTF-8", name);
		t = span_skip(t, n);
	}
	*out = text;
	return true;
}

static bool name_ok(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= NAME_MOST && name[0] != '-' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static bool name_of(const struct reader *r, setting *s, const char **out)
{
	const char *name;

	if (!text_of(r, s, NAME_MOST, &name))
		return false;
	if (!name_ok(name))
		return bad(r, s,
			   "\"%s\": a name has a to z, 0 to 9 and dashes, and does not "
			   "begin with a dash",
			   name);
	*out = name;
	return true;
}

static bool time_of(const struct reader *r, setting *s, ms_t low, ms_t *out)
{
	const char *text = config_setting_get_string(s);
	char least[24];
	struct buf b;
	ms_t t;

	if (!text)
		return wanted(r, s, "a time in quotes, such as \"10s\"");
	if (duration_parse(span_str(text), &t) && t >= low && t <= TIME_MOST) {
		*out = t;
		return true;
	}
	buf_init(&b, least, sizeof(least) - 1);
	duration_print(low, &b);
	least[b.len] = '\0';
	return bad(
		r, s,
		"%s: \"%.40s\" is not a time from %s to 1h, such as \"500ms\" or \"10s\"",
		config_setting_name(s), text, low ? least : "0");
}

static bool count_of(const struct reader *r, setting *s, int64_t most, unsigned *out)
{
	const char *name = config_setting_name(s);
	int type = config_setting_type(s);
	int64_t n;

	if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
		return wanted(r, s, "a whole number");
	n = config_setting_get_int64(s);
	if (n < 1 || n > most)
		return bad(r, s, "%s: %lld is outside 1 to %lld", name ? name : "this",
			   (long long)n, (long long)most);
	*out = (unsigned)n;
	return true;
}

/* Above 0. */
static bool real_of(const struct reader *r, setting *s, double most, double *out)
{
	int type = config_setting_type(s);
	double n = 0;

	if (type == CONFIG_TYPE_FLOAT)
		n = config_setting_get_float(s);
	else if (type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64)
		n = (double)config_setting_get_int64(s);
	else
		return wanted(r, s, "a number");
	if (!(n > 0) || n > most)
		return bad(r, s, "%s: %g is not above 0 and up to %.0f",
			   config_setting_name(s), n, most);
	*out = n;
	return true;
}

/* ---- groups of settings ---- */

static bool group_ok(const struct reader *r, setting *s, const char *what,
		     const char *const *keys)
{
	char all[300] = "";

	if (!config_setting_is_group(s))
		return wanted(r, s, "a group { }");
	for (size_t i = 0; keys[i]; i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s",
			 i ? ", " : "", keys[i]);
	for (int i = 0; i < config_setting_length(s); i++) {
		setting *one = config_setting_get_elem(s, (unsigned)i);
		bool known = false;

		for (size_t k = 0; keys[k]; k++)
			known |= strcmp(keys[k], config_setting_name(one)) == 0;
		if (!known)
			return bad(r, one, "%s has no setting \"%.60s\"; there are %s",
				   what, config_setting_name(one), all);
	}
	return true;
}

static setting *member(setting *group, const char *key)
{
	return config_setting_get_member(group, key);
}

static bool needed(const struct reader *r, setting *group, const char *what,
		   const char *const *keys)
{
	for (size_t i = 0; keys[i]; i++)
		if (!member(group, keys[i]))
			return bad(r, group, "%s needs the setting \"%s\"", what, keys[i]);
	return true;
}

static bool row_of(const struct reader *r, setting *s, const char *what, int most)
{
	if (!config_setting_is_list(s) && !config_setting_is_array(s))
		return wanted(r, s, what);
	if (config_setting_length(s) < 1 || config_setting_length(s) > most)
		return bad(r, s, "%s: must have 1 to %d of them", config_setting_name(s),
			   most);
	return true;
}

/* ---- words ---- */

static const char *const own_words[] = { "n",	     "address", "port",	     "to",
					 "to-port",  "domain",	"recipient", "login",
					 "password", "random",	"digits",    "number",
					 "base64" };

static bool word_free(const struct reader *r, setting *at, const char *name,
		      const struct actor *a)
{
	for (size_t i = 0; i < COUNT_OF(own_words); i++)
		if (strcmp(own_words[i], name) == 0)
			return bad(r, at,
				   "{%s} means something already; choose another name",
				   name);
	for (size_t i = 0; (!a || !a->honest) && i < r->s->lists_n; i++)
		if (strcmp(r->s->lists[i].name, name) == 0)
			return bad(r, at,
				   "there is a list \"%s\" already; choose another name",
				   name);
	for (size_t i = 0; a && i < a->values_n; i++)
		if (strcmp(a->values[i].words.name, name) == 0)
			return bad(r, at,
				   "there is a value \"%s\" already; choose another name",
				   name);
	return true;
}

static bool words_inline(const struct reader *r, setting *s, int most, struct words *w)
{
	int n = config_setting_length(s);

	if (!row_of(r, s, "texts: [ \"a\", \"b\" ]", most))
		return false;
	w->items = take(r->m, (size_t)n, sizeof(*w->items));
	if (!w->items)
		return no_room(r);
	for (int i = 0; i < n; i++) {
		setting *one = config_setting_get_elem(s, (unsigned)i);
		const char *text = config_setting_get_string(one);

		if (!text)
			return wanted(r, one, "a text, in quotes");
		if (strlen(text) > STEP_TEXT_MAX)
			return bad(r, one, "a text of more than %d bytes", STEP_TEXT_MAX);
		w->items[w->n++] = span_str(text);
	}
	return true;
}

/* One word a line; empty lines and those that begin with # do not count. */
static bool words_split(const struct reader *r, struct span text, struct words *w)
{
	struct reader inner = *r;
	unsigned line = 0;

	while (text.n) {
		struct span word = span_cut(&text, '\n');

		line++;
		if (word.n && word.p[word.n - 1] == '\r')
			word.n--;
		word = span_trim(word);
		if (word.n == 0 || word.p[0] == '#')
			continue;
		if (word.n > WORD_MOST)
			return bad_line(&inner, line, "a word of more than 255 bytes");
		for (size_t i = 0; i < word.n; i++)
			if (word.p[i] < ' ' || word.p[i] == 0x7f)
				return bad_line(&inner, line,
						"a control character in a word");
		if (w->n == WORDS_MAX)
			return bad_line(&inner, line, "more than 100000 words");
		w->items[w->n++] = word;
	}
	return true;
}

/* Beside the scenario; a plain name, so that a scenario cannot read what is not its own. */
static bool words_file(const struct reader *r, setting *s, struct words *w)
{
	static const char *const keys[] = { "file", NULL };
	const char *slash = strrchr(r->path, '/'), *name;
	struct reader inner = *r;
	char path[PATH_CAP];
	size_t lines = 1;
	struct span text;

	if (!group_ok(r, s, "a list", keys) || !needed(r, s, "a list", keys) ||
	    !text_of(r, member(s, "file"), 100, &name))
		return false;
	if (strchr(name, '/') || name[0] == '.')
		return bad(r, s,
			   "file: \"%s\" must be a plain name, of a file in the directory "
			   "of the scenario",
			   name);
	if (snprintf(path, sizeof(path), "%.*s%s", slash ? (int)(slash + 1 - r->path) : 0,
		     r->path, name) >= (int)sizeof(path))
		return bad(r, s, "file: the path is too long");
	if (!file_read(r->m, path, &text, r->e))
		return false;
	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	if (lines > WORDS_MAX)
		lines = WORDS_MAX;
	w->items = take(r->m, lines, sizeof(*w->items));
	if (!w->items)
		return no_room(r);
	inner.path = path;
	if (!words_split(&inner, text, w))
		return false;
	return w->n ? true : bad(r, s, "file: there is no word in \"%s\"", name);
}

static bool lists_of(struct reader *r, setting *s)
{
	struct scenario *sc = r->s;

	if (!s)
		return true;
	if (!config_setting_is_group(s))
		return wanted(r, s, "a group: { NAME = [ \"a\", \"b\" ]; }");
	if (config_setting_length(s) > LISTS_MAX)
		return bad(r, s, "lists: more than %d", LISTS_MAX);
	for (int i = 0; i < config_setting_length(s); i++) {
		setting *one = config_setting_get_elem(s, (unsigned)i);
		struct words *w = &sc->lists[sc->lists_n];

		w->name = config_setting_name(one);
		if (!name_ok(w->name))
			return bad(r, one,
				   "\"%.60s\": the name of a list has a to z, 0 to 9 "
				   "and dashes",
				   w->name);
		if (!word_free(r, one, w->name, NULL))
			return false;
		if (config_setting_is_group(one) ? !words_file(r, one, w)
						 : !words_inline(r, one, WORDS_MAX, w))
			return false;
		w->total = (unsigned)w->n;
		sc->lists_n++;
	}
	return true;
}

/* ---- values of an actor ---- */

static bool weights_of(const struct reader *r, setting *s, struct words *w)
{
	if (!s) {
		w->total = (unsigned)w->n;
		return true;
	}
	if (!row_of(r, s, "numbers: [ 81, 19 ]", CHOICES_MAX))
		return false;
	if ((size_t)config_setting_length(s) != w->n)
		return bad(r, s, "weights: there are %d for %zu choices",
			   config_setting_length(s), w->n);
	w->weights = take(r->m, w->n, sizeof(*w->weights));
	if (!w->weights)
		return no_room(r);
	for (size_t i = 0; i < w->n; i++) {
		if (!count_of(r, config_setting_get_elem(s, (unsigned)i), WEIGHT_MOST,
			      &w->weights[i]))
			return false;
		w->total += w->weights[i];
	}
	return true;
}

static struct pool pool_of(const struct scenario *s, const struct actor *a)
{
	/* an honest client goes with any scenario, so it knows the lists of none */
	return (struct pool){ .lists = s->lists,
			      .lists_n = a->honest ? 0 : s->lists_n,
			      .values = a->values,
			      .values_n = a->values_n };
}

/* Is the newest value good? A dialogue of any kind would have to be. */
static bool value_ok(const struct reader *r, const struct actor *a, setting *at)
{
	static const char *const lines[] = { "hear" };
	struct pool pool = pool_of(r->s, a);
	struct script script;
	struct err e;

	if (!script_open(&script, lines, 1, service_speaks(a->service), &pool, &e))
		return bad(r, at, "%s", e.text);
	script_close(&script);
	return true;
}

static bool value_of(const struct reader *r, setting *s, struct actor *a)
{
	static const char *const keys[] = { "name", "one-of", "weights", "once", NULL };
	static const char *const must[] = { "name", "one-of", NULL };
	struct value *v = &a->values[a->values_n];
	setting *from, *once;
	const char *word;

	if (!group_ok(r, s, "a value", keys) || !needed(r, s, "a value", must) ||
	    !name_of(r, member(s, "name"), &v->words.name) ||
	    !word_free(r, s, v->words.name, a))
		return false;
	from = member(s, "one-of");
	if (!words_inline(r, from, CHOICES_MAX, &v->words) ||
	    !weights_of(r, member(s, "weights"), &v->words))
		return false;
	once = member(s, "once");
	if (once && !text_of(r, once, NAME_MOST, &word))
		return false;
	if (!once)
		v->draw = DRAW_EACH;
	else if (strcmp(word, "visit") == 0)
		v->draw = DRAW_VISIT;
	else if (strcmp(word, "address") == 0)
		v->draw = DRAW_ADDRESS;
	else
		return bad(r, once,
			   "once: \"%s\" is neither \"visit\" nor \"address\"; without "
			   "this setting it is drawn each time",
			   word);
	a->values_n++;
	return value_ok(r, a, s);
}

static bool values_of(const struct reader *r, setting *s, struct actor *a)
{
	if (!s)
		return true;
	if (!row_of(r, s, "a list of groups: ( { name = ...; one-of = [ ... ]; } )",
		    VALUES_MAX))
		return false;
	a->values = take(r->m, (size_t)config_setting_length(s), sizeof(*a->values));
	if (!a->values)
		return no_room(r);
	for (int i = 0; i < config_setting_length(s); i++)
		if (!value_of(r, config_setting_get_elem(s, (unsigned)i), a))
			return false;
	return true;
}

/* ---- what an actor does ---- */

static bool dialogue_of(const struct reader *r, setting *s, struct actor *a)
{
	const char *lines[STEPS_MAX];
	struct pool pool = pool_of(r->s, a);
	setting *at = s;
	unsigned step;
	struct err e;
	size_t n;

	if (!row_of(r, s, "texts: [ \"expect 220\", ... ]", STEPS_MAX))
		return false;
	n = (size_t)config_setting_length(s);
	for (size_t i = 0; i < n; i++) {
		lines[i] = config_setting_get_string_elem(s, (int)i);
		if (!lines[i])
			return wanted(r, config_setting_get_elem(s, (unsigned)i),
				      "a text, in quotes");
	}
	if (script_open(&a->script, lines, n, service_speaks(a->service), &pool, &e))
		return true;
	if (sscanf(e.text, "step %u", &step) == 1 && step >= 1 && step <= n)
		at = config_setting_get_elem(s, step - 1);
	return bad(r, at, "dialogue: %s", e.text);
}

/* next | leave [CHANCE] | retry TIME [elsewhere] */
static bool reaction_parse(struct span text, struct reaction *out)
{
	struct span what = span_cut(&text, ' '), arg = span_cut(&text, ' ');
	struct reaction re = { .set = true, .chance = 1 };
	char number[16];

	snprintf(number, sizeof(number), "%.*s", SPAN_ARG(span_head(arg, sizeof(number))));
	if (span_eq(what, SPAN("retry"))) {
		re.kind = REACT_RETRY;
		re.elsewhere = span_eq(text, SPAN("elsewhere"));
		if (!duration_parse(arg, &re.after) || re.after > TIME_MOST ||
		    (text.n && !re.elsewhere))
			return false;
	} else if (span_eq(what, SPAN("leave"))) {
		re.kind = REACT_LEAVE;
		if (arg.n)
			re.chance = strtod(number, NULL);
		if (strspn(number, "0123456789.") != arg.n || !(re.chance > 0) ||
		    re.chance > 1 || text.n)
			return false;
	} else if (!span_eq(what, SPAN("next")) || arg.n || text.n) {
		return false;
	}
	*out = re;
	return true;
}

static bool reactions_of(const struct reader *r, setting *s, struct actor *a)
{
	if (!s)
		return true;
	if (!config_setting_is_group(s))
		return wanted(r, s, "a group: { connect = \"leave 0.9\"; }");
	for (int i = 0; i < config_setting_length(s); i++) {
		setting *one = config_setting_get_elem(s, (unsigned)i);
		const char *name = config_setting_name(one), *text;
		enum stage stage;
		enum end end;
		struct reaction *to;

		if (stage_parse(span_str(name), &stage))
			to = &a->on_stage[stage];
		else if (end_parse(span_str(name), &end) && end != END_OVER)
			to = &a->on_end[end];
		else
			return bad(r, one,
				   "on-refusal: \"%.40s\" is neither a stage (connect, "
				   "helo, tls, auth, mail, rcpt, data, body, other) nor "
				   "an end (done, later, refused, dropped, silent, fault)",
				   name);
		if (!text_of(r, one, NAME_MOST, &text))
			return false;
		if (!reaction_parse(span_str(text), to))
			return bad(r, one,
				   "%s: \"%s\" is none of \"next\", \"leave\", "
				   "\"leave 0.9\", \"retry 10s\", \"retry 10s "
				   "elsewhere\"",
				   name, text);
	}
	return true;
}

static bool from_of(const struct reader *r, setting *s, struct actor *a)
{
	static const char *const keys[] = { "addresses", "spread", NULL };
	setting *addresses, *spread;
	const char *word;

	if (!group_ok(r, s, "from", keys))
		return false;
	addresses = member(s, "addresses");
	spread = member(s, "spread");
	a->addresses = 1;
	if (addresses && !count_of(r, addresses, ADDRESSES_MAX, &a->addresses))
		return false;
	if (!spread)
		return true;
	if (!text_of(r, spread, NAME_MOST, &word))
		return false;
	a->spread = strcmp(word, "near") == 0 ? SPREAD_NEAR : SPREAD_FAR;
	if (a->spread == SPREAD_FAR && strcmp(word, "far") != 0)
		return bad(r, spread,
			   "spread: \"%s\" is neither \"far\" (each in a network of "
			   "its own, as far as that goes) nor \"near\" (side by side)",
			   word);
	return true;
}

static bool service_of(const struct reader *r, setting *s, struct actor *a)
{
	const char *word;

	a->service = SERVICE_SMTP;
	if (!s)
		return true;
	if (!text_of(r, s, NAME_MOST, &word))
		return false;
	return service_parse(span_str(word), &a->service) ||
	       bad(r, s,
		   "service: \"%s\" is none of smtp, submission, submissions, imap, imaps, "
		   "pop3, pop3s",
		   word);
}

/* The group of an actor, and the one that it is like. */
struct layers {
	setting *own, *base;
};

static setting *find(const struct layers *l, const char *key)
{
	setting *s = member(l->own, key);

	return s || !l->base ? s : member(l->base, key);
}

static bool pace_of(const struct reader *r, const struct layers *l, struct actor *a)
{
	setting *rate = find(l, "rate"), *visits = find(l, "visits"),
		*parallel = find(l, "parallel"), *ramp = find(l, "ramp"),
		*pause = find(l, "pause"), *patience = find(l, "patience"),
		*even = find(l, "even");
	bool open_loop = rate || visits;

	a->parallel = 100;
	a->patience = (a->honest ? 30 : 10) * MS_SECOND;
	if (rate && visits)
		return bad(r, visits,
			   "visits: there is a rate as well; the one follows from "
			   "the other, so say one of them");
	if (pause && open_loop)
		return bad(r, pause,
			   "pause: with rate or visits the next one does not wait for "
			   "the last; leave it out");
	if (even && !open_loop)
		return bad(r, even, "even: this is for rate or visits");
	if (!open_loop && !parallel)
		return bad(r, l->own,
			   "how many? say rate (visits a second), visits (of each "
			   "address), or parallel (at once, each followed by the next)");
	if ((rate && !real_of(r, rate, RATE_MAX, &a->rate)) ||
	    (visits && !count_of(r, visits, 1000000, &a->visits)) ||
	    (parallel && !count_of(r, parallel, SESSIONS_MAX, &a->parallel)) ||
	    (ramp && !real_of(r, ramp, RATE_MAX, &a->ramp)) ||
	    (pause && !time_of(r, pause, 0, &a->pause)) ||
	    (patience && !time_of(r, patience, 1, &a->patience)))
		return false;
	if (even && config_setting_type(even) != CONFIG_TYPE_BOOL)
		return wanted(r, even, "true or false");
	a->even = even && config_setting_get_bool(even);
	return true;
}

static bool name_unused(const struct reader *r, setting *s, const char *name)
{
	for (size_t i = 0; i < r->s->actors_n; i++)
		if (strcmp(r->s->actors[i].name, name) == 0)
			return bad(r, s, "there is somebody called \"%s\" already", name);
	return true;
}

static bool like_of(const struct reader *r, setting *like, struct layers *l)
{
	const char *name;

	if (!like)
		return true;
	if (!text_of(r, like, NAME_MOST, &name))
		return false;
	for (size_t i = 0; i < r->s->actors_n; i++)
		if (strcmp(r->s->actors[i].name, name) == 0)
			l->base = r->attackers[i];
	if (!l->base)
		return bad(r, like, "like: there is no \"%s\" above", name);
	if (member(l->base, "like"))
		return bad(r, like, "like: \"%s\" is itself like another; name that one",
			   name);
	return true;
}

static const char *const actor_must[] = { "name", "title", NULL };

/* The settings of one who visits; `group` was checked for others. */
static bool actor_of(struct reader *r, setting *group, bool honest)
{
	struct actor *a = &r->s->actors[r->s->actors_n];
	struct layers l = { .own = group };

	*a = (struct actor){ .honest = honest, .addresses = 1 };
	if (!needed(r, group, honest ? "an honest client" : "an attacker", actor_must) ||
	    !name_of(r, member(group, "name"), &a->name) ||
	    !name_unused(r, member(group, "name"), a->name) ||
	    !text_of(r, member(group, "title"), TITLE_MOST, &a->title) ||
	    !like_of(r, member(group, "like"), &l))
		return false;
	if (!find(&l, "dialogue"))
		return bad(r, group, "\"%s\" needs a dialogue = [ \"expect 220\", ... ]",
			   a->name);
	if (!service_of(r, find(&l, "service"), a) ||
	    (find(&l, "from") && !from_of(r, find(&l, "from"), a)) ||
	    !pace_of(r, &l, a) || !values_of(r, find(&l, "values"), a) ||
	    !reactions_of(r, find(&l, "on-refusal"), a) ||
	    !dialogue_of(r, find(&l, "dialogue"), a))
		return false;
	r->attackers[r->s->actors_n++] = group;
	return true;
}

static bool attackers_of(struct reader *r, setting *s)
{
	static const char *const keys[] = {
		"name",	  "title",    "like",	    "service", "from",	   "rate",
		"visits", "parallel", "ramp",	    "pause",   "patience", "even",
		"values", "dialogue", "on-refusal", NULL
	};

	if (!row_of(r, s, "a list of groups: ( { name = ...; }, ... )", ACTORS_MAX))
		return false;
	for (int i = 0; i < config_setting_length(s); i++) {
		setting *one = config_setting_get_elem(s, (unsigned)i);

		if (!group_ok(r, one, "an attacker", keys) || !actor_of(r, one, false))
			return false;
	}
	return true;
}

/* ---- the scenario ---- */

static bool phases_of(const struct reader *r, setting *s)
{
	static const char *const keys[] = { "warm", "quiet", "attack", "after", NULL };
	ms_t *phase = r->s->phase;

	phase[PHASE_WARM] = 2 * MS_SECOND;
	phase[PHASE_QUIET] = 5 * MS_SECOND;
	phase[PHASE_ATTACK] = 15 * MS_SECOND;
	phase[PHASE_AFTER] = 5 * MS_SECOND;
	if (!s)
		return true;
	if (!group_ok(r, s, "phases", keys))
		return false;
	for (int i = 0; i < PHASE_COUNT; i++) {
		setting *one = member(s, phase_word((enum phase)i));

		if (one && !time_of(r, one, i == PHASE_ATTACK ? 100 : 0, &phase[i]))
			return false;
	}
	return true;
}

/* ---- files in a directory ---- */

static int is_conf(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return d->d_name[0] != '.' && n > 5 && strcmp(d->d_name + n - 5, ".conf") == 0;
}

/* Append ": there are a, b, c" to e, as many as fit. */
static bool there_are(const char *dir, struct err *e)
{
	struct dirent **found;
	int n = scandir(dir, &found, is_conf, versionsort);
	size_t used = strlen(e->text), cap = sizeof(e->text) - 5;
	bool full = false;

	if (n < 0) {
		snprintf(e->text + used, sizeof(e->text) - used, "; %s: %s", dir,
			 strerror(errno));
		return false;
	}
	for (int i = 0; i < n; i++) {
		int len = (int)strlen(found[i]->d_name) - 5;
		int more = full ? 0
				: snprintf(e->text + used, cap - used, "%s%.*s",
					   i ? ", " : "; there are ", len,
					   found[i]->d_name);

		full |= used + (size_t)more >= cap;
		if (!full)
			used += (size_t)more;
		free(found[i]);
	}
	free(found);
	snprintf(e->text + used, sizeof(e->text) - used, "%s",
		 full ? ", ..."
		 : n  ? ""
		      : "; no .conf is there");
	return false;
}

static bool honest_path(const char *dir, const char *name, char *path, struct err *e)
{
	if (name_ok(name) && snprintf(path, PATH_CAP, "%s/%s.conf", dir, name) < PATH_CAP &&
	    access(path, F_OK) == 0)
		return true;
	err_set(e, "there is no honest client \"%.*s\"", NAME_MOST, name);
	return there_are(dir, e);
}

static bool honest_read(struct scenario *s, struct memory *m, const char *path,
			const char *name, struct err *e)
{
	static const char *const keys[] = { "name",	"title",      "service",
					    "from",	"rate",	      "visits",
					    "parallel", "ramp",	      "pause",
					    "patience", "even",	      "values",
					    "dialogue", "on-refusal", NULL };
	struct reader r = { .s = s, .m = m, .path = path, .e = e };
	setting *root;

	if (s->actors_n == ACTORS_MAX)
		return err_set(e,
			       "%s: more than %d, attackers and honest clients together",
			       path, ACTORS_MAX);
	if (!tree_read(&r, &root) || !group_ok(&r, root, "an honest client", keys) ||
	    !actor_of(&r, root, true))
		return false;
	if (strcmp(s->actors[s->actors_n - 1].name, name) != 0)
		return bad(&r, member(root, "name"),
			   "name: must be \"%s\", like the file", name);
	return true;
}

static bool beside_of(const struct reader *r, setting *s, const char *dir,
		      const char *const *instead)
{
	char path[PATH_CAP];
	const char *name = NULL;
	struct err e;

	if (s && (!config_setting_is_array(s) || config_setting_length(s) > ACTORS_MAX))
		return wanted(r, s, "up to 16 names: [ \"regular\", \"newcomer\" ]");
	for (int i = 0; s && i < config_setting_length(s); i++) {
		setting *one = config_setting_get_elem(s, (unsigned)i);

		if (!name_of(r, one, &name))
			return false;
		if (instead)
			continue;
		if (!honest_path(dir, name, path, &e))
			return bad(r, one, "beside: %s", e.text);
		if (!honest_read(r->s, r->m, path, name, r->e))
			return false;
	}
	for (; instead && *instead; instead++)
		if (!honest_path(dir, *instead, path, r->e) ||
		    !honest_read(r->s, r->m, path, *instead, r->e))
			return false;
	return true;
}

/* Is it about somebody who would be here, but was told to stay away? */
static bool is_away(setting *beside, const char *name)
{
	for (int i = 0; beside && i < config_setting_length(beside); i++) {
		const char *one = config_setting_get_string_elem(beside, i);

		if (one && strcmp(one, name) == 0)
			return true;
	}
	return false;
}

static bool promise_of(const struct reader *r, setting *s, setting *beside)
{
	static const char *const keys[] = { "promise", "limit", "of", NULL };
	static const char *const must[] = { "promise", NULL };
	struct scenario *sc = r->s;
	struct promise *p = &sc->promises[sc->promises_n];
	const struct actor *about = NULL;
	setting *limit, *of;
	struct err e;

	if (!group_ok(r, s, "a promise", keys) || !needed(r, s, "a promise", must) ||
	    !text_of(r, member(s, "promise"), NAME_MOST, &p->word))
		return false;
	limit = member(s, "limit");
	of = member(s, "of");
	p->has_limit = limit != NULL;
	if ((limit && !real_of(r, limit, 1e9, &p->limit)) ||
	    (of && !name_of(r, of, &p->actor)))
		return false;
	for (size_t i = 0; of && i < sc->actors_n; i++)
		if (strcmp(sc->actors[i].name, p->actor) == 0)
			about = &sc->actors[i];
	if (of && !about) {
		const char *name = p->actor;

		*p = (struct promise){ 0 };
		return is_away(beside, name) ||
		       bad(r, of, "of: there is nobody called \"%s\" here", name);
	}
	if (!promise_check(p, about, &e))
		return bad(r, s, "%s", e.text);
	sc->promises_n++;
	return true;
}

static bool promises_of(const struct reader *r, setting *s, setting *beside)
{
	if (!s)
		return true;
	if (!row_of(r, s, "a list of groups: ( { promise = \"alive\"; }, ... )",
		    PROMISES_MAX))
		return false;
	for (int i = 0; i < config_setting_length(s); i++)
		if (!promise_of(r, config_setting_get_elem(s, (unsigned)i), beside))
			return false;
	return true;
}

static bool scenario_read(struct reader *r, const char *honest, const char *const *instead)
{
	static const char *const keys[] = { "id",	"title", "about",     "ends",
					    "phases",	"lists", "attackers", "beside",
					    "promises", NULL };
	static const char *const must[] = { "id",   "title",	 "about",
					    "ends", "attackers", NULL };
	struct scenario *s = r->s;
	setting *root;

	return tree_read(r, &root) && group_ok(r, root, "a scenario", keys) &&
	       needed(r, root, "a scenario", must) &&
	       text_of(r, member(root, "id"), ID_MOST, &s->id) &&
	       text_of(r, member(root, "title"), TITLE_MOST, &s->title) &&
	       text_of(r, member(root, "about"), ABOUT_MOST, &s->about) &&
	       text_of(r, member(root, "ends"), ABOUT_MOST, &s->ends) &&
	       phases_of(r, member(root, "phases")) &&
	       lists_of(r, member(root, "lists")) &&
	       attackers_of(r, member(root, "attackers")) &&
	       beside_of(r, member(root, "beside"), honest, instead) &&
	       promises_of(r, member(root, "promises"), member(root, "beside"));
}

bool scenario_open(struct scenario **out, const char *path, const char *honest,
		   const char *const *beside, struct err *e)
{
	struct scenario *s = calloc(1, sizeof(*s));
	struct memory *m = calloc(1, sizeof(*m));
	struct reader r = { .s = s, .m = m, .path = path, .e = e };
	char *copy = NULL;

	if (!s || !m) {
		free(s);
		free(m);
		return err_set(e, "%s: out of memory", path);
	}
	s->memory = m;
	copy = take(m, strlen(path) + 1, 1);
	if (copy)
		memcpy(copy, path, strlen(path) + 1);
	s->path = copy;
	if (copy ? scenario_read(&r, honest, beside) : no_room(&r)) {
		*out = s;
		return true;
	}
	scenario_close(&s);
	return false;
}

void scenario_close(struct scenario **scenario)
{
	struct scenario *s = *scenario;
	struct memory *m;

	*scenario = NULL;
	if (!s)
		return;
	m = s->memory;
	for (size_t i = 0; i < s->actors_n; i++)
		script_close(&s->actors[i].script);
	while (m->trees_n)
		config_destroy(&m->trees[--m->trees_n]);
	while (m->pieces) {
		struct piece *p = m->pieces;

		m->pieces = p->next;
		free(p);
	}
	free(m);
	free(s);
}

/* ---- larger, smaller ---- */

static unsigned times(unsigned n, double factor)
{
	double to = round(n * factor);

	return to < 1 ? 1 : to > UINT32_MAX ? UINT32_MAX : (unsigned)to;
}

static bool scale_one(struct actor *a, double factor, struct err *e)
{
	if (a->honest)
		return true;
	a->addresses = times(a->addresses, factor);
	a->parallel = times(a->parallel, factor);
	a->rate *= factor;
	a->ramp *= factor;
	if (a->addresses > ADDRESSES_MAX)
		return err_set(
			e, "%s: %u addresses are more than %d; choose a smaller factor",
			a->name, a->addresses, ADDRESSES_MAX);
	if (a->parallel > SESSIONS_MAX)
		return err_set(
			e,
			"%s: %u visits at once are more than %d; choose a smaller factor",
			a->name, a->parallel, SESSIONS_MAX);
	if (a->rate > RATE_MAX || a->ramp > RATE_MAX)
		return err_set(e,
			       "%s: %.0f visits a second are more than %d; choose a smaller "
			       "factor",
			       a->name, fmax(a->rate, a->ramp), RATE_MAX);
	return true;
}

bool scenario_scale(struct scenario *s, double factor, struct err *e)
{
	struct actor try;

	for (size_t i = 0; i < s->actors_n; i++) {
		try = s->actors[i];
		if (!scale_one(&try, factor, e))
			return false;
	}
	for (size_t i = 0; i < s->actors_n; i++)
		if (!scale_one(&s->actors[i], factor, e))
			return false;
	return true;
}

/* ---- where is it? ---- */

/* Is it the name, or its beginning up to a dash? 2, 1, 0. */
static int match(const char *file, struct span name)
{
	struct span base = span_of(file, strlen(file) - strlen(".conf"));

	if (!span_starts_nocase(base, name))
		return 0;
	return base.n == name.n ? 2 : base.p[name.n] == '-' ? 1 : 0;
}

static bool several(struct dirent **found, int n, struct span name, struct err *e)
{
	char all[250] = "";

	for (int i = 0; i < n; i++)
		if (match(found[i]->d_name, name))
			snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%.*s",
				 *all ? ", " : "", (int)strlen(found[i]->d_name) - 5,
				 found[i]->d_name);
	return err_set(e, "\"%.*s\" could be any of these, say which: %s", SPAN_ARG(name),
		       all);
}

bool scenario_find(const char *name, const char *dir, char *path, size_t cap,
		   struct err *e)
{
	struct span want = span_str(name);
	struct dirent **found = NULL;
	int n, best = 0, at = -1, as_good = 0;
	bool ok = false;

	if (strchr(name, '/') || span_eq(span_tail(want, 5), SPAN(".conf")))
		return snprintf(path, cap, "%s", name) < (int)cap ||
		       err_set(e, "the name of the scenario is too long");
	n = want.n ? scandir(dir, &found, is_conf, versionsort) : 0;
	for (int i = 0; i < n; i++) {
		int how = match(found[i]->d_name, want);

		as_good = how > best ? 1 : as_good + (how == best);
		if (how > best) {
			best = how;
			at = i;
		}
	}
	if (at >= 0 && as_good > 1)
		several(found, n, want, e);
	else if (at >= 0)
		ok = snprintf(path, cap, "%s/%s", dir, found[at]->d_name) < (int)cap ||
		     err_set(e, "the path of the scenario is too long");
	for (int i = 0; i < n; i++)
		free(found[i]);
	free(found);
	if (at >= 0)
		return ok;
	err_set(e, "there is no scenario \"%.60s\"", name);
	return there_are(dir, e);
}
