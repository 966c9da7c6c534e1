/*
 * address - the paths of MAIL and RCPT, read strictly and made uniform
 *
 * RFC 5321, 4.1.2 and RFC 6531, 3.3. Source routes are read and dropped (4.1.1.3 and
 * F.2). The result is in one form, so that equal addresses are equal bytes: the domain in
 * lower case and without a dot at its end, the local part quoted only if it must be,
 * address literals as base/addr.h prints them. The case of the local part is kept.
 *
 * Lengths: the whole address up to ADDRESS_MAX, a label up to 63 if it is ASCII. The local part may be
 * longer than 64, as RFC 5321, 4.5.3.1 asks for: bounce addresses of list servers are.
 * Underscores in domains are taken, because the DNS has such names.
 */
#ifndef WIRE_ADDRESS_H
#define WIRE_ADDRESS_H

#include "base/attr.h"
#include "base/span.h"
#include "spec/limits.h"

enum address_kind {
	ADDRESS_NULL,	    /* <>, the sender of bounces: text is empty */
	ADDRESS_POSTMASTER, /* <postmaster>: text is "postmaster" */
	ADDRESS_MAILBOX,    /* local@domain */
};

struct address {
	enum address_kind kind;
	bool high;   /* it has characters above 127 */
	uint16_t n;  /* of text */
	uint16_t at; /* where the @ is; n if there is none */
	char text[ADDRESS_MAX];
};

static inline struct span address_span(const struct address *a)
{
	return span_of(a->text, a->n);
}

static inline struct span address_domain(const struct address *a)
{
	return span_skip(address_span(a), (size_t)a->at + 1);
}

/*
 * Take a path, with its angle brackets, off the front of *in. False, and *in untouched,
 * if there is none. Characters above 127 are taken if they are UTF-8; look at high.
 */
MUST bool address_next(struct span *in, struct address *out);

/* The same for a bare local@domain without brackets and routes, and nothing else. */
MUST bool address_parse(struct span text, struct address *out);

/* May this be a domain (ASCII) or an address literal, as in EHLO? */
bool address_is_host(struct span text);

#endif
