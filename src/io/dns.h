/*
 * dns - what addresses a host has, and what else the DNS knows, asked without waiting
 *
 * Over c-ares. dns_open() reads /etc/resolv.conf and /etc/hosts, once, and seeds the
 * choice of query ids: call it before the sandbox closes, and start the role again when
 * one of the files has changed. Literal addresses, localhost and names in the hosts file
 * need no query.
 */
#ifndef IO_DNS_H
#define IO_DNS_H

#include "base/addr.h"
#include "base/err.h"
#include "io/dns_answer.h"
#include "io/loop.h"

#define DNS_ADDRESSES 16   /* kept of an answer */
#define DNS_NAME_MAX  255  /* of a host */
#define DNS_ASKED_MAX 8192 /* records asked for at once; more fail */

struct dns;

struct dns_setup {
	/* "192.0.2.1:53, 192.0.2.2"; NULL or empty: those of resolv.conf */
	const char *servers;
	const char *hosts; /* the path of the hosts file; NULL: /etc/hosts */
	ms_t timeout;	   /* for the first try with each server; 0: 2 s */
};

/* Embed it, zeroed. */
struct dns_query {
	/* the answer; to read */
	size_t count; /* 0: none */
	struct addr addresses[DNS_ADDRESSES];
	const char *why; /* there is none: a few words */
	/* ---- */
	struct dns_asked *asked;
	void (*on_answer)(void *arg);
	void *arg;
};

/* setup may be NULL. */
MUST bool dns_open(struct dns **out, struct loop *l, const struct dns_setup *setup,
		   struct err *err);
/* Queries that are under way are dropped, without a call. */
void dns_close(struct dns **d);

/* True: the answer is in q now. False: on_answer(arg) will be called when it is. */
MUST bool dns_address(struct dns *d, struct dns_query *q, struct span host,
		      void (*on_answer)(void *arg), void *arg);
/* Is that an address, localhost, or in the hosts file: does it need no query? */
bool dns_is_known(const struct dns *d, struct span host);
/* on_answer will not be called. One that is not under way is fine. */
void dns_cancel(struct dns_query *q);

/* Embed it, zeroed. Members are for io/ only. */
struct dns_lookup {
	struct dns_asked *asked;
	void (*on_answer)(void *arg, const struct dns_answer *a);
	void *arg;
};

/*
 * The records of one type (dns_answer.h) of just this name: no hosts file, no other
 * domains to try. on_answer is called once, possibly before this returns; spans in the
 * answer are good until it returns. `authentic` is only ever said if all our servers are
 * on this machine: on the way from another one anybody could have set the bit.
 */
void dns_look_up(struct dns *d, struct dns_lookup *l, unsigned type, struct span name,
		 void (*on_answer)(void *arg, const struct dns_answer *a), void *arg);
/* Are all our servers on this machine? */
bool dns_is_local(const struct dns *d);

/* on_answer will not be called. One that is not under way is fine. */
void dns_forget(struct dns_lookup *l);

#endif
