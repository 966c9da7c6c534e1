/*
 * xclient - the arguments of XCLIENT: a trusted front tells who its client is
 *
 * As Postfix documents it (XCLIENT_README): attributes with values in xtext (RFC 3461,
 * 4), [UNAVAILABLE] and [TEMPUNAVAIL] for what is not known.
 */
#ifndef WIRE_XCLIENT_H
#define WIRE_XCLIENT_H

#include "base/addr.h"
#include "spec/limits.h"

struct xclient {
	bool has_addr, has_port, has_helo;
	bool smtp; /* PROTO=SMTP: the client said HELO */
	struct addr addr;
	uint16_t port;
	uint16_t helo_n;
	char helo[DOMAIN_MAX];
};

/* False: an attribute that we did not offer, or a value that it cannot have. */
MUST bool xclient_parse(struct span text, struct xclient *out);

/* Decode xtext: +HH is a byte, other printable bytes are themselves. */
MUST bool xtext_parse(struct span text, struct buf *out);

#endif
