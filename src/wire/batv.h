/*
 * batv - senders with a tag, by which bounces of our own mail are known again
 *
 *     bob@us.example        prvs=KDDDSSSSSS=bob@us.example
 *
 * (draft-levine-smtp-batv): K is the number of the key, DDD the day modulo 1000 on which
 * the tag ends, SSSSSS the first 24 bits of a keyed hash of both and the address. A bounce to an
 * address without a good tag is about a message that we never sent.
 */
#ifndef WIRE_BATV_H
#define WIRE_BATV_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

#define BATV_DAYS 7

/*
 * sender: local@domain in the form of wire/address.h. number: of the key, 0 to 9. False, and
 * nothing written: no mailbox, tagged already, or too long with a tag.
 */
MUST bool batv_tag(const uint64_t key[2], unsigned number, struct span sender,
		   int64_t wall, struct buf *out);

enum batv {
	BATV_NONE, /* it has no tag; *plain is the address as it is */
	BATV_GOOD, /* *plain is the address without the tag */
	BATV_BAD,  /* forged, or too old; *plain likewise */
};

/* The number of the key, if there is a tag; 10 if there is none. */
unsigned batv_number(struct span address);
/* plain: of address, or the empty span if what is left is no address. Case is ignored. */
enum batv batv_check(const uint64_t key[2], struct span address, int64_t wall,
		     struct buf *plain);

#endif
