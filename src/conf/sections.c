#include "conf/sections.h"

#define DISTANCE_MAX 64

/* clang-format off */
const struct section_row section_table[SECTION_COUNT] = {
#define SECTION(id, key, of, example, doc) [SECTION_##id] = { key, SECTION_OF_##of, example, doc },
#define MEMBER(...)
#include "spec/sections.def"
};

#define NEEDED   true
#define OPTIONAL false
const struct member_row member_table[] = {
#define SECTION(...)
#define MEMBER(section, name, kind, needed, words, doc) \
	{ SECTION_##section, name, SETTING_##kind, needed, words, doc },
#include "spec/sections.def"
};
#undef NEEDED
#undef OPTIONAL
/* clang-format on */

const size_t member_count = COUNT_OF(member_table);

enum section section_find(struct span key)
{
	for (size_t i = 0; i < SECTION_COUNT; i++)
		if (span_eq(key, span_str(section_table[i].key)))
			return (enum section)i;
	return SECTION_COUNT;
}

const struct member_row *member_find(enum section section, struct span name)
{
	for (size_t i = 0; i < member_count; i++)
		if (member_table[i].section == section &&
		    span_eq(name, span_str(member_table[i].name)))
			return &member_table[i];
	return NULL;
}

static bool is_inside(struct span key, struct span name)
{
	return key.n > name.n && span_starts(key, name) && key.p[name.n] == '.';
}

bool group_exists(struct span name)
{
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		if (is_inside(span_str(setting_table[i].key), name))
			return true;
	for (size_t i = 0; i < SECTION_COUNT; i++)
		if (is_inside(span_str(section_table[i].key), name))
			return true;
	return false;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t text_distance(struct span a, struct span b)
{
	size_t row[DISTANCE_MAX + 1];

	a = span_head(a, DISTANCE_MAX);
	b = span_head(b, DISTANCE_MAX);
	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t change = corner + (byte_lower(a.p[i - 1]) !=
						  byte_lower(b.p[j - 1]));

			corner = row[j];
			row[j] = least(change, least(row[j], row[j - 1]) + 1);
		}
	}
	return row[b.n];
}

struct nearest {
	struct span to;
	const char *word;
	size_t distance; /* only what is nearer than this */
};

static struct nearest nearest_to(struct span to)
{
	/* a third may be wrong, and never more than three */
	return (struct nearest){ .to = to, .distance = least(to.n / 3, 3) + 1 };
}

static void compare(struct nearest *n, const char *word)
{
	size_t d = text_distance(n->to, span_str(word));

	if (d >= n->distance)
		return;
	n->word = word;
	n->distance = d;
}

static struct span last_part(struct span key)
{
	size_t dot = span_find_last(key, '.');

	return dot < key.n ? span_skip(key, dot + 1) : key;
}

/* Settings come first, then sections. */
static size_t known_keys(enum suggest among)
{
	return among == SUGGEST_SETTINGS ? SETTINGS_COUNT : SETTINGS_COUNT + SECTION_COUNT;
}

/* greet-delay at the top level, or smpt.greet-delay: the last part says what was meant. */
static const char *same_last_part(struct span key, enum suggest among)
{
	const char *found = NULL;

	for (size_t i = 0; i < known_keys(among); i++) {
		const char *known = i < SETTINGS_COUNT
					    ? setting_table[i].key
					    : section_table[i - SETTINGS_COUNT].key;

		if (!span_eq(last_part(key), last_part(span_str(known))))
			continue;
		if (found)
			return NULL;
		found = known;
	}
	return found;
}

const char *key_suggest(struct span key, enum suggest among)
{
	struct nearest n = nearest_to(key);
	const char *same = same_last_part(key, among);

	if (same)
		return same;
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		compare(&n, setting_table[i].key);
	for (size_t i = 0; i < SECTION_COUNT && among == SUGGEST_ALL; i++)
		compare(&n, section_table[i].key);
	return n.word;
}

const char *member_suggest(enum section section, struct span name)
{
	struct nearest n = nearest_to(name);

	for (size_t i = 0; i < member_count; i++)
		if (member_table[i].section == section)
			compare(&n, member_table[i].name);
	return n.word;
}
