/*
 * answers - the fixed answers of canned: bytes in, bytes and events out
 *
 * Pure: no socket, no clock, no allocation. It understands just enough of SMTP, IMAP and POP3 to
 * answer at the right moments, in any order that a client likes, pipelined or byte by byte.
 */
#ifndef REHEARSE_ANSWERS_H
#define REHEARSE_ANSWERS_H

#include "base/buf.h"
#include "rehearse/words.h"

#define ANSWERS_LINE 4096		/* the longest line, its LF included */
#define ANSWERS_SIZE (64 * 1024 * 1024) /* the largest message */
#define ANSWERS_ROOM 512		/* free bytes of out that any one answer fits */

/* What all peers of a server have in common. */
struct answers_kind {
	enum speaks speaks;
	bool tls; /* STARTTLS is offered while a peer is not secure */
	bool takes_passwords;
};

struct answers {
	uint8_t state;	  /* what the next bytes are, see answers.c */
	uint8_t matched;  /* bytes of the end of data that were seen */
	uint8_t borrowed; /* of these: how many are not text (CRLF of the line before) */
	uint8_t row;	  /* IMAP: the command that a literal interrupted */
	bool secure;	  /* TLS is up; the caller's to set */
	bool skipping;	  /* in a line that is too long */
	bool last;	  /* of BDAT */
	bool open;	  /* some of a message was told as text */
	uint64_t left;	  /* bytes of the chunk or literal */
	uint64_t size;	  /* of the message so far */
	char tag[24];	  /* IMAP: of the command that is not answered yet */
};

enum heard {
	HEARD_MORE, /* that was all; what is left in `in` is less than a line: offer it again */
	HEARD_FULL,   /* out has less than ANSWERS_ROOM left: write it, then call again */
	HEARD_TEXT,   /* a piece of a message, in text; good until the next call */
	HEARD_END,    /* the message is whole: answers_kept() comes next */
	HEARD_FORGET, /* the text so far is void */
	HEARD_TLS, /* once out is written, shake hands; input that came too early is dropped */
	HEARD_CLOSE, /* once out is written, hang up */
};

struct answers_event {
	enum heard heard;
	struct span text;
};

/* The greeting; *a is made new, but stays as secure as it says. */
void answers_greet(const struct answers_kind *k, struct answers *a, struct buf *out);

/* The line of a server that is too busy for anybody (`bare`). */
struct span answers_refusal(enum speaks speaks);

/* The next thing heard in *in, whose front is cut off by as much; answers are appended to out. */
struct answers_event answers_next(const struct answers_kind *k, struct answers *a,
				  struct span *in, struct buf *out);

/* After HEARD_END: is the message safe? */
void answers_kept(struct answers *a, bool kept, struct buf *out);

#endif
