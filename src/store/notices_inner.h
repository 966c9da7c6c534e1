/*
 * notices_inner - what the files of notices share
 */
#ifndef STORE_NOTICES_INNER_H
#define STORE_NOTICES_INNER_H

#include "store/inner.h"
#include "store/notices.h"

enum budget_says { BUDGET_FINE, BUDGET_HOLD, BUDGET_NONE };

/* One more is about to be made: does the budget of this hour have it? */
enum budget_says notices_spend(struct notices *n, int64_t wall);
/* Into the queue, with an id that is free. m: its flags, helo, body and state are set. */
MUST bool notices_put(struct notices *n, struct tools *t, struct queue_message *m,
		      struct span address, struct err *err);

#endif
