/*
 * Addresses in lists: prefixes, masks in either notation, and ranges.
 */
#include "app/lists_inner.h"
#include "base/number.h"

static uint8_t mask_byte(unsigned bits, size_t i)
{
	size_t left = bits > 8 * i ? bits - 8 * i : 0;

	return (uint8_t)(left >= 8 ? 0xffu : 0xff00u >> left);
}

/* True: there was something to clear. */
static bool clear_host_bits(struct net *n)
{
	bool any = false;

	for (size_t i = n->bits / 8u; i < 16; i++) {
		uint8_t kept = n->addr.ip[i] & mask_byte(n->bits, i);

		any |= kept != n->addr.ip[i];
		n->addr.ip[i] = kept;
	}
	return any;
}

/* 255.255.255.0 is 24. */
static bool parse_mask(struct span text, uint64_t *bits)
{
	struct addr mask;
	uint32_t m = 0;

	if (!addr_parse(text, &mask) || !addr_is_v4(&mask))
		return false;
	for (int i = 12; i < 16; i++)
		m = m << 8 | mask.ip[i];
	if (m & (~m >> 1))
		return false;
	*bits = (uint64_t)__builtin_popcount(m);
	return true;
}

bool list_net_parse(struct span text, struct net *out, bool *masked)
{
	size_t slash = span_find(text, '/');
	struct span head = span_head(text, slash), tail = span_skip(text, slash + 1);
	struct net n = { .bits = 128 };
	uint64_t bits;
	bool dotted;

	/* [2001:db8::]/32, as Postfix writes it elsewhere */
	if (head.n > 2 && head.p[0] == '[' && head.p[head.n - 1] == ']')
		head = span_of(head.p + 1, head.n - 2);
	dotted = span_find(head, ':') == head.n;
	if (!addr_parse(head, &n.addr))
		return false;
	if (slash < text.n) {
		if (!number_parse(tail, dotted ? 32 : 128, &bits) &&
		    !(dotted && parse_mask(tail, &bits)))
			return false;
		n.bits = (uint8_t)(dotted ? bits + 96 : bits);
	}
	*masked = clear_host_bits(&n);
	*out = n;
	return true;
}

static bool bit(const struct addr *a, unsigned i)
{
	return a->ip[i / 8] >> (7 - i % 8) & 1;
}

/* The last address of a prefix. */
static struct addr last_of(const struct net *n)
{
	struct addr a = n->addr;

	for (size_t i = 0; i < 16; i++)
		a.ip[i] |= (uint8_t)~mask_byte(n->bits, i);
	return a;
}

int list_order(const struct addr *a, const struct addr *b)
{
	return memcmp(a->ip, b->ip, sizeof(a->ip));
}

/* False: it was the last one there is. */
static bool step(struct addr *a)
{
	for (int i = 15; i >= 0; i--)
		if (++a->ip[i] != 0)
			return true;
	return false;
}

size_t list_range(struct addr first, struct addr last, struct net *out)
{
	size_t count = 0;

	while (count < RANGE_MAX && list_order(&first, &last) <= 0) {
		struct net n = { first, 128 };
		struct addr end = first;

		/* as wide as its beginning and the end of the range allow */
		while (n.bits > 0 && !bit(&first, n.bits - 1u)) {
			struct net wider = { first, (uint8_t)(n.bits - 1) };
			struct addr wider_end = last_of(&wider);

			if (list_order(&wider_end, &last) > 0)
				break;
			n = wider;
			end = wider_end;
		}
		out[count++] = n;
		first = end;
		if (!step(&first))
			break;
	}
	return count;
}
