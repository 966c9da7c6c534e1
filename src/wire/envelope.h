/*
 * envelope - what the arguments of MAIL and RCPT say
 *
 * Read strictly: an unknown parameter is 555, one given twice or with a value it cannot
 * have is 501. Spaces behind the colon are taken, which RFC 5321, 3.3 forbids and old
 * clients send; they mean nothing to anybody.
 *
 * What a sender wants to be told (RFC 3461) is checked and handed on as it was written.
 */
#ifndef WIRE_ENVELOPE_H
#define WIRE_ENVELOPE_H

#include "spec/replies.h"
#include "wire/address.h"

enum envelope_body { BODY_UNSAID, BODY_7BIT, BODY_8BITMIME, BODY_BINARYMIME };

enum envelope_ret { RET_UNSAID, RET_FULL, RET_HDRS };

struct envelope_mail {
	struct address from;
	enum envelope_body body;
	uint64_t size; /* RFC 1870; 0: not said; UINT64_MAX: more than a number can hold */
	bool utf8;     /* SMTPUTF8 */
	bool requires_tls; /* REQUIRETLS (RFC 8689) */
	enum envelope_ret ret;
	struct span envid; /* in xtext, at most ENVID_MAX; empty: not said. Of the line */
	bool auth;	   /* AUTH= was there; it means nothing to us (RFC 4954, 5) */
};

struct envelope_rcpt {
	struct address to;
	struct span notify, orcpt; /* as written; empty: not said. Of the line */
};

/*
 * "FROM:<path> params", with the SMTP_OFFERS_ bits that were announced. RE_NONE: *out is
 * good; otherwise what to answer.
 */
MUST enum reply envelope_mail_parse(struct span text, unsigned offers,
				    struct envelope_mail *out);

/*
 * An ORCPT that was taken, in ASCII: what is not becomes \x{HEX} (utf-8-addr-xtext of RFC 6533, 3),
 * which may be said to all hosts. Sticky, as buffers are: it may be three times as long.
 */
void envelope_orcpt_print(struct span orcpt, struct buf *out);

/* "TO:<path> params"; utf8: the MAIL had SMTPUTF8. */
MUST enum reply envelope_rcpt_parse(struct span text, unsigned offers, bool utf8,
				    struct envelope_rcpt *out);

/* The argument of VRFY and EXPN: may it hold what it holds? (RFC 6531, 3.7.4.2) */
MUST enum reply envelope_query_check(struct span text, unsigned offers);

#endif
