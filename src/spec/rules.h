/*
 * rules - the table in rules.def, as C
 */
#ifndef SPEC_RULES_H
#define SPEC_RULES_H

#include "base/span.h"
#include "spec/replies.h"

enum rule {
	RULE_NONE,
#define RULE(id, ...) RULE_##id,
#include "spec/rules.def"
	RULE_COUNT
};

struct rule_row {
	const char *word;
	char letter;
	enum reply reply;
	const char *doc;
};

extern const struct rule_row rule_table[RULE_COUNT];

/* RULE_NONE if there is none of that word, or letter. */
enum rule rule_named(struct span word);
enum rule rule_of_letter(char letter);

#endif
