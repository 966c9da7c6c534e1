/*
 * among - the clients that the guard knows inside a prefix, a few at a time
 *
 * A prefix with few possible clients (IPv4 /16 and longer, IPv6 /48 and longer) is looked
 * up client by client; for a wider one all rows are gone through.
 */
#ifndef WATCH_AMONG_H
#define WATCH_AMONG_H

#include "watch/view.h"

struct among {
	const struct memory *memory; /* borrowed */
	struct net net;
	bool by_client;
	struct guard_key first; /* with by_client */
	uint64_t at, end;
};

void among_init(struct among *a, const struct memory *m, const struct net *net);
static inline bool among_over(const struct among *a)
{
	return a->at >= a->end;
}
/* Look at the next place. Was there a client inside? */
bool among_next(struct among *a, struct guard_hot *out);

#endif
