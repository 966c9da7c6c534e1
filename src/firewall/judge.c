#include "firewall/judge.h"

#include "guard/access.h"

#define V4_BITS 96 /* in front of an IPv4 address */

const char *const refusal_text[REFUSAL_COUNT] = {
	[REFUSAL_NONE] = "may be blocked",
	[REFUSAL_STRANGE] = "is no address of a client",
	[REFUSAL_OWN] = "is, or has in it, an address of this machine",
	[REFUSAL_WIDE] = "is wider than firewall.widest-ipv4 or -ipv6 allows",
	[REFUSAL_ALLOWED] = "is, or has in it, something that an access list permits",
	[REFUSAL_RELAY] = "is in proxy-from or xclient-from",
	[REFUSAL_FULL] = "is one more than firewall.max of its length",
};

bool net_is_v4(const struct net *n)
{
	return n->bits >= V4_BITS && addr_is_v4(&n->addr);
}

unsigned net_length(const struct net *n)
{
	return net_is_v4(n) ? n->bits - V4_BITS : n->bits;
}

bool net_eq(const struct net *a, const struct net *b)
{
	return a->bits == b->bits && addr_eq(&a->addr, &b->addr);
}

void net_print_short(const struct net *n, struct buf *out)
{
	addr_print(&n->addr, out);
	if (n->bits < 128)
		buf_fmt(out, "/%u", net_length(n));
}

static bool overlap(const struct net *a, const struct net *b)
{
	return a->bits <= b->bits ? net_has(a, &b->addr) : net_has(b, &a->addr);
}

/*
 * 0.0.0.0/8, and what is neither a host's nor ever was: 224.0.0.0/3. ::/8 has the IPv4
 * addresses in it, and loopback; 100::/8 is for discarding, and our mark is there.
 */
static bool strange(const struct net *n)
{
	uint8_t first;

	if (net_is_v4(n)) {
		first = n->addr.ip[12];
		return net_length(n) < 8 || first == 0 || first >= 224;
	}
	first = n->addr.ip[0];
	return n->bits < 8 || n->bits > 128 || first <= 1 || first == 0xff;
}

static bool own(const struct judge *j, const struct net *n)
{
	const struct net loopback = { addr_v4(127, 0, 0, 0), V4_BITS + 8 };

	if (overlap(n, &loopback))
		return true;
	for (size_t i = 0; i < j->own_count; i++)
		if (net_has(n, &j->own[i]))
			return true;
	return false;
}

static bool in_list(const struct net *list, uint32_t count, const struct net *n)
{
	for (uint32_t i = 0; i < count && i < NETS_MAX; i++)
		if (overlap(&list[i], n))
			return true;
	return false;
}

static bool allowed(const struct judge *j, const struct net *n)
{
	return j->access && access_permits_any(j->access, j->access_n, n, j->wall);
}

enum refusal judge_net(const struct judge *j, const struct net *n)
{
	const struct settings *set = &j->conf->set;
	int64_t widest = net_is_v4(n) ? set->firewall_v4 : set->firewall_v6;

	if (strange(n))
		return REFUSAL_STRANGE;
	if (own(j, n))
		return REFUSAL_OWN;
	if (net_length(n) < (unsigned)widest)
		return REFUSAL_WIDE;
	if (in_list(j->conf->proxy_from, j->conf->proxy_count, n) ||
	    in_list(j->conf->xclient_from, j->conf->xclient_count, n))
		return REFUSAL_RELAY;
	return allowed(j, n) ? REFUSAL_ALLOWED : REFUSAL_NONE;
}
