/*
 * sections - the table in sections.def, as C
 */
#ifndef CONF_SECTIONS_H
#define CONF_SECTIONS_H

#include "conf/settings.h"

enum section {
#define SECTION(id, ...) SECTION_##id,
#define MEMBER(...)
#include "spec/sections.def"
	SECTION_COUNT
};

enum section_of {
	SECTION_OF_GROUPS, /* ( { ... }, ... ) */
	SECTION_OF_TEXTS,  /* [ "...", ... ] */
};

struct section_row {
	const char *key;
	enum section_of of;
	const char *example, *doc;
};

struct member_row {
	enum section section;
	const char *name;
	enum setting_kind kind;
	bool needed;
	const char *words; /* of a WORD */
	const char *doc;
};

extern const struct section_row section_table[SECTION_COUNT];
extern const struct member_row member_table[];
extern const size_t member_count;

/* SECTION_COUNT if there is none of that key. */
enum section section_find(struct span key);
const struct member_row *member_find(enum section section, struct span name);

/* Does the key of any setting or section begin with this name and a dot? */
bool group_exists(struct span name);

/* What can stand where the unknown key stood: a hint must never be refused itself. */
enum suggest {
	SUGGEST_ALL,	  /* in a file */
	SUGGEST_SETTINGS, /* where one value is given */
};

/*
 * What the operator may have meant: the key of a setting or section that is nearest to an
 * unknown one, or ends like it. NULL if nothing is near.
 */
const char *key_suggest(struct span key, enum suggest among);
const char *member_suggest(enum section section, struct span name);

/* How many bytes must change to make b from a (Levenshtein). Texts of up to 64 bytes. */
size_t text_distance(struct span a, struct span b);

#endif
