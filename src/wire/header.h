/*
 * header - where the header section of a message ends, and what is in it
 *
 * Fed with the message as it comes in, in pieces of any size; the result does not depend
 * on how it was chopped. The section ends at the first empty line, or at the first line
 * that can be no header field (RFC 5322, 2.2) and continues none.
 */
#ifndef WIRE_HEADER_H
#define WIRE_HEADER_H

#include "base/buf.h"
#include "base/span.h"

enum header_at {
	HEADER_BOL,
	HEADER_NAME,
	HEADER_GAP, /* between name and colon (RFC 5322, 4.5) */
	HEADER_VALUE,
	HEADER_CR, /* a CR at the beginning of a line */
	HEADER_OVER,
};

/* The fields that are looked for. */
#define HEADER_RECEIVED	  (1u << 0)
#define HEADER_FROM	  (1u << 1)
#define HEADER_DATE	  (1u << 2)
#define HEADER_MESSAGE_ID (1u << 3)

struct header {
	enum header_at at;
	uint64_t size;	   /* of the section so far */
	uint64_t line;	   /* how much of it is in front of the line that is being read */
	uint32_t received; /* Received fields */
	uint8_t has;	   /* HEADER_ bits of the fields that were seen */
	uint8_t name_n;	   /* of the name: how much of it has come, */
	uint8_t could;	   /* and which it could be: HEADER_ bits */
	bool inside;	   /* a field came before, so a line may continue it */
	bool in_from;	   /* it is From */
	bool ended;	   /* OVER, by an empty line as it should be */
};

void header_init(struct header *h);
void header_scan(struct header *h, struct span text);
/*
 * Likewise; and put the value of From into that buf, in one line, for wire/mailboxes. Of
 * several such fields, all, with commas between them.
 */
void header_scan_from(struct header *h, struct span text, struct buf *from);

#endif
