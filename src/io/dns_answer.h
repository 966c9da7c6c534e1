/*
 * dns_answer - what an answer of a name server says, and the names that addresses have there
 *
 * The answer comes from whoever runs the zone: it may lie, and it may be broken.
 */
#ifndef IO_DNS_ANSWER_H
#define IO_DNS_ANSWER_H

#include "base/addr.h"
#include "spec/limits.h"

#define DNS_A	 1
#define DNS_PTR	 12
#define DNS_MX	 15
#define DNS_TXT	 16
#define DNS_AAAA 28
#define DNS_TLSA 52

#define DNS_ANSWER_ADDRESSES 16 /* kept of an answer */
#define DNS_ANSWER_NAMES     4
#define DNS_ANSWER_HOSTS     20
#define DNS_ANSWER_TLSAS     16
#define DNS_ANSWER_TEXTS     8
#define DNS_RECORDS_MAX	     256 /* looked at in one */

enum dns_result {
	DNS_FAILED, /* nobody knows: no answer, a broken one, or the server could not say */
	DNS_NO_NAME, /* the name does not exist */
	DNS_NO_DATA, /* it does, but has no such record */
	DNS_FOUND,
};

struct dns_name {
	uint8_t n;
	char text[DOMAIN_MAX]; /* lower case, no dot at the end, not terminated */
};

/* RFC 5321, 5.1. An empty name: the root, as in a null MX (RFC 7505). */
struct dns_mx {
	uint16_t preference;
	struct dns_name host;
};

/* RFC 6698, 2.1, as it is in the packet. */
struct dns_tlsa {
	uint8_t usage, selector, matching;
	struct span bytes;
};

/* Spans point into the packet, and are good as long as it is. */
struct dns_answer {
	enum dns_result result;
	bool authentic; /* the server says that it has verified it (AD; RFC 4035, 3.2.3) */
	uint32_t ttl; /* seconds, the shortest; of the negative answer (RFC 2308), if it is one
			 and says so; else UINT32_MAX */
	struct dns_name owner; /* whose the first record is: not who was asked about, behind an
				  alias; empty: none was found */
	size_t count;
	struct addr addresses[DNS_ANSWER_ADDRESSES];
	size_t name_count;
	struct dns_name names[DNS_ANSWER_NAMES]; /* of hosts: others are left out */
	size_t mx_count;
	struct dns_mx mx[DNS_ANSWER_HOSTS]; /* likewise, in the order of the answer */
	size_t tlsa_count;
	struct dns_tlsa tlsa[DNS_ANSWER_TLSAS];
	size_t text_count;
	struct span texts[DNS_ANSWER_TEXTS]; /* lengths and strings: dns_text() joins them */
};

/* What an answer to a question about that type says. Aliases were followed by the server. */
void dns_answer_parse(struct span packet, unsigned type, struct dns_answer *out);

/* The strings of a TXT record as one; false: it does not fit. */
MUST bool dns_text(struct span text, struct buf *out);

/* "7.2.0.192" or 32 nibbles, then a dot and the zone. */
void dns_print_reverse(const struct addr *a, struct span zone, struct buf *out);
/* The name under which the address has its own name: in in-addr.arpa or ip6.arpa. */
void dns_print_ptr(const struct addr *a, struct buf *out);

#endif
