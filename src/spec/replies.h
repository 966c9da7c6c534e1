/*
 * replies - the table in replies.def, as C
 */
#ifndef SPEC_REPLIES_H
#define SPEC_REPLIES_H

#include "base/buf.h"

enum reply {
	RE_NONE, /* nothing to say yet */
#define REPLY(id, ...) RE_##id,
#include "spec/replies.def"
	REPLY_COUNT
};

struct reply_row {
	int code;
	const char *enhanced;
	const char *text;
};

extern const struct reply_row reply_table[REPLY_COUNT];

/* "250 2.1.0 Sender OK" CRLF; more follows the text after a space, if not empty. */
void reply_print(enum reply r, struct span more, struct buf *out);

#endif
