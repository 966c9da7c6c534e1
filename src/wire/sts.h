/*
 * sts - MTA-STS (RFC 8461): the record that says that there is a policy, and the policy
 *
 * Both come from whoever runs the domain. What is not a policy is none.
 */
#ifndef WIRE_STS_H
#define WIRE_STS_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

#define STS_ID_MAX    32   /* RFC 8461, 3.1 */
#define STS_HOSTS_MAX 2048 /* bytes of patterns kept of a policy */

/* "v=STSv1; id=20160831085700Z;": *id points into text. */
MUST bool sts_record_parse(struct span text, struct span *id);

enum sts_mode { STS_NONE, STS_TESTING, STS_ENFORCE };

struct sts_policy {
	enum sts_mode mode;
	uint32_t max_age; /* seconds */
	uint16_t hosts_n;
	uint8_t hosts[STS_HOSTS_MAX]; /* a list (base/list.h) of patterns, lower case */
};

/* The text of https://mta-sts.DOMAIN/.well-known/mta-sts.txt. */
MUST bool sts_policy_parse(struct span text, struct sts_policy *out);

/* May a host of that name take mail for the domain, if the policy is enforced? */
bool sts_policy_has(const struct sts_policy *p, struct span host);

#endif
