/*
 * keys - the files that DKIM keys are in
 *
 * For sign.c only. Names come from the configuration or from the administrator and are
 * checked here before they become paths: labels of letters, digits, - and _ with dots between
 * them, in lower case. Everything here reads or writes the disk.
 */
#ifndef AUTH_KEYS_H
#define AUTH_KEYS_H

#include "conf/conf.h"
#include "crypt/dkim.h"

struct key_name {
	char domain[DOMAIN_MAX + 1];
	char selector[SELECTOR_MAX + 1];
};

/* Also of names in upper case. False: these cannot be names in the DNS. */
MUST bool key_name(struct key_name *out, struct span domain, struct span selector);
/* SELECTOR._domainkey.DOMAIN */
void key_name_print(const struct key_name *n, struct buf *out);

/* dir: where the files are. False with *found false: there is none. */
MUST bool key_load(int dir, const struct key_name *n, struct dkim_secret **out,
		   bool *found, struct err *err);
/* Written, synced, and never in place of another one. */
MUST bool key_save(int dir, const struct key_name *n, const struct dkim_secret *k,
		   struct err *err);
MUST bool key_remove(int dir, const struct key_name *n, struct err *err);
/* Each key's name, until each() says false. */
MUST bool key_each(int dir, bool (*each)(void *arg, const struct key_name *n), void *arg,
		   struct err *err);

#endif
