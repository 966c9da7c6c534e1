/*
 * local - the local part of an address without its quotes, and back
 *
 * For what rewrites senders: the new text is made of the content of the old local part and
 * quoted again only if it has to be. Not for what comes off the wire: that is address.h.
 */
#ifndef WIRE_LOCAL_H
#define WIRE_LOCAL_H

#include "base/attr.h"
#include "base/buf.h"
#include "spec/limits.h"

struct local {
	uint8_t mem[ADDRESS_MAX];
	struct span text;   /* the local part's content, in mem */
	struct span domain; /* borrowed, from the address */
};

/* local@domain; false: it has no @, or is too long. */
MUST bool local_split(struct span address, struct local *out);

/* content@domain as an address, in its one form. False, and nothing written: it is none. */
MUST bool local_join(struct span content, struct span domain, struct buf *out);

#endif
