/*
 * addr - a network address, and a block of them
 *
 * Both families are sixteen bytes: IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2), so one
 * comparison, one hash and one table serve both.
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include "base/buf.h"
#include "base/span.h"

struct addr {
	uint8_t ip[16];
};

/* A block: the first `bits` bits of addr count, 0 to 128; IPv4 /24 is 120 here. */
struct net {
	struct addr addr;
	uint8_t bits;
};

struct endpoint {
	struct addr addr;
	uint16_t port; /* host byte order */
};

struct addr addr_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d);
bool addr_is_v4(const struct addr *a);
bool addr_eq(const struct addr *a, const struct addr *b);
/* 0.0.0.0 or :: */
bool addr_is_any(const struct addr *a);
/* 127.0.0.0/8 or ::1 */
bool addr_is_loopback(const struct addr *a);

/* "192.0.2.7", "2001:db8::1"; nothing around it. */
MUST bool addr_parse(struct span text, struct addr *out);
/* RFC 5952 for IPv6; dotted quad for IPv4. */
void addr_print(const struct addr *a, struct buf *out);
/* As in a Received: field or an address literal: [192.0.2.7], [IPv6:2001:db8::1]. */
void addr_print_literal(const struct addr *a, struct buf *out);

/* "192.0.2.0/24", "2001:db8::/32", or a single address. Host bits must be zero. */
MUST bool net_parse(struct span text, struct net *out);
/* As it is parsed: an address alone has no length behind it. */
void net_print(const struct net *n, struct buf *out);
bool net_has(const struct net *n, const struct addr *a);

/* "192.0.2.7:25", "[2001:db8::1]:25", "*:25" (all of IPv6, which includes IPv4). */
MUST bool endpoint_parse(struct span text, struct endpoint *out);
void endpoint_print(const struct endpoint *e, struct buf *out);

#endif
