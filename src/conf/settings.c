#include "conf/settings.h"

#include "base/bug.h"
#include "base/number.h"
#include "base/utf8.h"

/* clang-format off */
const struct setting_row setting_table[SETTINGS_COUNT] = {
#define SETTING(kind, field, key, def, min, max, applies, doc)                  \
	[SET_##field] = { SETTING_##kind, APPLIES_##applies,                    \
			  offsetof(struct settings, field), key, def, min, max, doc },
#include "spec/settings.def"
};

static const char *const kind_doc[] = {
	[SETTING_FLAG]  = "true or false",
	[SETTING_COUNT] = "a number",
	[SETTING_SIZE]  = "a size: 512, 64k, 25m, 2g",
	[SETTING_TIME]  = "a time: 500ms, 30s, 5m, 12h, 31d",
	[SETTING_TEXT]  = "a text",
	[SETTING_WORD]  = "one of the words",
};
/* clang-format on */

const char *setting_kind_doc(enum setting_kind kind)
{
	return kind_doc[kind];
}

const struct setting_row *setting_find(struct span key)
{
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		if (span_eq(key, span_str(setting_table[i].key)))
			return &setting_table[i];
	return NULL;
}

bool word_parse(struct span word, const char *words, int *out)
{
	struct span left = span_str(words);

	for (int i = 0; left.n; i++) {
		if (!span_eq(span_cut(&left, '|'), word))
			continue;
		*out = i;
		return true;
	}
	return false;
}

struct span word_of(int index, const char *words)
{
	struct span left = span_str(words), word = SPAN_NONE;

	for (int i = 0; i <= index; i++)
		word = span_cut(&left, '|');
	return word;
}

static bool text_ok(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] < ' ' || text.p[i] == 0x7f)
			return false;
	return text.n < TEXT_MAX && utf8_ok(text);
}

/* Anything but a TEXT as a number. */
static bool parse(const struct setting_row *row, struct span value, int64_t *out)
{
	uint64_t count;
	int word;

	switch (row->kind) {
	case SETTING_FLAG:
		*out = span_eq(value, SPAN("true"));
		return *out || span_eq(value, SPAN("false"));
	case SETTING_COUNT:
		if (!number_parse(value, INT64_MAX, &count))
			return false;
		*out = (int64_t)count;
		return true;
	case SETTING_SIZE:
		return size_parse(value, out);
	case SETTING_TIME:
		return duration_parse(value, out);
	case SETTING_WORD:
		if (!word_parse(value, row->min, &word))
			return false;
		*out = word;
		return true;
	case SETTING_TEXT:
		break;
	}
	return false;
}

static bool has_bounds(const struct setting_row *row)
{
	return row->kind == SETTING_COUNT || row->kind == SETTING_SIZE ||
	       row->kind == SETTING_TIME;
}

static bool in_bounds(const struct setting_row *row, int64_t n)
{
	int64_t min, max;

	if (!has_bounds(row))
		return true;
	BUG_IF(!parse(row, span_str(row->min), &min));
	BUG_IF(!parse(row, span_str(row->max), &max));
	return n >= min && n <= max;
}

static void store(struct settings *s, const struct setting_row *row, int64_t n)
{
	uint8_t *at = (uint8_t *)s + row->offset;
	setting_WORD word = (setting_WORD)n;
	setting_FLAG flag = n != 0;

	if (row->kind == SETTING_FLAG)
		memcpy(at, &flag, sizeof(flag));
	else if (row->kind == SETTING_WORD)
		memcpy(at, &word, sizeof(word));
	else
		memcpy(at, &n, sizeof(n));
}

/* A flag as its byte: what is mapped need not be a bool. */
static int64_t fetch(const struct settings *s, const struct setting_row *row)
{
	const uint8_t *at = (const uint8_t *)s + row->offset;
	setting_WORD word;
	int64_t n;

	if (row->kind == SETTING_FLAG)
		return *at;
	if (row->kind == SETTING_WORD) {
		memcpy(&word, at, sizeof(word));
		return word;
	}
	memcpy(&n, at, sizeof(n));
	return n;
}

static bool put_text(struct settings *s, const struct setting_row *row, struct span value,
		     struct err *err)
{
	uint8_t *at = (uint8_t *)s + row->offset;

	if (value.n >= TEXT_MAX)
		return err_set(err, "the text is longer than %d bytes", TEXT_MAX - 1);
	if (!text_ok(value))
		return err_set(err, "the text holds control characters or is not UTF-8");
	memset(at, 0, TEXT_MAX);
	memcpy(at, value.p ? value.p : (const uint8_t *)"", value.n);
	return true;
}

static bool is_number(struct span s)
{
	uint64_t n;

	return number_parse(s, UINT64_MAX, &n);
}

static bool unreadable(const struct setting_row *row, struct span value, struct err *err)
{
	if (row->kind == SETTING_WORD)
		return err_set(err, "\"%.*s\" is none of %s", SPAN_ARG(value), row->min);
	if (row->kind == SETTING_TIME && is_number(value))
		return err_set(err, "%.*s needs a unit, in quotes: \"%.*ss\"",
			       SPAN_ARG(value), SPAN_ARG(value));
	return err_set(err, "\"%.*s\" is not %s", SPAN_ARG(value), kind_doc[row->kind]);
}

bool setting_put(struct settings *s, const struct setting_row *row, struct span value,
		 struct err *err)
{
	int64_t n;

	if (row->kind == SETTING_TEXT)
		return put_text(s, row, value, err);
	if (!text_ok(value))
		return err_set(err, "the value holds control characters or is too long");
	if (!parse(row, value, &n))
		return unreadable(row, value, err);
	if (!in_bounds(row, n))
		return err_set(err, "%.*s is outside %s to %s", SPAN_ARG(value), row->min,
			       row->max);
	store(s, row, n);
	return true;
}

bool settings_put(struct settings *s, struct span key, struct span value, struct err *err)
{
	const struct setting_row *row = setting_find(key);

	if (!row)
		return err_set(err, "there is no setting \"%.*s\"", SPAN_ARG(key));
	if (!setting_put(s, row, value, err))
		return err_within(err, "%s", row->key);
	return true;
}

void settings_init(struct settings *s)
{
	struct err err;

	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		BUG_IF(!setting_put(s, &setting_table[i], span_str(setting_table[i].def),
				    &err));
}

void setting_print(const struct settings *s, const struct setting_row *row,
		   struct buf *out)
{
	switch (row->kind) {
	case SETTING_FLAG:
		buf_put(out, fetch(s, row) ? SPAN("true") : SPAN("false"));
		break;
	case SETTING_COUNT:
		buf_fmt(out, "%lld", (long long)fetch(s, row));
		break;
	case SETTING_SIZE:
		size_print(fetch(s, row), out);
		break;
	case SETTING_TIME:
		duration_print(fetch(s, row), out);
		break;
	case SETTING_TEXT:
		buf_put(out, setting_text((const char *)s + row->offset));
		break;
	case SETTING_WORD:
		buf_put(out, word_of((int)fetch(s, row), row->min));
		break;
	}
}

bool setting_eq(const struct settings *a, const struct settings *b,
		const struct setting_row *row)
{
	if (row->kind == SETTING_TEXT)
		return span_eq(setting_text((const char *)a + row->offset),
			       setting_text((const char *)b + row->offset));
	return fetch(a, row) == fetch(b, row);
}

static bool value_ok(const struct settings *s, const struct setting_row *row)
{
	struct span text;
	int64_t n;

	if (row->kind == SETTING_TEXT) {
		text = setting_text((const char *)s + row->offset);
		return text.n < TEXT_MAX && text_ok(text);
	}
	n = fetch(s, row);
	if (row->kind == SETTING_FLAG)
		return n == 0 || n == 1;
	if (row->kind == SETTING_WORD)
		return n >= 0 && word_of((int)n, row->min).n > 0;
	return in_bounds(row, n);
}

bool settings_ok(const struct settings *s)
{
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		if (!value_ok(s, &setting_table[i]))
			return false;
	return true;
}
