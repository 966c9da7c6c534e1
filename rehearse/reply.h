/*
 * reply - what a server says, cut into replies
 *
 * The client's side of SMTP, IMAP and POP3 as far as a rehearsal needs it: was that a yes or a no?
 * Bytes may come in any pieces; nothing but the beginning of the present line is kept. Lines end
 * with LF, with or without CR: whether a server is right about that is not asked here. Of several
 * lines of SMTP the last one counts, as for most clients: postscreen says 220- and then 521.
 */
#ifndef REHEARSE_REPLY_H
#define REHEARSE_REPLY_H

#include "rehearse/words.h"

/* Small: each visit has one. */
struct replies {
	uint32_t literal; /* IMAP: its size, as far as it is known, or skipped */
	uint8_t speaks;
	uint8_t brace;	/* IMAP: how much of a {123} there is */
	uint8_t column; /* of the line; 255: that or more */
	bool more;	/* in the middle of a reply of several lines, or of its text */
	bool greeted;	/* IMAP: the first line was heard */
	char line[39];	/* its beginning */
};

struct reply {
	struct span status; /* as script.h says; of IMAP and POP3 in capitals */
	struct span line; /* the last one, as far as it was kept: good until the next call */
	enum end end;	  /* END_DONE for a yes; END_LATER, END_NO */
	bool bye;	  /* 421 or BYE: whoever says this hangs up */
};

enum reply_got { REPLY_MORE, REPLY_WHOLE, REPLY_FAULT };

/* What has been asked. */
enum {
	REPLY_HAS_TEXT = 1u << 0, /* POP3: behind +OK there is text, up to a lone dot */
	REPLY_IS_LAST = 1u << 1,  /* IMAP: BYE is said to whoever logs out */
};

void replies_init(struct replies *r, enum speaks speaks);

/*
 * The next reply, if it is complete; its bytes (or all, if it is not) are cut off *in. FAULT:
 * this is no reply, and what comes behind it makes no sense either.
 */
enum reply_got replies_next(struct replies *r, unsigned asked, struct span *in,
			    struct reply *out);

/* Has a reply begun that is not complete? */
bool replies_inside(const struct replies *r);

#endif
