#include "watch/among.h"

#define FEW_BITS 16 /* so many clients are looked up one by one */

void among_init(struct among *a, const struct memory *m, const struct net *net)
{
	struct guard_key first = guard_key_of(&net->addr, LEVEL_CLIENT);
	struct net client = guard_key_net(first);
	unsigned bits = client.bits > net->bits ? (unsigned)(client.bits - net->bits) : 0;
	/* what is shorter than IPv4's place in IPv6 has both inside */
	bool few = bits <= FEW_BITS && (net->bits >= 96 || !addr_is_v4(&net->addr));

	*a = (struct among){ .memory = m,
			     .net = *net,
			     .by_client = few,
			     .first = first,
			     .end = few ? UINT64_C(1) << bits : memory_places(m) };
}

bool among_next(struct among *a, struct guard_hot *out)
{
	struct guard_key key = a->first;
	struct net net;
	size_t at = (size_t)a->at;

	if (among_over(a))
		return false;
	a->at++;
	if (a->by_client) {
		key.prefix += at;
		return memory_peek(a->memory, key, out);
	}
	if (!memory_key_at(a->memory, at, &key) || guard_key_level(key) != LEVEL_CLIENT)
		return false;
	net = guard_key_net(key);
	return net_inside(&net, &a->net) && memory_at(a->memory, at, out) &&
	       guard_key_eq(out->key, key);
}
