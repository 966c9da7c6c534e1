/*
 * inquiry - what watch asks auth and the store, before it answers about an account
 *
 * Whether an account is disabled only auth knows, and what is held of its mail only the store.
 * Both are asked at once and may be busy: after a moment (INQUIRY_WITHIN) the administrator is
 * answered with what was said by then, and of the rest that it is not known.
 */
#ifndef WATCH_INQUIRY_H
#define WATCH_INQUIRY_H

#include "watch/explain_account.h"
#include "watch/sight.h"

struct inquiries;

MUST bool inquiries_open(struct inquiries **out, struct sight *s, struct err *err);
void inquiries_close(struct inquiries **i);

/* on_end is called once, later or now; not after inquiries_close(). */
void inquiry_begin(struct inquiries *i, struct span user,
		   void (*on_end)(void *arg, const struct account_facts *facts),
		   void *arg);

/* A row, or the end (row: SPAN_NONE), of an answer of that role. False: it is not for us. */
bool inquiry_hear(struct inquiries *i, uint32_t ask, enum role by, struct span row,
		  bool ends);

#endif
