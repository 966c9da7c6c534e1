#include "guard/key.h"

#define V4_BASE 96 /* bits before the IPv4 address in base/addr.h's form */

/* clang-format off */
static const uint8_t key_bits[KEY_KINDS] = { 32, 26, 21, 64, 48, 32 };
/* clang-format on */

static bool is_v4(uint8_t kind)
{
	return kind < LEVEL_COUNT;
}

static uint64_t mask(uint8_t kind)
{
	unsigned width = is_v4(kind) ? 32 : 64;
	uint64_t ones = UINT64_MAX << (width - key_bits[kind]);

	return is_v4(kind) ? ones & UINT32_MAX : ones;
}

static uint64_t big_endian(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

struct guard_key guard_key_of(const struct addr *a, enum guard_level level)
{
	bool v4 = addr_is_v4(a);
	uint8_t kind = (uint8_t)(v4 ? level : level + LEVEL_COUNT);
	uint64_t whole = v4 ? big_endian(a->ip + 12, 4) : big_endian(a->ip, 8);

	return (struct guard_key){ .prefix = whole & mask(kind), .kind = kind };
}

enum guard_level guard_key_level(struct guard_key k)
{
	return (enum guard_level)(k.kind % LEVEL_COUNT);
}

int64_t guard_key_share(enum guard_level level)
{
	return level == LEVEL_CLIENT ? 1 : level == LEVEL_NEAR ? 3 : 9;
}

struct net guard_key_net(struct guard_key k)
{
	uint8_t kind = k.kind < KEY_KINDS ? k.kind : 0;
	bool v4 = is_v4(kind);
	struct net n = { .addr = { { 0 } } };
	size_t at = v4 ? 12 : 0, width = v4 ? 4 : 8;

	if (v4)
		n.addr = addr_v4(0, 0, 0, 0);
	for (size_t i = 0; i < width; i++)
		n.addr.ip[at + i] = (uint8_t)(k.prefix >> (8 * (width - 1 - i)));
	n.bits = (uint8_t)(key_bits[kind] + (v4 ? V4_BASE : 0));
	return n;
}

bool guard_key_from_net(const struct net *n, struct guard_key *out)
{
	for (int level = 0; level < LEVEL_COUNT; level++) {
		struct guard_key k = guard_key_of(&n->addr, (enum guard_level)level);
		struct net same = guard_key_net(k);

		if (same.bits == n->bits && addr_eq(&same.addr, &n->addr)) {
			*out = k;
			return true;
		}
	}
	return false;
}

bool guard_key_eq(struct guard_key a, struct guard_key b)
{
	return a.prefix == b.prefix && a.kind == b.kind;
}

bool guard_key_ok(struct guard_key k)
{
	return k.kind < KEY_KINDS && (k.prefix & ~mask(k.kind)) == 0;
}
