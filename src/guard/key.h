/*
 * key - what the guard remembers things about: an address and the prefixes around it
 *
 * Every address stands for three nested keys, all charged together: IPv4 /32, /26, /21;
 * IPv6 /64, /48, /32, with limits x1, x3, x9. (A /64 is one subscriber: 2^64 addresses of
 * it are one key.) IPv4-mapped IPv6 is IPv4 (base/addr.h).
 */
#ifndef GUARD_KEY_H
#define GUARD_KEY_H

#include "base/addr.h"

enum guard_level {
	LEVEL_CLIENT, /* /32, or /64 */
	LEVEL_NEAR,   /* /26, or /48 */
	LEVEL_WIDE,   /* /21, or /32 */
	LEVEL_COUNT
};

/* The family is part of the kind: 0 to 2 are IPv4, 3 to 5 IPv6. */
#define KEY_KINDS (2 * LEVEL_COUNT)

struct guard_key {
	uint64_t prefix; /* IPv4: the address in the low 32 bits; IPv6: its first 8 bytes */
	uint8_t kind;
};

struct guard_key guard_key_of(const struct addr *a, enum guard_level level);
void guard_keys_of(const struct addr *a, struct guard_key out[LEVEL_COUNT]);
static inline enum guard_level guard_key_level(struct guard_key k)
{
	return (enum guard_level)(k.kind % LEVEL_COUNT);
}

/* 1, 3 or 9. */
static inline int64_t guard_key_share(enum guard_level level)
{
	return level == LEVEL_CLIENT ? 1 : level == LEVEL_NEAR ? 3 : 9;
}

struct net guard_key_net(struct guard_key k);
/* Of exactly that length, or false: "explain 192.0.2.0/26". */
MUST bool guard_key_from_net(const struct net *n, struct guard_key *out);
bool guard_key_eq(struct guard_key a, struct guard_key b);
/* Is this one that guard_key_of() could have made? */
bool guard_key_ok(struct guard_key k);

#endif
