/*
 * smtp_peer - the client side of an SMTP or LMTP dialogue, without the I/O
 *
 * Bytes go in, replies come out; commands are printed into a buf:
 *
 *     smtp_peer_rcpt(&p, address, &out);
 *     while ((ev = smtp_peer_next(&p, &in)).kind != SMTP_PEER_MORE)
 *             switch (ev.kind) ...
 *
 * The next hop is as little trusted as anybody: its lines, the number of lines in one
 * reply and what is kept of their text are bounded, and what is not a reply is BAD, once;
 * from then on everything is swallowed. Only CRLF ends a line.
 *
 * The engine does not count how many replies are due: who pipelines does.
 */
#ifndef WIRE_SMTP_PEER_H
#define WIRE_SMTP_PEER_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

#define SMTP_PEER_LINE	2048 /* the longest line of a reply, with its CRLF */
#define SMTP_PEER_LINES 128  /* in one reply */
#define SMTP_PEER_TEXT	200  /* kept of a reply, its lines joined by a space */

enum smtp_peer_kind {
	SMTP_PEER_MORE,	 /* nothing to do until there is more input */
	SMTP_PEER_REPLY, /* a whole reply: code, text */
	SMTP_PEER_BAD,	 /* not a reply: text says what it is (ours, not the peer's) */
};

struct smtp_peer_event {
	enum smtp_peer_kind kind;
	int code;	  /* 200 to 599 */
	struct span text; /* as it came, cut at SMTP_PEER_TEXT; good until the next call */
};

/* What a greeted server can do. */
#define SMTP_CAN_PIPELINING (1u << 0)
#define SMTP_CAN_SIZE	    (1u << 1)
#define SMTP_CAN_8BITMIME   (1u << 2)
#define SMTP_CAN_SMTPUTF8   (1u << 3)
#define SMTP_CAN_STARTTLS   (1u << 4)
#define SMTP_CAN_LIMITS	    (1u << 5)
#define SMTP_CAN_DSN	    (1u << 6)
#define SMTP_CAN_CHUNKING   (1u << 7)
#define SMTP_CAN_AUTH_PLAIN (1u << 8) /* AUTH PLAIN, AUTH LOGIN (RFC 4954) */
#define SMTP_CAN_AUTH_LOGIN (1u << 9)
#define SMTP_CAN_BINARYMIME (1u << 10)

struct smtp_peer {
	/* for the caller to read */
	unsigned can;	   /* SMTP_CAN_ bits, from the answer to EHLO or LHLO */
	uint64_t size_max; /* with SMTP_CAN_SIZE; 0: not said */
	uint64_t rcpt_max; /* LIMITS RCPTMAX (RFC 9422); 0: not said */
	/* ---- */
	size_t seen; /* of the line that is not whole yet */
	int code;    /* of the reply under way; 0: none */
	unsigned lines;
	bool hello; /* the reply under way lists what the server can do */
	bool bad;
	uint8_t text_n;
	uint8_t text[SMTP_PEER_TEXT];
};

void smtp_peer_init(struct smtp_peer *p);
struct smtp_peer_event smtp_peer_next(struct smtp_peer *p, struct span *in);

/* Is part of a reply here, which more must follow? */
bool smtp_peer_in_reply(const struct smtp_peer *p);

enum smtp_peer_hello { SMTP_PEER_HELO, SMTP_PEER_EHLO, SMTP_PEER_LHLO };

/* Everything printed below must be fit for it: smtp_peer_address_ok(), _name_ok(). */
void smtp_peer_hello(struct smtp_peer *p, enum smtp_peer_hello how, struct span name,
		     struct buf *out);

#define SMTP_PEER_8BIT	   (1u << 0) /* BODY=8BITMIME */
#define SMTP_PEER_UTF8	   (1u << 1) /* SMTPUTF8 */
#define SMTP_PEER_RET_HDRS (1u << 2) /* RET=HDRS (RFC 3461) */
#define SMTP_PEER_RET_FULL (1u << 3)
#define SMTP_PEER_BINARY   (1u << 4) /* BODY=BINARYMIME (RFC 3030), whatever 8BIT says */

struct smtp_peer_mail {
	struct span sender;
	struct span envid; /* ENVID (RFC 3461), as xtext; empty: none */
	uint64_t size;	   /* 0: not known */
	unsigned needs;	   /* SMTP_PEER_ bits */
};

/* Parameters that the server did not offer are left out. */
void smtp_peer_mail(const struct smtp_peer *p, const struct smtp_peer_mail *m,
		    struct buf *out);
/* notify: the parameters of RFC 3461, as written; empty: none. */
void smtp_peer_rcpt(const struct smtp_peer *p, struct span rcpt, struct span notify,
		    struct buf *out);
void smtp_peer_starttls(struct buf *out);
/* AUTH PLAIN with what RFC 4616 makes of user and password: NUL, user, NUL, password. */
void smtp_peer_auth_plain(struct span message, struct buf *out);
void smtp_peer_auth_login(struct buf *out);
/* A line of that exchange. */
void smtp_peer_auth_line(struct span bytes, struct buf *out);
void smtp_peer_data(struct buf *out);
void smtp_peer_reset(struct buf *out);
void smtp_peer_quit(struct buf *out);

/*
 * Can this stand between angle brackets without saying more than an address? No control
 * bytes; no space, `<` or `>` outside a quoted local part. Bytes above 127 only if utf8.
 */
bool smtp_peer_address_ok(struct span address, bool utf8);
/* The same for the name in HELO: visible ASCII, not empty. */
bool smtp_peer_name_ok(struct span name);
/* And for parameters of RFC 3461: visible ASCII and spaces. */
bool smtp_peer_params_ok(struct span params);

/*
 * A message on its way out, by DATA. Dots at the start of lines are doubled, and only CRLF
 * ends a line: a CR or LF that stands alone becomes one, so that no next hop can read an
 * end of message into it. The result does not depend on how the message is cut into pieces.
 */
struct smtp_dots {
	bool undotted; /* by BDAT (wire/smtp_chunks.h): no dot is doubled, none ends it */
	bool at_bol;
	bool after_cr;
};

void smtp_dots_init(struct smtp_dots *d);
/* Take from *in what fits into out. Nothing is taken if fewer than 4 bytes fit. */
void smtp_dots_put(struct smtp_dots *d, struct span *in, struct buf *out);
/* The end: a CRLF if the last line has none, and the dot. At most 7 bytes. */
void smtp_dots_end(struct smtp_dots *d, struct buf *out);

#endif
