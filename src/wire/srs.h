/*
 * srs - senders of forwarded mail, rewritten so that SPF holds (Sender Rewriting Scheme)
 *
 * What alice@us.example has forwarded to another domain would fail SPF there under its own
 * sender, so it goes out under one of ours that can be turned back:
 *
 *     bob@far.example       SRS0=HHHHHHHH=TT=far.example=bob@us.example
 *     SRS0=...@one.example  SRS1=HHHHHHHH=one.example==...@us.example
 *
 * The syntax is that of libsrs2, and addresses of others that forwarded before us are taken
 * as it writes them. HHHHHHHH is a keyed hash (40 bits, base32), TT the day modulo 1024; both
 * are checked, so that nobody can have us forward to whom they like (we would be an open
 * relay), and old ones end after SRS_DAYS. Everything is checked without regard to case,
 * because some servers change it.
 */
#ifndef WIRE_SRS_H
#define WIRE_SRS_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

#define SRS_DAYS 21 /* how long a bounce may take */

/*
 * sender: local@domain in the form of wire/address.h, not empty. domain: ours. False, and
 * nothing written: the result would be longer than ADDRESS_MAX, or sender is no mailbox.
 */
MUST bool srs_forward(const uint64_t key[2], struct span sender, struct span domain,
		      int64_t wall, struct buf *out);

/* Does the local part of this address begin with SRS0 or SRS1 and a separator? */
bool srs_is(struct span address);

/*
 * To whom a bounce to this address (of a domain of ours) goes: the sender before it was
 * rewritten. False, and nothing written: forged, too old, or none.
 */
MUST bool srs_reverse(const uint64_t key[2], struct span address, int64_t wall,
		      struct buf *out);

#endif
