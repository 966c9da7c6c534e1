/*
 * store_link - what auth and the store have to do with each other: signatures and notices
 */
#ifndef AUTH_STORE_LINK_H
#define AUTH_STORE_LINK_H

#include "auth/sign.h"
#include "link/frame.h"

struct store_link;

/* calls: `made` is not used, signatures go to the store. */
MUST bool store_link_open(struct store_link **out, struct loop *loop, const char *dir,
			  const struct conf *conf, const struct signer_calls *calls,
			  void *arg, struct err *err);
/* After the loop was closed. */
void store_link_close(struct store_link **l);

/* The link, taken over; it replaces the one before. */
void store_link_meet(struct store_link *l, struct link *link);
/* After a reload. */
void store_link_conf(struct store_link *l, const struct conf *conf);
/* A command of the administrator: all words, "dkim" the first. */
void store_link_command(struct store_link *l, uint32_t ask, struct span words);

/* Tell the owner of an account by mail. False: the store is not there now. */
MUST bool store_link_notice(struct store_link *l, struct span login, struct span subject,
			    struct span text);

#endif
