/*
 * https - an address on the web, as an operator writes it
 */
#ifndef CONF_HTTPS_H
#define CONF_HTTPS_H

#include "base/attr.h"
#include "base/span.h"

struct https {
	struct span host; /* a name or an address, without brackets */
	uint16_t port;
};

/*
 * "https://id.example.org/keys", also with a port and with an address in place of the
 * name. There is no other scheme, no user in it, no fragment, and nothing but visible
 * ASCII characters. The spans point into text.
 */
MUST bool https_parse(struct span text, struct https *out);

#endif
