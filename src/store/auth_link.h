/*
 * auth_link - the link to auth: it signs, and has things to tell owners of accounts
 */
#ifndef STORE_AUTH_LINK_H
#define STORE_AUTH_LINK_H

#include "base/attr.h"
#include "base/span.h"
#include "link/frame.h"

struct store;

/* A link to auth, taken over; it replaces an earlier one. */
void auth_link_meet(struct store *s, struct link *link);
void auth_link_close(struct store *s);
/* Have it sign; SIGNED comes to store/sign.h. False: it cannot be asked. */
MUST bool auth_link_sign(struct store *s, const struct msg_SIGN *m);

#endif
