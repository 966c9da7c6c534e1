/*
 * backends - the mailbox servers behind us: which of them serves a user, and which are well
 *
 * Each edge finds out for itself. One that did not answer is down at once for all who come
 * next, and is tried every mailbox.check-every until it greets us; so nobody waits for a
 * server that somebody else has found dead. A server may be down for IMAP and well for POP3.
 */
#ifndef EDGE_BACKENDS_H
#define EDGE_BACKENDS_H

#include "conf/conf.h"
#include "guard/orders.h"
#include "io/dns.h"
#include "io/loop.h"
#include "io/tls.h"
#include "link/pulse.h"

struct backends;

struct backends_setup {
	struct loop *loop;
	struct pulse *pulse;
	struct dns *dns;
	struct tls *tls;
	const struct conf *conf; /* until backends_reconf() */
};

MUST bool backends_open(struct backends **out, const struct backends_setup *setup,
			struct err *err);
void backends_close(struct backends **b);
/* What is known of a server stays with its name and address. */
void backends_reconf(struct backends *b, const struct conf *conf);

/* How many have this service? */
size_t backends_count(const struct backends *b, bool pop3);

/*
 * The one for this user by its name, of those that have a weight, are well and are not in
 * `without` (a bit for each of conf.backends). NULL: there is none; *any says whether there
 * would be if they were well.
 */
const struct backend *backends_choose(const struct backends *b, bool pop3,
				      struct span user, uint64_t without, bool *any);
/* Takes it new sessions? */
bool backends_is_well(const struct backends *b, const struct backend *one, bool pop3);

/* IMAP: what one of them offered last to who had not logged in; empty: not known. */
void backends_learn(struct backends *b, struct span offers);
struct span backends_offers(const struct backends *b);

/* Its addresses, as far as they are known: 0 if they have to be looked up. */
size_t backends_addresses(const struct backends *b, const struct backend *one, bool pop3,
			  const struct addr **out);
/* What came of a call: it greeted us, and was looked up for that; */
void backends_greeted(struct backends *b, const struct backend *one, bool pop3,
		      const struct addr *addresses, size_t count);
/* it did not: it is down; */
void backends_failed(struct backends *b, const struct backend *one, bool pop3,
		     struct span why);
/* it did, and then broke off: look whether it is still there. */
void backends_doubt(struct backends *b, const struct backend *one, bool pop3);

/* A login there, right or wrong, and the sessions that go on from one. */
void backends_login(struct backends *b, const struct backend *one, bool good);
void backends_sessions(struct backends *b, struct span name, int more);

/* Who is to get no new sessions; those that it has go on. Cheap if nothing has changed. */
void backends_obey(struct backends *b, const struct orders *orders);

#endif
