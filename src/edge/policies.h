/*
 * policies - the MTA-STS policies of other domains (RFC 8461), as far as we know them
 *
 * A policy that was fetched is kept for as long as it says, whatever the DNS says later:
 * who can take away the record must not be able to take away the policy. That there is
 * none is remembered for some minutes.
 */
#ifndef EDGE_POLICIES_H
#define EDGE_POLICIES_H

#include "edge/fetch_link.h"
#include "io/dns.h"
#include "wire/sts.h"

struct policies;

struct policies_setup {
	struct loop *loop;
	struct dns *dns;
	struct fetch_link *fetch; /* NULL: none */
};

/* Embed it, zeroed. Members are for policies.c only. */
struct policy_ask {
	struct policy_ask *next, **back; /* back: NULL if it is not under way */
	void (*on_policy)(void *arg, const struct sts_policy *p);
	void *arg;
};

MUST bool policies_open(struct policies **out, const struct policies_setup *setup);
/* Who waits is not called. */
void policies_close(struct policies **p);

/*
 * The policy of that domain; NULL: none. on_policy is called once, possibly before this
 * returns; the policy is good until it returns.
 */
void policies_ask(struct policies *p, struct policy_ask *a, struct span domain,
		  void (*on_policy)(void *arg, const struct sts_policy *p), void *arg);
/* on_policy will not be called. One that is not under way is fine. */
void policies_forget(struct policy_ask *a);

#endif
