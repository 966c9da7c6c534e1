/*
 * dsn - notices about deliveries (RFC 3464, 3461, 6533): composed, and their codes read
 *
 * A notice is a multipart/report: an explanation in plain words, a part for programs, and
 * the message or its header. What next hops answered and what is in the message is not
 * ours: it is printed so that it can add no line, no field and no part.
 *
 *     struct dsn d = { ... };
 *     told = dsn_print(&d, rcpts, count, out);    one message, ready to be submitted
 *
 * It goes from <> and to d.to. If not all recipients fit into out, the first `told` are in
 * it and another notice is due for the others.
 */
#ifndef WIRE_DSN_H
#define WIRE_DSN_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

/* With so much room at least one recipient fits, and the header of the message. */
#define DSN_ROOM_MIN ((size_t)16 << 10)
/* More of a message is never returned. */
#define DSN_RETURN_MAX ((size_t)32 << 10)

enum dsn_action {
	DSN_FAILED,
	DSN_DELAYED,
	DSN_DELIVERED, /* into a mailbox */
	DSN_RELAYED,   /* to a server that does not tell about deliveries itself */
	DSN_EXPANDED,  /* to several others */
	DSN_ACTIONS
};

struct dsn_rcpt {
	struct span address; /* as the sender gave it, before aliases: no secrets of ours */
	struct span orcpt; /* of ORCPT=, as written ("rfc822;bob+40example.org"); or empty */
	struct span answer; /* "550 5.1.1 no such user"; 000 or empty: none came */
	struct span host;   /* who said so; empty: we did, or nobody could be reached */
	int64_t tried;	    /* when last, ms since 1970; 0: never */
	int64_t until;	    /* DSN_DELAYED: when we will give up; 0: not said */
};

struct dsn {
	enum dsn_action action; /* one per notice */
	struct span host;  /* of ours: Reporting-MTA, and the domain of what we write */
	struct span to;	   /* the sender of the message */
	struct span envid; /* of ENVID=, as written; or empty */
	uint64_t id;	   /* of the notice */
	uint64_t about;	   /* of the message */
	uint64_t secret[2]; /* random: makes the boundary, which the message must not hold */
	int64_t arrived, wall; /* ms since 1970 */
	bool utf8;	       /* the message came with SMTPUTF8: so may the notice */
	/*
	 * The message from its beginning: all of it, or as much as the caller has at hand
	 * (DSN_RETURN_MAX is enough). Returned whole if it is all there, `full` asks for it and
	 * it fits; otherwise its header.
	 */
	struct span message;
	bool whole; /* it is all there */
	bool full;
};

/* What the notice needs of whoever takes it. */
struct dsn_needs {
	bool eight_bit; /* MAIL_8BIT */
	bool utf8;	/* MAIL_UTF8 */
};

/* How many of the recipients are in it; 0: out has less than DSN_ROOM_MIN. */
size_t dsn_print(const struct dsn *d, const struct dsn_rcpt *rcpts, size_t count,
		 struct buf *out, struct dsn_needs *needs);

/* ---- codes (RFC 3463) ------------------------------------------------------------------- */

struct dsn_status {
	uint8_t of; /* 2, 4 or 5 */
	uint16_t subject, detail;
};

/* "5.1.1" at the beginning of text, with nothing or a space behind it. */
MUST bool dsn_status_parse(struct span text, struct dsn_status *out);
/*
 * Of an answer ("550 5.1.1 no such user"): its enhanced code if it has one that agrees with
 * the three digits, otherwise what these mean. Of none: 4.4.1.
 */
struct dsn_status dsn_status_of(struct span answer, enum dsn_action action);

/* ---- parameters (RFC 3461) -------------------------------------------------------------------- */

/* xtext, decoded (RFC 3461, 4); false, and nothing written: it is none, or does not fit. */
MUST bool dsn_xtext_parse(struct span text, struct buf *out);

#endif
