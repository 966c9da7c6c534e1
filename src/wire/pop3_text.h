/*
 * pop3_text - a message from a file, as RETR and TOP send it
 *
 * Files of a Maildir have lines that end with LF; POP3 wants CRLF, a dot doubled at the
 * beginning of a line, and a line with a dot alone at the end (RFC 1939, 3). A CR that is
 * there already is not doubled. The file comes in pieces of any size, and goes out as far
 * as there is room.
 */
#ifndef WIRE_POP3_TEXT_H
#define WIRE_POP3_TEXT_H

#include <stdint.h>

#include "base/buf.h"

struct pop3_text {
	bool in_line;  /* something of this line was said */
	bool after_cr; /* a CR was the last byte of it */
	bool blank;    /* it holds nothing else */
	bool in_body;
	bool whole; /* RETR; else TOP, with this many lines of the body */
	uint32_t lines;
	bool enough; /* TOP has all it wants: pop3_text_end() now */
};

void pop3_text_all(struct pop3_text *t);
void pop3_text_top(struct pop3_text *t, uint32_t lines);

/* Say as much of *in as fits, and take it off its front. */
void pop3_text_put(struct pop3_text *t, struct span *in, struct buf *out);
/* How much room that takes. */
#define POP3_TEXT_END 5
void pop3_text_end(struct pop3_text *t, struct buf *out);

/* How many bytes RETR will say, but for doubled dots and the last line: LIST wants it. */
struct pop3_size {
	uint64_t bytes;
	uint8_t last; /* the last byte; \n before the first */
};

void pop3_size_begin(struct pop3_size *s);
void pop3_size_put(struct pop3_size *s, struct span in);
uint64_t pop3_size_end(const struct pop3_size *s);

#endif
