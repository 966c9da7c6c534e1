/*
 * verify - call-ahead: what next hops say about recipients, asked and remembered
 */
#ifndef STORE_VERIFY_H
#define STORE_VERIFY_H

#include "base/err.h"
#include "link/frame.h"

struct store;
struct edge_link;
struct verify_ask;

struct verify;

MUST bool verify_open(struct verify **out, struct store *s, struct err *err);
void verify_close(struct verify **v);
MUST bool verify_asked(struct store *s, struct edge_link *e, const struct frame *f,
		       struct err *err);
/* What the next hop said about an address; answer: "250 ...", "000 ..." if nothing. */
void verify_answered(struct store *s, struct verify_ask *ask, struct span answer);
void verify_tick(struct store *s, ms_t now);
/* The whole edge is gone: nobody waits for its answers any more. */
void verify_forget(struct store *s, const struct edge_link *e);

#endif
