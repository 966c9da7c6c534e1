/*
 * hop - where mail goes, as an operator writes it
 *
 * maildir, discard, lmtp:unix:/path, lmtp:host:port, smtp:host:port. A host is a name or
 * an address; an IPv6 address stands in brackets.
 */
#ifndef CONF_HOP_H
#define CONF_HOP_H

#include "base/err.h"
#include "conf/conf.h"

/* target gets what is behind lmtp:, lmtp:unix: or smtp:, else "". */
MUST bool hop_parse(struct span text, enum hop *hop, char target[TEXT_MAX],
		    struct err *err);

/* As hop_parse() reads it; of HOP_MX, which nobody writes, "mx:domain". */
void hop_print(enum hop hop, struct span target, struct buf *out);
bool hop_is_network(enum hop hop);

/*
 * Where mail of our users goes that is not for us: mx, none (HOP_COUNT) or smtp:host:port,
 * whose host:port target gets.
 */
MUST bool relay_parse(struct span text, enum hop *hop, char target[TEXT_MAX],
		      struct err *err);
/* As it was written. */
void relay_print(enum hop hop, const char *target, struct buf *out);

/* Is this a domain or host name: letters, digits and hyphens between dots? */
bool host_name_ok(struct span name);
/* Is this host:port? */
bool host_port_ok(struct span text);

#endif
