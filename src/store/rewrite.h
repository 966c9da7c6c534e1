/*
 * rewrite - senders on their way out, and the bounces that come back to them
 *
 * What an alias forwards to another domain goes out under a sender of ours that can be
 * turned back (SRS, wire/srs.h); what our users send is tagged (BATV, wire/batv.h), if
 * queue.batv says so. The stored sender stays what it was.
 */
#ifndef STORE_REWRITE_H
#define STORE_REWRITE_H

#include "base/buf.h"
#include "store/deliver.h"

struct store;

/* The envelope sender for that parcel; it may be that of the parcel. */
struct span rewrite_sender(const struct store *s, const struct parcel *p,
			   uint8_t mem[ADDRESS_MAX]);

enum came_back {
	CAME_PLAIN, /* not an address that we made: *out is empty */
	CAME_BACK,  /* to a tagged sender of ours: *out is who that is */
	CAME_ON, /* to a rewritten one: *out is the sender that mail was forwarded for */
	CAME_FORGED, /* made by somebody else, or too old */
};

/* bounce: it comes from the null sender, as all that comes back must. */
enum came_back rewrite_back(const struct store *s, struct span rcpt, bool bounce,
			    struct buf *out);
/* With queue.batv: is a bounce to this plain address of ours one that we cannot have caused? */
bool rewrite_misses_tag(const struct store *s, struct span rcpt);

#endif
