#include "rehearse/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/number.h"
#include "base/utf8.h"

#define FILE_MOST ((size_t)4 << 20) /* bytes of a scenario, or of a list */
#define TIME_MOST (SECONDS_MAX * MS_SECOND)

struct piece {
	struct piece *next;
	max_align_t bytes[];
};

/* FILE:LINE: and the text; a long path loses its beginning. */
bool reader_bad_line(const struct reader *r, unsigned line, const char *text)
{
	size_t n = strlen(r->path), most = 150;

	return err_set(r->e, "%s%s:%u: %s", n > most ? "..." : "",
		       n > most ? r->path + n - most : r->path, line, text);
}

bool reader_bad(const struct reader *r, const config_setting_t *at, const char *fmt, ...)
{
	char text[sizeof(r->e->text)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	unsigned line = config_setting_source_line(at);

	/* the whole file is a setting too, without a line */
	return reader_bad_line(r, line ? line : 1, text);
}

void *memory_take(struct memory *m, size_t n, size_t size)
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

void memory_close(struct memory *m)
{
	while (m->trees_n)
		config_destroy(&m->trees[--m->trees_n]);
	while (m->pieces) {
		struct piece *p = m->pieces;

		m->pieces = p->next;
		free(p);
	}
}

bool reader_no_room(const struct reader *r)
{
	return err_set(r->e, "%s: out of memory", r->path);
}

/* ---- a file, up to the tree ---- */

bool memory_read(struct memory *m, const char *path, struct span *out, struct err *e)
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
	else if (!(text = memory_take(m, (size_t)st.st_size + 1, 1)))
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

/* In what text.p[*i] leaves us; *i moves to the last byte that belongs to it. */
static enum inside follow(enum inside in, struct span text, size_t *i)
{
	uint8_t c = text.p[*i], next = *i + 1 < text.n ? text.p[*i + 1] : 0;

	switch (in) {
	case INSIDE_TEXT:
		*i += c == '\\' && next != '\n';
		return c == '"' ? INSIDE_NOTHING : in;
	case INSIDE_LINE_COMMENT:
		return c == '\n' ? INSIDE_NOTHING : in;
	case INSIDE_COMMENT:
		if (c != '*' || next != '/')
			return in;
		++*i;
		return INSIDE_NOTHING;
	case INSIDE_NOTHING:
		break;
	}
	if (c == '/' && next == '*') {
		++*i;
		return INSIDE_COMMENT;
	}
	if (c == '#' || (c == '/' && next == '/'))
		return INSIDE_LINE_COMMENT;
	return c == '"' ? INSIDE_TEXT : INSIDE_NOTHING;
}

/* Of a name or a number. A minus sign is none. */
static bool part_of_word(uint8_t c, bool inside)
{
	return (c >= '0' && c <= '9') || (byte_lower(c) >= 'a' && byte_lower(c) <= 'z') ||
	       (inside && (c == '-' || c == '_'));
}

/*
 * What libconfig would do in silence: draw in other files through @include; forget the high bits of
 * a long number; end the file at a zero byte; go on with a text on the next line, and so notice a
 * missing quote far behind it.
 */
static bool text_ok(const struct reader *r, struct span text)
{
	enum inside in = INSIDE_NOTHING;
	unsigned line = 1, began = 1, word = 0;
	bool number = false;

	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];
		enum inside was = in;

		if (c == '\0')
			return reader_bad_line(r, line, "a zero byte; this is no text");
		if (in == INSIDE_TEXT && c == '\n')
			break;
		if (in == INSIDE_TEXT && span_starts(span_skip(text, i), SPAN("\\x00")))
			return reader_bad_line(r, line,
					       "\\x00 would end the text here; in raw, drip "
					       "and fill write \\\\0");
		if (in == INSIDE_NOTHING && c == '@')
			return reader_bad_line(
				r, line,
				"@include is not for scenarios; write it here, "
				"or use a list with file = \"NAME\"");
		if (in != INSIDE_NOTHING || !part_of_word(c, word))
			word = 0;
		else if (word++ == 0)
			number = c <= '9';
		if (number && word > 9)
			return reader_bad_line(
				r, line, "a number of more than nine digits is too large");
		in = follow(in, text, &i);
		line += c == '\n';
		if (was != in)
			began = line;
	}
	if (in == INSIDE_TEXT)
		return reader_bad_line(r, began, "a text without its closing \"");
	if (in == INSIDE_COMMENT)
		return reader_bad_line(r, began, "a comment without its closing */");
	return true;
}

bool reader_open(struct reader *r, const config_setting_t **root)
{
	config_t *tree = &r->m->trees[r->m->trees_n];
	struct span text;
	char why[200];

	if (!memory_read(r->m, r->path, &text, r->e) || !text_ok(r, text))
		return false;
	config_init(tree);
	r->m->trees_n++;
	/* memory_read() left a zero byte behind the text */
	if (!config_read_string(tree, (const char *)text.p)) {
		snprintf(why, sizeof(why),
			 "%s; a setting is NAME = VALUE; with commas between, and none after "
			 "the last, in [ ] and ( )",
			 config_error_text(tree));
		return reader_bad_line(r, (unsigned)config_error_line(tree), why);
	}
	*root = config_root_setting(tree);
	return true;
}

/* ---- single values ---- */

static const char *kind_word(const config_setting_t *s)
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

bool reader_wanted(const struct reader *r, const config_setting_t *s, const char *what)
{
	const char *name = config_setting_name(s);

	return reader_bad(r, s, "%s%sthis is %s, but wanted is %s", name ? name : "",
			  name ? ": " : "", kind_word(s), what);
}

/* Printable, on one line, not empty: what may stand in a table. */
bool reader_text(const struct reader *r, const config_setting_t *s, size_t most,
		 const char **out)
{
	const char *text = config_setting_get_string(s);
	const char *name = config_setting_name(s);
	uint32_t code;

	if (!text)
		return reader_wanted(r, s, "a text, in quotes");
	if (!name)
		name = "this text";
	if (!*text || strlen(text) > most)
		return reader_bad(r, s, "%s: must have 1 to %zu bytes", name, most);
	for (struct span t = span_str(text); t.n;) {
		size_t n = utf8_first(t, &code);

		if (n == 0 || utf8_is_control(code))
			return reader_bad(r, s, "%s: only printable characters, in UTF-8",
					  name);
		t = span_skip(t, n);
	}
	*out = text;
	return true;
}

bool name_ok(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= NAME_MOST && name[0] != '-' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

bool reader_name(const struct reader *r, const config_setting_t *s, const char **out)
{
	const char *name;

	if (!reader_text(r, s, NAME_MOST, &name))
		return false;
	if (!name_ok(name))
		return reader_bad(
			r, s,
			"\"%s\": a name has a to z, 0 to 9 and dashes, and does not "
			"begin with a dash",
			name);
	*out = name;
	return true;
}

bool reader_time(const struct reader *r, const config_setting_t *s, ms_t low, ms_t *out)
{
	const char *text = config_setting_get_string(s);
	char least[24];
	struct buf b;
	ms_t t;

	if (!text)
		return reader_wanted(r, s, "a time in quotes, such as \"10s\"");
	if (duration_parse(span_str(text), &t) && t >= low && t <= TIME_MOST) {
		*out = t;
		return true;
	}
	buf_init(&b, least, sizeof(least) - 1);
	duration_print(low, &b);
	least[b.len] = '\0';
	return reader_bad(
		r, s,
		"%s: \"%.40s\" is not a time from %s to 1h, such as \"500ms\" or \"10s\"",
		config_setting_name(s), text, low ? least : "0");
}

bool reader_count(const struct reader *r, const config_setting_t *s, int64_t most,
		  unsigned *out)
{
	const char *name = config_setting_name(s);
	int type = config_setting_type(s);
	int64_t n;

	if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
		return reader_wanted(r, s, "a whole number");
	n = config_setting_get_int64(s);
	if (n < 1 || n > most)
		return reader_bad(r, s, "%s: %lld is outside 1 to %lld",
				  name ? name : "this", (long long)n, (long long)most);
	*out = (unsigned)n;
	return true;
}

/* Above 0. */
bool reader_real(const struct reader *r, const config_setting_t *s, double most,
		 double *out)
{
	int type = config_setting_type(s);
	double n = 0;

	if (type == CONFIG_TYPE_FLOAT)
		n = config_setting_get_float(s);
	else if (type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64)
		n = (double)config_setting_get_int64(s);
	else
		return reader_wanted(r, s, "a number");
	if (!(n > 0) || n > most)
		return reader_bad(r, s, "%s: %g is not above 0 and up to %.0f",
				  config_setting_name(s), n, most);
	*out = n;
	return true;
}

/* ---- groups of settings ---- */

bool reader_group(const struct reader *r, const config_setting_t *s, const char *what,
		  const char *const *keys)
{
	char all[300] = "";

	if (!config_setting_is_group(s))
		return reader_wanted(r, s, "a group { }");
	for (size_t i = 0; keys[i]; i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s",
			 i ? ", " : "", keys[i]);
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *one = config_setting_get_elem(s, (unsigned)i);
		bool known = false;

		for (size_t k = 0; keys[k]; k++)
			known |= strcmp(keys[k], config_setting_name(one)) == 0;
		if (!known)
			return reader_bad(r, one,
					  "%s has no setting \"%.60s\"; there are %s",
					  what, config_setting_name(one), all);
	}
	return true;
}

bool reader_needs(const struct reader *r, const config_setting_t *group, const char *what,
		  const char *const *keys)
{
	for (size_t i = 0; keys[i]; i++)
		if (!member(group, keys[i]))
			return reader_bad(r, group, "%s needs the setting \"%s\"", what,
					  keys[i]);
	return true;
}

bool reader_row(const struct reader *r, const config_setting_t *s, const char *what,
		int most)
{
	if (!config_setting_is_list(s) && !config_setting_is_array(s))
		return reader_wanted(r, s, what);
	if (config_setting_length(s) < 1 || config_setting_length(s) > most)
		return reader_bad(r, s, "%s: must have 1 to %d of them",
				  config_setting_name(s), most);
	return true;
}
