/*
 * header - where the header section of a message ends, and how often it was received
 *
 * Fed with the message as it comes in, in pieces of any size; the result does not depend
 * on how it was chopped. The section ends at the first empty line, or at the first line
 * that can be no header field (RFC 5322, 2.2) and continues none.
 */
#ifndef WIRE_HEADER_H
#define WIRE_HEADER_H

#include "base/span.h"

enum header_at {
	HEADER_BOL,
	HEADER_NAME,
	HEADER_GAP, /* between name and colon (RFC 5322, 4.5) */
	HEADER_VALUE,
	HEADER_CR, /* a CR at the beginning of a line */
	HEADER_OVER,
};

struct header {
	enum header_at at;
	uint64_t size;	   /* of the section so far */
	uint32_t received; /* Received fields */
	uint8_t name_n;	   /* of the name: how much of it is "received" */
	bool inside;	   /* a field came before, so a line may continue it */
};

void header_init(struct header *h);
void header_scan(struct header *h, struct span text);

#endif
