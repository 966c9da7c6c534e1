#include "app/loader_inner.h"

#include <stdio.h>
#include <stdlib.h>

/* Line `wanted` of a file; NULL: there is none. To be freed. */
static char *line_of(const char *file, unsigned wanted)
{
	FILE *f = file ? fopen(file, "re") : NULL;
	char *line = NULL;
	size_t cap = 0;
	unsigned n = 0;

	while (f && n < wanted && getline(&line, &cap, f) >= 0)
		n++;
	if (f)
		fclose(f);
	if (n == wanted && n > 0)
		return line;
	free(line);
	return NULL;
}

/* The name that the line begins with, as a setting is called where there are no groups. */
static struct span dotted_key(const char *line)
{
	struct span text = span_trim(span_str(line));
	size_t n = 0;

	while (n < text.n && text.p[n] != '=' && text.p[n] != ':')
		n++;
	return span_trim(span_head(text, n));
}

/* libconfig's words, and what to look for where they leave one alone. */
void loader_unreadable(struct problems *p, struct origin at, const char *text)
{
	char *line = line_of(at.file, at.line);
	struct span key = line ? dotted_key(line) : SPAN_NONE;
	size_t dot = span_find(key, '.');

	if (strcmp(text, "duplicate setting name") == 0)
		problem(p, at,
			"this name stands twice in one group: put what both say into one");
	else if (strcmp(text, "syntax error") != 0)
		problem(p, at, "%s", text);
	else if (dot < key.n && (setting_find(key) || section_find(key) != SECTION_COUNT))
		problem(p, at, "a name has no dot here: write %.*s: { %.*s = ...; };",
			SPAN_ARG(span_head(key, dot)), SPAN_ARG(span_skip(key, dot + 1)));
	else
		problem(p, at,
			"syntax error, here or at the end of the line before: a ; or a "
			"bracket too few or too many?");
	free(line);
}
