/*
 * mx - in which order the hosts of a domain are tried (RFC 5321, 5.1)
 */
#ifndef WIRE_MX_H
#define WIRE_MX_H

#include "base/span.h"

#define MX_HOSTS_MAX 20 /* looked at */

struct mx_host {
	uint16_t preference;
	struct span name;
};

/*
 * Sort them: the lowest preference first, equal ones in an order that depends on seed
 * only. A name that is there twice counts once, none at all not. If `self` is among them, it goes, and so
 * does every host that is not better than it: mail would come back to us. How many are
 * left?
 */
size_t mx_order(struct mx_host *hosts, size_t count, struct span self, uint64_t seed);

/* RFC 7505: the domain takes no mail. */
bool mx_is_null(const struct mx_host *hosts, size_t count);

#endif
