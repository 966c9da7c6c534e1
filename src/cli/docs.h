/*
 * docs - what the tables in spec/ say, as text, Markdown or scdoc
 *
 * docs/settings.md, docs/events.md and the middle of holdfast.conf(5) are made from here,
 * so that they cannot say anything else than the program does.
 */
#ifndef CLI_DOCS_H
#define CLI_DOCS_H

#include <stdio.h>

#include "base/span.h"

enum docs_form {
	DOCS_TEXT,
	DOCS_MARKDOWN,
	DOCS_MAN, /* scdoc(5) */
};

/*
 * All settings and sections, or those whose key is this, or begins with it and a dot.
 * False: there are none.
 */
bool docs_settings(FILE *out, enum docs_form form, struct span key);

/* Why the guard refuses. */
void docs_rules(FILE *out, enum docs_form form);
/* What peers do, the rules, why sessions end, what the log says. */
void docs_events(FILE *out, enum docs_form form);

#endif
