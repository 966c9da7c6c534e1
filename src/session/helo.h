/*
 * helo - what the name in a HELO is worth
 *
 * Nothing here is a reason to refuse: honest servers say all of it (RFC 5321, 4.1.4).
 */
#ifndef SESSION_HELO_H
#define SESSION_HELO_H

#include "base/addr.h"
#include "spec/events.h"

struct helo_ends {
	const struct addr *peer, *local;
	struct span host; /* our name */
};

/* What is wrong with it, the worst only; EV_NONE if it is fine. */
enum event helo_check(struct span name, const struct helo_ends *ends);

#endif
