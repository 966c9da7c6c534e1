/*
 * delivery - the store's deliveries and probes, carried out over the network
 *
 * DELIVER and PROBE come in, DELIVERED goes back: one for each job, whatever happens, unless
 * the link they came from is gone (then the store's successor sends the message again). A
 * job whose link has gone before the end of its message was sent is broken off, so that
 * the repeat is the only one.
 */
#ifndef EDGE_DELIVERY_H
#define EDGE_DELIVERY_H

#include "conf/conf.h"
#include "io/loop.h"
#include "link/frame.h"
#include "link/pulse.h"

struct deliveries;
struct fetch_link;

struct deliveries_setup {
	struct loop *loop;
	const struct conf *conf; /* until deliveries_reconf() */
	struct pulse *pulse;
	/* something was put on the store's link: see link_waiting() */
	void (*on_sent)(void *arg);
	/* a job has ended: see deliveries_count() */
	void (*on_ended)(void *arg);
	void *arg;
	const char *name_servers; /* NULL: the machine's */
	struct fetch_link *fetch; /* NULL: none */
	/*
	 * Find out the credential of that name, then call deliveries_credential(). False:
	 * nobody can be asked now. NULL: there are none.
	 */
	bool (*ask_credential)(void *arg, uint64_t ask, struct span name);
	/* Something of ours is missing. NULL: nobody wants to know. */
	void (*on_trouble)(void *arg, const char *key, const char *text);
	uint16_t mx_port; /* 0: 25; for tests */
};

/* Before the sandbox closes: it reads what DNS needs. */
MUST bool deliveries_open(struct deliveries **out, const struct deliveries_setup *setup,
			  struct err *err);
/* What is under way is broken off without an answer. */
void deliveries_close(struct deliveries **d);

/*
 * A DELIVER or PROBE. Takes over its descriptor. False: it is not a good one, and the
 * link should be broken off.
 */
MUST bool deliveries_take(struct deliveries *d, struct frame *f);

/* The link to the store, from now on. NULL: it is gone. */
void deliveries_link(struct deliveries *d, struct link *store);
/* The configuration in force from now on. */
void deliveries_reconf(struct deliveries *d, const struct conf *conf);
/* The answer to ask_credential(); one that nobody waits for any more is fine. */
void deliveries_credential(struct deliveries *d, uint64_t ask, bool ok, struct span user,
			   struct span secret);
/* The store's link has taken some of what waited: it may take more. */
void deliveries_go_on(struct deliveries *d);
/* We are stopping: what comes from now on is answered with 000 at once. */
void deliveries_stop(struct deliveries *d);

/* For others who connect somewhere: the resolver, and clients' TLS with its authorities. */
struct dns *deliveries_dns(const struct deliveries *d);
struct tls *deliveries_tls(const struct deliveries *d);

/* How many are under way. */
size_t deliveries_count(const struct deliveries *d);

#endif
