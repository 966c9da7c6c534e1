/*
 * line - cut command lines off the front of the input, strictly
 *
 * Only CRLF ends a line. What else could be taken for an end, and what has no place in a
 * command, is noted and reported with the line. A line above the limit is swallowed up to
 * its CRLF and reported without its text, as EV_LONG_LINE. Bytes that were looked at once are not looked
 * at again, so a peer that sends one at a time costs no more than one that does not.
 */
#ifndef WIRE_LINE_H
#define WIRE_LINE_H

#include "base/span.h"
#include "spec/events.h"

struct line {
	size_t max;	/* with CRLF */
	size_t seen;	/* bytes at the front of the input that were looked at */
	enum event odd; /* the first oddity of this line */
	bool after_cr;
	bool high;     /* it has bytes above 127 */
	bool skipping; /* it is too long already */
};

/* One line, without its CRLF. */
struct line_cut {
	struct span text;
	enum event odd; /* NUL_BYTE, BARE_LF, BARE_CR, LONG_LINE or none */
	bool high;
};

void line_init(struct line *l, size_t max);

/* False: no end is in sight yet. */
bool line_next(struct line *l, struct span *in, struct line_cut *out);

#endif
