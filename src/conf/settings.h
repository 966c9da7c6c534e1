/*
 * settings - the table in settings.def, as C, and how values get into struct settings
 */
#ifndef CONF_SETTINGS_H
#define CONF_SETTINGS_H

#include "base/err.h"
#include "conf/conf.h"

enum setting_kind {
	SETTING_FLAG,
	SETTING_COUNT,
	SETTING_SIZE,
	SETTING_TIME,
	SETTING_TEXT,
	SETTING_WORD,
};

enum setting_applies {
	APPLIES_RELOAD,
	APPLIES_RESTART,
};

/* The index of a row. */
enum setting {
#define SETTING(kind, field, ...) SET_##field,
#include "spec/settings.def"
	SETTINGS_COUNT
};

struct setting_row {
	enum setting_kind kind;
	enum setting_applies applies;
	size_t offset; /* in struct settings */
	const char *key, *def, *min, *max, *doc;
};

extern const struct setting_row setting_table[SETTINGS_COUNT];

/* A sentence about a kind: "a time: 500ms, 30s, 5m, 12h, 31d". */
const char *setting_kind_doc(enum setting_kind kind);

/* All defaults. */
void settings_init(struct settings *s);

/* The row of that key, or NULL. */
const struct setting_row *setting_find(struct span key);

/* Give a setting the value that the text says. On failure err says what is wrong. */
MUST bool setting_put(struct settings *s, const struct setting_row *row,
		      struct span value, struct err *err);
MUST bool settings_put(struct settings *s, struct span key, struct span value,
		       struct err *err);

/* The value, so that setting_put() reads it back. */
void setting_print(const struct settings *s, const struct setting_row *row,
		   struct buf *out);
bool setting_eq(const struct settings *a, const struct settings *b,
		const struct setting_row *row);

/* Is every value one that setting_put() could have put there? */
bool settings_ok(const struct settings *s);

/* The texts of a row of kind TEXT. */
static inline struct span setting_text(const char text[TEXT_MAX])
{
	return span_head(span_of(text, TEXT_MAX),
			 span_find(span_of(text, TEXT_MAX), '\0'));
}

/* Which of the words, separated by |, this is. False: none of them. */
MUST bool word_parse(struct span word, const char *words, int *out);
struct span word_of(int index, const char *words);

#endif
