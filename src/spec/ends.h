/*
 * ends - the table in ends.def, as C
 */
#ifndef SPEC_ENDS_H
#define SPEC_ENDS_H

enum end {
	END_NONE, /* the session goes on */
#define END(id, ...) END_##id,
#include "spec/ends.def"
	END_COUNT
};

struct end_row {
	const char *word;
	const char *doc;
};

extern const struct end_row end_table[END_COUNT];

#endif
