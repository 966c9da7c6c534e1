/*
 * senders - from which addresses a user may send
 *
 * One's own; what leads there: aliases, catch-alls, own+detail; and what the configuration
 * has under send-as.
 */
#ifndef STORE_SENDERS_H
#define STORE_SENDERS_H

#include "base/err.h"
#include "link/frame.h"
#include "store/recipients.h"

struct store;
struct edge_link;

/* Both in any case. */
enum verdict senders_judge(const struct recipients *r, struct span login,
			   struct span address);
/* MAY_SEND. False: it is no good one. */
MUST bool senders_asked(struct store *s, struct edge_link *e, struct frame *f,
			struct err *err);

#endif
