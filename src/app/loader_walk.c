#include "app/loader_walk.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/loader_inner.h"

#define KEY_MAX 100

struct origin walk_origin(const config_setting_t *s)
{
	return (struct origin){ config_setting_source_file(s),
				config_setting_source_line(s) };
}

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

struct span walk_string(const config_setting_t *s)
{
	const char *text = config_setting_get_string(s);

	return span_str(text ? text : "");
}

/*
 * libconfig reads 5000000000 without an L as what is left of it in 32 bits. So see
 * whether the line has the number that it claims.
 */
static bool is_as_written(const config_setting_t *s, const char *dir)
{
	const char *file = config_setting_source_file(s);
	char path[4096], number[16], *line = NULL;
	size_t cap = 0;
	bool found = true;
	unsigned n = 0;
	FILE *f;

	snprintf(number, sizeof(number), "%d", abs(config_setting_get_int(s)));
	snprintf(path, sizeof(path), "%s%s%s", *file == '/' ? "" : dir,
		 *file == '/' ? "" : "/", file);
	f = fopen(path, "re");
	/* lines of any length: a shorter one would be counted twice */
	while (f && n < config_setting_source_line(s) && getline(&line, &cap, f) >= 0)
		if (++n == config_setting_source_line(s))
			found = strstr(line, number) || strstr(line, "0x") ||
				strstr(line, "0X");
	free(line);
	if (f)
		fclose(f);
	return found;
}

/* What the operator wrote, as text for the table's parser. */
static bool value_text(const struct walk *w, const config_setting_t *s,
		       enum setting_kind kind, struct buf *out, struct err *err)
{
	bool wants_text = kind == SETTING_TEXT || kind == SETTING_WORD;
	int type = config_setting_type(s);

	if (type == CONFIG_TYPE_STRING) {
		buf_put(out, walk_string(s));
		return !out->full || err_set(err, "the text is too long");
	}
	if (config_setting_is_aggregate(s) || type == CONFIG_TYPE_FLOAT || wants_text)
		return err_set(err, "this is %s, but wanted is %s%s", kind_word(s),
			       setting_kind_doc(kind), wants_text ? ", in quotes" : "");
	if (type == CONFIG_TYPE_BOOL)
		buf_put(out, config_setting_get_bool(s) ? SPAN("true") : SPAN("false"));
	else if (type == CONFIG_TYPE_INT && !is_as_written(s, w->dir))
		return err_set(err, "the number is too large: put an L behind it");
	else
		buf_fmt(out, "%lld", config_setting_get_int64(s));
	return true;
}

static void put_setting(struct walk *w, const config_setting_t *s,
			const struct setting_row *row)
{
	char mem[KEY_MAX + TEXT_MAX];
	struct buf text;
	struct err err;

	buf_init(&text, mem, sizeof(mem));
	if (value_text(w, s, row->kind, &text, &err) &&
	    setting_put(&w->conf->set, row, buf_span(&text), &err))
		w->origins->set[row - setting_table] = walk_origin(s);
	else
		problem(w->problems, walk_origin(s), "%s: %s", row->key, err.text);
}

static bool member_ok(struct walk *w, enum section section, const config_setting_t *s)
{
	const char *key = section_table[section].key, *name = config_setting_name(s),
		   *near;
	const struct member_row *row = member_find(section, span_str(name));
	int want, unused;

	if (!row) {
		near = member_suggest(section, span_str(name));
		problem(w->problems, walk_origin(s), "%s: there is no \"%s\" in it%s%s%s",
			key, name, near ? "; did you mean \"" : "", near ? near : "",
			near ? "\"?" : "");
		return false;
	}
	want = row->kind == SETTING_FLAG    ? CONFIG_TYPE_BOOL
	       : row->kind == SETTING_COUNT ? CONFIG_TYPE_INT
					    : CONFIG_TYPE_STRING;
	if (config_setting_type(s) != want) {
		problem(w->problems, walk_origin(s),
			"%s: %s: this is %s, but wanted is %s%s", key, name, kind_word(s),
			setting_kind_doc(row->kind),
			want == CONFIG_TYPE_STRING ? ", in quotes" : "");
		return false;
	}
	if (row->kind == SETTING_WORD && !word_parse(walk_string(s), row->words, &unused)) {
		problem(w->problems, walk_origin(s), "%s: %s: \"%.*s\" is none of %s",
			key, name, SPAN_ARG(span_head(walk_string(s), 100)), row->words);
		return false;
	}
	if (row->kind == SETTING_TEXT && walk_string(s).n >= TEXT_MAX) {
		problem(w->problems, walk_origin(s), "%s: %s: longer than %d bytes", key,
			name, TEXT_MAX - 1);
		return false;
	}
	return true;
}

static bool group_ok(struct walk *w, enum section section, const config_setting_t *group)
{
	const char *key = section_table[section].key;
	bool good = true;

	if (!config_setting_is_group(group)) {
		problem(w->problems, walk_origin(group),
			"%s: this is %s, but wanted is a group: %s", key,
			kind_word(group), section_table[section].example);
		return false;
	}
	for (int i = 0; i < config_setting_length(group); i++)
		good &= member_ok(w, section, config_setting_get_elem(group, (unsigned)i));
	for (size_t i = 0; i < member_count; i++) {
		const struct member_row *row = &member_table[i];

		if (row->section != section || !row->needed ||
		    config_setting_get_member(group, row->name))
			continue;
		problem(w->problems, walk_origin(group), "%s: \"%s\" is missing", key,
			row->name);
		good = false;
	}
	return good;
}

/* clang-format off */
static const struct {
	void (*add)(struct walk *w, const config_setting_t *s);
	int max;
} sections[SECTION_COUNT] = {
	[SECTION_LISTEN]       = { walk_listener,    LISTENERS_MAX },
	[SECTION_CERTIFICATES] = { walk_certificate, CERTIFICATES_MAX },
	[SECTION_DOMAINS]      = { walk_domains,     DOMAINS_MAX },
	[SECTION_ROUTES]       = { walk_route,       ROUTES_MAX },
	[SECTION_RELAYS]       = { walk_relay,       RELAYS_MAX },
	[SECTION_PASSWORDS]    = { walk_passwords,   AUTH_SOURCES_MAX },
	[SECTION_TRAPS]        = { walk_trap,        TRAPS_MAX },
	[SECTION_OAUTH]        = { walk_oauth,       OAUTH_MAX },
	[SECTION_SEND_AS]      = { walk_send_as,     SEND_AS_MAX },
	[SECTION_DKIM]         = { walk_dkim,        DKIM_MAX },
	[SECTION_BACKENDS]     = { walk_backend,     BACKENDS_MAX },
	[SECTION_MAILBOXES]    = { walk_mailbox,     MAILBOXES_MAX },
	[SECTION_SOURCES]      = { walk_source,      SOURCES_MAX },
	[SECTION_PROXY_FROM]   = { walk_proxy,       NETS_MAX },
	[SECTION_XCLIENT_FROM] = { walk_xclient,     NETS_MAX },
	[SECTION_ALLOW]        = { walk_allow,       ACCESS_TEXTS_MAX },
	[SECTION_DENY]         = { walk_deny,        ACCESS_TEXTS_MAX },
	[SECTION_ACCESS]       = { walk_access,      ACCESS_MAX },
	[SECTION_DNSBLS]       = { walk_dnsbl,       DNSBLS_MAX },
	[SECTION_OBSERVE]      = { walk_observed,    RULE_COUNT },
};
/* clang-format on */

static bool text_ok(struct walk *w, enum section section, const config_setting_t *s)
{
	if (config_setting_type(s) == CONFIG_TYPE_STRING)
		return true;
	problem(w->problems, walk_origin(s),
		"%s: this is %s, but wanted is a text, in quotes",
		section_table[section].key, kind_word(s));
	return false;
}

static void walk_section(struct walk *w, enum section section,
			 const config_setting_t *list)
{
	const struct section_row *row = &section_table[section];
	bool of_groups = row->of == SECTION_OF_GROUPS;
	int n = config_setting_length(list);

	if (!config_setting_is_list(list) &&
	    (of_groups || !config_setting_is_array(list))) {
		problem(w->problems, walk_origin(list),
			"%s: this is %s, but wanted is a list: %s", row->key,
			kind_word(list), row->example);
		return;
	}
	if (n > sections[section].max) {
		problem(w->problems, walk_origin(list), "%s: more than %d entries",
			row->key, sections[section].max);
		return;
	}
	w->given[section] = true;
	for (int i = 0; i < n; i++) {
		const config_setting_t *s = config_setting_get_elem(list, (unsigned)i);

		if (of_groups ? group_ok(w, section, s) : text_ok(w, section, s))
			sections[section].add(w, s);
	}
}

static void unknown(struct walk *w, const config_setting_t *s, const char *key)
{
	const char *near = key_suggest(span_str(key), SUGGEST_ALL);

	problem(w->problems, walk_origin(s), "there is no setting \"%s\"%s%s%s", key,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static void walk_group(struct walk *w, const config_setting_t *group, const char *prefix)
{
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		const struct setting_row *row;
		enum section section;
		char key[KEY_MAX];

		snprintf(key, sizeof(key), "%s%s%s", prefix, *prefix ? "." : "",
			 config_setting_name(s));
		row = setting_find(span_str(key));
		section = section_find(span_str(key));
		if (row)
			put_setting(w, s, row);
		else if (section != SECTION_COUNT)
			walk_section(w, section, s);
		else if (!group_exists(span_str(key)))
			unknown(w, s, key);
		else if (config_setting_is_group(s))
			walk_group(w, s, key);
		else
			problem(w->problems, walk_origin(s),
				"%s is a group: %s: { ... };", key, key);
	}
}

void walk_tree(struct walk *w, const config_setting_t *root)
{
	walk_group(w, root, "");
}
