/*
 * scan - what a message needs in fact, whatever was said about it
 *
 * A message that was announced as 8BITMIME or SMTPUTF8 may hold ASCII only; then a next
 * hop that offers neither can have it all the same (RFC 6152, 3; RFC 6531, 3.2). And one
 * that was announced as BINARYMIME may be text, of lines that DATA can carry.
 */
#ifndef SESSION_SCAN_H
#define SESSION_SCAN_H

#include "base/span.h"

struct scan {
	bool header; /* there are bytes above 127 in the header section, */
	bool body;   /* behind it */
	bool odd;    /* there is a NUL, a CR or LF alone, or a line that is too long */
	bool in_body;
	bool at_bol;
	bool after_cr;
	size_t line; /* bytes of the one that is not over */
};

void scan_init(struct scan *s);
/* The next piece; the result does not depend on how the message is cut. */
void scan_put(struct scan *s, struct span piece);
/* Behind the last piece: would DATA change it? */
bool scan_is_binary(const struct scan *s);

#endif
