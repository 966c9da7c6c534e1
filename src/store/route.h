/*
 * route - recipients whose destination is not known yet, or is another one by now
 *
 * Who makes a message inside a transaction (a notice) does not know who gets mail here: it
 * names an address, and the recipient has destination 0 until it is looked up here. By
 * then the notice is signed as what our users send is (store/sign.h). After
 * a reload that sends mail elsewhere, what waits is looked at again, in batches.
 */
#ifndef STORE_ROUTE_H
#define STORE_ROUTE_H

#include "conf/conf.h"

struct store;

/* There may be recipients without a destination. */
void route_soon(struct store *s);
/* Each minute: what should go elsewhere, and could not be noted. */
void route_retry(struct store *s);
/* The configuration has changed from that to s->conf. */
void route_changed(struct store *s, const struct conf *old);
/* At the start: does mail wait for a destination that the configuration no longer has? */
void route_check(struct store *s);

#endif
