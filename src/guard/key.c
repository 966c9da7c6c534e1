#include "guard/key.h"

#define V4_BASE 96 /* bits before the IPv4 address in base/addr.h's form */

/* clang-format off */
static const uint8_t key_bits[KEY_KINDS] = { 32, 26, 21, 64, 48, 32 };
/* clang-format on */

static bool is_v4(uint8_t kind)
{
	return kind < LEVEL_COUNT;
}

/* clang-format off */
static const uint64_t key_mask[KEY_KINDS] = {
	UINT32_C(0xffffffff), UINT32_C(0xffffffc0), UINT32_C(0xfffff800),
	UINT64_MAX, UINT64_MAX << 16, UINT64_MAX << 32,
};
/* clang-format on */

static uint64_t big_endian(const uint8_t *p)
{
	return (uint64_t)p[0] << 56 | (uint64_t)p[1] << 48 | (uint64_t)p[2] << 40 |
	       (uint64_t)p[3] << 32 | (uint64_t)p[4] << 24 | (uint64_t)p[5] << 16 |
	       (uint64_t)p[6] << 8 | p[7];
}

void guard_keys_of(const struct addr *a, struct guard_key out[LEVEL_COUNT])
{
	bool v4 = addr_is_v4(a);
	uint64_t whole = big_endian(a->ip + (v4 ? 8 : 0));

	for (unsigned level = 0; level < LEVEL_COUNT; level++) {
		uint8_t kind = (uint8_t)(v4 ? level : level + LEVEL_COUNT);

		out[level] = (struct guard_key){ .prefix = whole & key_mask[kind],
						 .kind = kind };
	}
}

struct guard_key guard_key_of(const struct addr *a, enum guard_level level)
{
	struct guard_key all[LEVEL_COUNT];

	guard_keys_of(a, all);
	return all[level];
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
	return k.kind < KEY_KINDS && (k.prefix & ~key_mask[k.kind]) == 0;
}
