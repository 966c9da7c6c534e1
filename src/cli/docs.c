#include "cli/docs.h"

#include <string.h>

#include "conf/sections.h"
#include "spec/ends.h"
#include "spec/events.h"
#include "spec/records.h"
#include "spec/rules.h"

#define TEXT_WIDTH 80

/* In scdoc * and _ begin bold and underline. */
static void put_plain(FILE *out, enum docs_form form, const char *text)
{
	for (; *text; text++) {
		if (form == DOCS_MAN && strchr("*_\\", *text))
			fputc('\\', out);
		fputc(*text, out);
	}
}

static void put_wrapped(FILE *out, const char *text)
{
	struct span left = span_str(text);
	size_t column = 0;

	while (left.n) {
		struct span word = span_cut(&left, ' ');

		if (column + 1 + word.n > TEXT_WIDTH)
			column = 0;
		fprintf(out, "%s%.*s", column == 0 ? "\n    " : " ", SPAN_ARG(word));
		column = column == 0 ? 4 + word.n : column + 1 + word.n;
	}
	fputs("\n\n", out);
}

/* A name, facts about it in one line, and a paragraph. */
static void put_item(FILE *out, enum docs_form form, const char *name, const char *facts,
		     const char *doc)
{
	switch (form) {
	case DOCS_TEXT:
		fprintf(out, "%s%s%s%s", name, *facts ? "  (" : "", facts,
			*facts ? ")" : "");
		put_wrapped(out, doc);
		break;
	case DOCS_MARKDOWN:
		fprintf(out, "- **`%s`**%s%s%s  \n  %s\n\n", name, *facts ? " (" : "",
			facts, *facts ? ")" : "", doc);
		break;
	case DOCS_MAN:
		fprintf(out, "*%s*", name);
		fputs(*facts ? " (" : "", out);
		put_plain(out, form, facts);
		fputs(*facts ? ")\n\t" : "\n\t", out);
		put_plain(out, form, doc);
		fputs("\n\n", out);
		break;
	}
}

static void put_heading(FILE *out, enum docs_form form, const char *text)
{
	if (form != DOCS_TEXT)
		fprintf(out, "## %s\n\n", text);
}

static void print_facts(const struct setting_row *r, char *out, size_t n)
{
	static const char *const kinds[] = {
		[SETTING_FLAG] = "flag", [SETTING_COUNT] = "number",
		[SETTING_SIZE] = "size", [SETTING_TIME] = "time",
		[SETTING_TEXT] = "text",
	};
	const char *after = r->applies == APPLIES_RESTART ? ", needs a restart" : "";

	if (r->kind == SETTING_WORD)
		snprintf(out, n, "%s, default %s%s", r->min, r->def, after);
	else if (r->kind == SETTING_TEXT)
		snprintf(out, n, "text, default %s%s", *r->def ? r->def : "empty", after);
	else if (r->kind == SETTING_FLAG)
		snprintf(out, n, "flag, default %s%s", r->def, after);
	else
		snprintf(out, n, "%s, %s to %s, default %s%s", kinds[r->kind], r->min,
			 r->max, r->def, after);
}

static bool wanted(const char *key, struct span want)
{
	struct span k = span_str(key);

	return want.n == 0 || span_eq(k, want) ||
	       (k.n > want.n && span_starts(k, want) && k.p[want.n] == '.');
}

static struct span group_of(const char *key)
{
	struct span left = span_str(key);
	size_t dot = span_find(left, '.');

	return dot < left.n ? span_head(left, dot) : SPAN("general");
}

static void put_member(FILE *out, enum docs_form form, const struct section_row *s,
		       const struct member_row *m)
{
	char name[100], facts[100];

	snprintf(name, sizeof(name), "%s: %s", s->key, m->name);
	snprintf(facts, sizeof(facts), "%s%s",
		 m->kind == SETTING_FLAG    ? "flag"
		 : m->kind == SETTING_WORD  ? m->words
		 : m->kind == SETTING_COUNT ? "number"
					    : "text",
		 m->needed ? ", needed" : "");
	put_item(out, form, name, facts, m->doc);
}

static bool put_sections(FILE *out, enum docs_form form, struct span key)
{
	bool any = false;

	for (size_t i = 0; i < SECTION_COUNT; i++) {
		const struct section_row *s = &section_table[i];
		char doc[1500];

		if (!wanted(s->key, key))
			continue;
		if (!any)
			put_heading(out, form, "Lists");
		any = true;
		snprintf(doc, sizeof(doc),
			 form == DOCS_MARKDOWN ? "%s Example: `%s`" : "%s Example: %s",
			 s->doc, s->example);
		put_item(out, form, s->key,
			 s->of == SECTION_OF_GROUPS ? "list of groups" : "list", doc);
		for (size_t j = 0; j < member_count; j++)
			if (member_table[j].section == (enum section)i)
				put_member(out, form, s, &member_table[j]);
	}
	return any;
}

bool docs_settings(FILE *out, enum docs_form form, struct span key)
{
	struct span group = SPAN_NONE;
	bool any = false;

	if (form == DOCS_MARKDOWN && key.n == 0)
		fputs("# Settings\n\nPrinted by `holdfast config doc --markdown` from "
		      "`src/spec/settings.def` and `src/spec/sections.def`.\n"
		      "The part of a name before the dot is a group: `smtp.hops` is "
		      "written "
		      "`smtp: { hops = 50; };`.\n\n",
		      out);
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting_row *r = &setting_table[i];
		char heading[40], facts[400];

		if (!wanted(r->key, key))
			continue;
		any = true;
		if (!span_eq(group, group_of(r->key))) {
			group = group_of(r->key);
			snprintf(heading, sizeof(heading), "%.*s", SPAN_ARG(group));
			put_heading(out, form, heading);
		}
		print_facts(r, facts, sizeof(facts));
		put_item(out, form, r->key, facts, r->doc);
	}
	return put_sections(out, form, key) || any;
}

static const char *level_word(enum log_level level)
{
	switch (level) {
	case LEVEL_ERROR:
		return "error";
	case LEVEL_WARN:
		return "warn";
	case LEVEL_NOTICE:
		return "notice";
	case LEVEL_INFO:
		break;
	}
	return "info";
}

/* Four tables one below the other: on a terminal, too, one wants to see where each begins. */
static void put_table_heading(FILE *out, enum docs_form form, const char *text)
{
	if (form == DOCS_TEXT)
		fprintf(out, "== %s ==\n\n", text);
	else
		put_heading(out, form, text);
}

void docs_rules(FILE *out, enum docs_form form)
{
	char facts[120];

	put_table_heading(out, form, "Why the guard refuses");
	for (size_t i = 1; i < RULE_COUNT; i++) {
		const struct rule_row *r = &rule_table[i];

		snprintf(facts, sizeof(facts), "codes begin with %c", r->letter);
		put_item(out, form, r->word, facts, r->doc);
	}
}

void docs_events(FILE *out, enum docs_form form)
{
	char facts[60];

	if (form == DOCS_MARKDOWN)
		fputs("# Events, rules, ends and log records\n\nPrinted by `holdfast events "
		      "--markdown` from the tables in `src/spec/`.\n\n",
		      out);
	put_table_heading(out, form, "What a peer can do");
	for (size_t i = 1; i < EVENT_COUNT; i++) {
		snprintf(facts, sizeof(facts), "weight %d", event_table[i].weight);
		put_item(out, form, event_table[i].word, facts, event_table[i].doc);
	}
	docs_rules(out, form);
	put_table_heading(out, form, "Why a session ends");
	for (size_t i = 1; i < END_COUNT; i++)
		put_item(out, form, end_table[i].word, "", end_table[i].doc);
	put_table_heading(out, form, "What the log says");
	for (size_t i = 1; i < RECORD_COUNT; i++)
		put_item(out, form, record_table[i].word,
			 level_word(record_table[i].level), record_table[i].doc);
}
