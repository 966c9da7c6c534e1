/*
 * ticket - that somebody has logged in, said so that an edge cannot make it up
 *
 * An edge is the only role that hears strangers, so it may be in their hands. Auth gives it
 * a ticket for each login; the store wants to see it before it opens a mailbox or takes
 * mail in somebody's name. The key comes from the supervisor, and only these two have it.
 *
 * A ticket is good for one edge, one login and one purpose, until a moment of the clock
 * that is never set (loop_now()), which is the same in all processes. It may be shown more
 * than once; none can be made of it that is good for longer.
 */
#ifndef CRYPT_TICKET_H
#define CRYPT_TICKET_H

#include "base/span.h"
#include "base/time.h"
#include "spec/limits.h"

#define TICKET_FOR_LOGIN   (5 * MS_MINUTE) /* from a login to the mailbox */
#define TICKET_FOR_SESSION MS_DAY	   /* as long as one may last */

enum ticket_purpose {
	TICKET_MAILBOX, /* open the Maildir (BOX_OPEN) */
	TICKET_AGAIN,	/* likewise, for who had it open: the store gives it, and once */
	TICKET_MAIL,	/* send in this name (SUBMIT) */
	TICKET_HELD,	/* likewise, but what it sends is to be held */
	TICKET_PURPOSES
};

struct ticket {
	enum ticket_purpose purpose;
	unsigned edge;	   /* its number */
	struct span login; /* as auth says it, byte by byte */
};

enum ticket_says {
	TICKET_GOOD,
	TICKET_LATE,  /* auth gave it, but it has run out */
	TICKET_FORGED /* it is none, or none for this */
};

void ticket_make(const uint8_t key[TICKET_KEY], const struct ticket *t, ms_t until,
		 uint8_t out[TICKET_SIZE]);
/* In constant time, whatever was said. */
enum ticket_says ticket_check(const uint8_t key[TICKET_KEY], const struct ticket *t,
			      ms_t now, struct span said);

#endif
