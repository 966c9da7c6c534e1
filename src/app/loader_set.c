#include "app/loader_inner.h"

/* A list is more than one value, and a group is many. */
static void cannot_set(struct problems *p, struct origin at, struct span key)
{
	enum section section = section_find(key);
	const char *near = key_suggest(key, SUGGEST_SETTINGS);

	if (section != SECTION_COUNT)
		problem(p, at, "%.*s is a list, which only the file can hold: %s",
			SPAN_ARG(key), section_table[section].example);
	else if (group_exists(key))
		problem(p, at,
			"%.*s is a group: name one setting in it, as `holdfast config "
			"defaults` lists them",
			SPAN_ARG(key));
	else
		problem(p, at, "there is no setting \"%.*s\"%s%s%s", SPAN_ARG(key),
			near ? "; did you mean \"" : "", near ? near : "",
			near ? "\"?" : "");
}

void loader_set(struct loaded *l, struct problems *p, const char *text)
{
	const struct origin at = { "--set", 0 };
	struct span value = span_str(text), key = span_cut(&value, '=');
	const struct setting_row *row = setting_find(key);
	struct err err;

	if (!strchr(text, '=')) {
		problem(p, at, "\"%s\" is not KEY=VALUE", text);
	} else if (!row) {
		cannot_set(p, at, key);
	} else if (!setting_put(&l->conf.set, row, value, &err)) {
		problem(p, at, "%s: %s", row->key, err.text);
	} else {
		l->origins.set[row - setting_table] = at;
	}
}
