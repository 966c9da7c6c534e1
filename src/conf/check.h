/*
 * check - is the configuration one that can work?
 *
 * What a single value may be, the tables say. Here is what only the whole can show: two
 * listeners on one port, TLS without a certificate, a time longer than the one it must be
 * part of.
 */
#ifndef CONF_CHECK_H
#define CONF_CHECK_H

#include "base/attr.h"
#include "conf/settings.h"

/* Where a value was read. file NULL: nowhere, it is the default. */
struct origin {
	const char *file; /* borrowed */
	unsigned line;	  /* 0: there are no lines (--set) */
};

struct origins {
	struct origin set[SETTINGS_COUNT];
	struct origin listeners[LISTENERS_MAX];
	struct origin routes[ROUTES_MAX];
	struct origin domains[DOMAINS_MAX];
	struct origin dnsbls[DNSBLS_MAX];
	struct origin relays[RELAYS_MAX];
	struct origin password_sources[AUTH_SOURCES_MAX];
	struct origin oauth[OAUTH_MAX];
	struct origin send_as[SEND_AS_MAX];
	struct origin dkim[DKIM_MAX];
	struct origin backends[BACKENDS_MAX];
	struct origin mailboxes[MAILBOXES_MAX];
};

/* Counts problems, and hands the first PROBLEMS_MAX on. */
struct problems {
	void (*on_problem)(void *arg, bool fatal, const char *text);
	void *arg;
	unsigned fatal, warnings;
};

/* "holdfast.conf:12: ..." */
void problem(struct problems *p, struct origin at, const char *fmt, ...) PRINTF(3, 4);
void doubt(struct problems *p, struct origin at, const char *fmt, ...) PRINTF(3, 4);

/* All judgements. c->set is read; what follows from it (deliver_hop, mechanisms,
 * names) is filled in. */
void conf_check(struct conf *c, const struct origins *where, struct problems *p);

#endif
