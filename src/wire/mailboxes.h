/*
 * mailboxes - the addresses in a field such as From (RFC 5322, 3.4)
 *
 * Display names, comments and the names of groups are skipped, quoted strings are read.
 * Whatever a mail program might show as an address must be found, so what cannot be read
 * for sure is BAD, and nothing is guessed.
 */
#ifndef WIRE_MAILBOXES_H
#define WIRE_MAILBOXES_H

#include "wire/address.h"

enum mailbox_got {
	MAILBOX_GOT,
	MAILBOX_END, /* there are no more */
	MAILBOX_BAD, /* this is no list of mailboxes */
};

/* Take one off the front of *in, the value of a field, CR and LF in it or not. */
enum mailbox_got mailboxes_next(struct span *in, struct address *out);
/* Likewise, and names without a domain are of this one: what programs of a machine write. */
enum mailbox_got mailboxes_next_at(struct span *in, struct span domain,
				   struct address *out);

#endif
