/*
 * check_inner - what the files that check one part of the configuration share
 */
#ifndef CONF_CHECK_INNER_H
#define CONF_CHECK_INNER_H

#include "conf/check.h"

struct check {
	struct conf *conf;
	const struct origins *origins;
	struct problems *problems;
};

/* Names them, and gives them their ids. */
void check_listeners(const struct check *c);
/* Who logs in; reads auth.mechanisms. */
void check_auth(const struct check *c);
/* Where mail is read; behind check_auth(): which mechanisms that leaves. */
void check_mailboxes(const struct check *c);
/* Where mail of our users goes, and how; reads delivery.relay. */
void check_outbound(const struct check *c);

#endif
