/*
 * notify - whether a sender is told what became of a recipient, as it asked (RFC 3461)
 */
#ifndef STORE_NOTIFY_H
#define STORE_NOTIFY_H

#include "base/attr.h"
#include "base/span.h"
#include "wire/dsn.h"

/* The words of NOTIFY (RFC 3461, 4.1). */
#define NOTIFY_NEVER   (1u << 0)
#define NOTIFY_SUCCESS (1u << 1)
#define NOTIFY_FAILURE (1u << 2)
#define NOTIFY_DELAY   (1u << 3)

struct notify {
	unsigned words;	   /* 0: there were none, which is FAILURE and perhaps DELAY */
	struct span orcpt; /* as written; empty: none */
};

/* Of the parameters of a recipient. False: they make no sense. */
MUST bool notify_parse(struct span params, struct notify *out);

/* Is the sender told that this became of a recipient? flags: MAIL_ bits of the message. */
bool notify_owed(uint32_t flags, struct span sender, struct span params,
		 enum dsn_action action);

#endif
