/*
 * smtp_chunks - a message on its way out, by BDAT (RFC 3030)
 *
 * Each piece says how long it is, so nothing in it can be taken for its end, and lines may
 * be as long as they are. Text has only CRLF for ends of lines all the same, as in DATA:
 * whoever passes it on may use that. What is binary goes as it is.
 *
 * A chunk is no larger than the buf it is printed into, and is answered once; the last one
 * is the end of the message.
 */
#ifndef WIRE_SMTP_CHUNKS_H
#define WIRE_SMTP_CHUNKS_H

#include "wire/smtp_peer.h"

#define SMTP_CHUNK_HEAD 40 /* "BDAT", the size, "LAST" */

struct smtp_chunks {
	bool binary;
	struct smtp_dots text;
};

void smtp_chunks_init(struct smtp_chunks *c, bool binary);
/* One chunk of what fits of *in into out, which has room for SMTP_CHUNK_HEAD + 4 at least. */
void smtp_chunks_put(struct smtp_chunks *c, struct span *in, struct buf *out);
/* The last one: of text the end of its last line, if that has none; else of nothing. */
void smtp_chunks_end(struct smtp_chunks *c, struct buf *out);

#endif
