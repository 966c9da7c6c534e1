#include "base/addr.h"

#include "base/number.h"

static const uint8_t v4_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

struct addr addr_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct addr){ { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d } };
}

bool addr_is_v4(const struct addr *a)
{
	return memcmp(a->ip, v4_prefix, sizeof(v4_prefix)) == 0;
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
	return memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool addr_is_any(const struct addr *a)
{
	const struct addr any4 = addr_v4(0, 0, 0, 0), any6 = { 0 };

	return addr_eq(a, &any4) || addr_eq(a, &any6);
}

bool addr_is_loopback(const struct addr *a)
{
	static const struct addr v6 = { .ip = { [15] = 1 } };

	return addr_is_v4(a) ? a->ip[12] == 127 : addr_eq(a, &v6);
}

/* Leading zeros are refused: some programs take 010 for eight. */
static bool parse_v4(struct span text, uint8_t out[4])
{
	for (size_t i = 0; i < 4; i++) {
		bool last = span_find(text, '.') == text.n;
		struct span part = span_cut(&text, '.');
		uint64_t n;

		if (last != (i == 3) || part.n > 3 || (part.n > 1 && part.p[0] == '0') ||
		    !number_parse(part, 255, &n))
			return false;
		out[i] = (uint8_t)n;
	}
	return true;
}

static int hex_value(uint8_t c)
{
	c = byte_lower(c);
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_group(struct span text, uint8_t out[2])
{
	unsigned n = 0;

	if (text.n == 0 || text.n > 4)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		int digit = hex_value(text.p[i]);

		if (digit < 0)
			return false;
		n = n << 4 | (unsigned)digit;
	}
	out[0] = (uint8_t)(n >> 8);
	out[1] = (uint8_t)n;
	return true;
}

/* Groups between colons, the last perhaps a dotted quad. How many bytes; 17: broken. */
static size_t parse_groups(struct span text, uint8_t out[16])
{
	size_t n = 0;

	while (text.n) {
		size_t colon = span_find(text, ':');
		bool last = colon == text.n;
		struct span group = span_cut(&text, ':');

		if (!last && text.n == 0)
			return 17;
		if (last && span_find(group, '.') < group.n) {
			if (n > 12 || !parse_v4(group, out + n))
				return 17;
			return n + 4;
		}
		if (n > 14 || !parse_group(group, out + n))
			return 17;
		n += 2;
	}
	return n;
}

static bool parse_v6(struct span text, struct addr *out)
{
	uint8_t front[16], back[16];
	struct addr a = { 0 };
	size_t gap = text.n, n, m;

	for (size_t i = 0; i + 1 < text.n && gap == text.n; i++)
		if (text.p[i] == ':' && text.p[i + 1] == ':')
			gap = i;
	n = parse_groups(span_head(text, gap), front);
	m = parse_groups(span_skip(text, gap + 2), back);
	if (n > 16 || m > 16)
		return false;
	if (gap == text.n ? n != 16 : n + m > 14)
		return false;
	/* a dotted quad may only be the end of the whole */
	if (gap < text.n && span_find(span_head(text, gap), '.') < gap)
		return false;
	memcpy(a.ip, front, n);
	memcpy(a.ip + (16 - m), back, m);
	*out = a;
	return true;
}

bool addr_parse(struct span text, struct addr *out)
{
	uint8_t v4[4];

	if (span_find(text, ':') < text.n)
		return parse_v6(text, out);
	if (!parse_v4(text, v4))
		return false;
	*out = addr_v4(v4[0], v4[1], v4[2], v4[3]);
	return true;
}

static unsigned group(const struct addr *a, size_t i)
{
	return (unsigned)a->ip[2 * i] << 8 | a->ip[2 * i + 1];
}

/* The longest run of two or more zero groups, the first of equals (RFC 5952, 4.2). */
static size_t find_gap(const struct addr *a, size_t *len)
{
	size_t at = 8, best = 1;

	for (size_t i = 0; i < 8; i++) {
		size_t n = 0;

		while (i + n < 8 && group(a, i + n) == 0)
			n++;
		if (n > best) {
			at = i;
			best = n;
		}
	}
	*len = best;
	return at;
}

void addr_print(const struct addr *a, struct buf *out)
{
	size_t len, gap = find_gap(a, &len);

	if (addr_is_v4(a)) {
		for (int i = 12; i < 16; i++) {
			buf_number(out, a->ip[i]);
			if (i < 15)
				buf_byte(out, '.');
		}
		return;
	}
	for (size_t i = 0; i < 8; i++) {
		if (i == gap) {
			buf_put(out, SPAN("::"));
			i += len - 1;
			continue;
		}
		buf_fmt(out, "%s%x", i == 0 || i == gap + len ? "" : ":", group(a, i));
	}
}

void addr_print_literal(const struct addr *a, struct buf *out)
{
	buf_put(out, addr_is_v4(a) ? SPAN("[") : SPAN("[IPv6:"));
	addr_print(a, out);
	buf_byte(out, ']');
}

void net_print(const struct net *n, struct buf *out)
{
	bool v4 = addr_is_v4(&n->addr) && n->bits >= 96;

	addr_print(&n->addr, out);
	if (n->bits < 128)
		buf_fmt(out, "/%u", v4 ? n->bits - 96u : n->bits);
}

/* The byte of a mask of that many bits. */
static uint8_t mask_byte(unsigned bits, size_t i)
{
	size_t left = bits > 8 * i ? bits - 8 * i : 0;

	return (uint8_t)(left >= 8 ? 0xffu : 0xff00u >> left);
}

bool net_parse(struct span text, struct net *out)
{
	size_t slash = span_find(text, '/');
	struct span head = span_head(text, slash);
	bool dotted = span_find(head, ':') == head.n;
	struct net n = { .bits = 128 };
	uint64_t bits;

	if (!addr_parse(head, &n.addr))
		return false;
	if (slash < text.n) {
		if (!number_parse(span_skip(text, slash + 1), dotted ? 32 : 128, &bits))
			return false;
		n.bits = (uint8_t)(dotted ? bits + 96 : bits);
	}
	for (size_t i = 0; i < 16; i++)
		if (n.addr.ip[i] & (0xffu ^ mask_byte(n.bits, i)))
			return false;
	*out = n;
	return true;
}

bool net_has(const struct net *n, const struct addr *a)
{
	for (size_t i = 0; i < 16; i++)
		if ((n->addr.ip[i] ^ a->ip[i]) & mask_byte(n->bits, i))
			return false;
	return true;
}

bool endpoint_parse(struct span text, struct endpoint *out)
{
	size_t colon = span_find_last(text, ':');
	struct span host = span_head(text, colon);
	struct endpoint e = { 0 };
	uint64_t port;

	if (!number_parse(span_skip(text, colon + 1), UINT16_MAX, &port) || port == 0)
		return false;
	e.port = (uint16_t)port;
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
		host = span_of(host.p + 1, host.n - 2);
		if (span_find(host, ':') == host.n)
			return false;
	} else if (span_find(host, ':') < host.n) {
		return false;
	}
	if (!span_eq(host, SPAN("*")) && !addr_parse(host, &e.addr))
		return false;
	*out = e;
	return true;
}

void endpoint_print(const struct endpoint *e, struct buf *out)
{
	static const struct addr any = { 0 };
	bool v6 = !addr_is_v4(&e->addr);

	if (addr_eq(&e->addr, &any)) {
		buf_fmt(out, "*:%u", e->port);
		return;
	}
	buf_put(out, v6 ? SPAN("[") : SPAN(""));
	addr_print(&e->addr, out);
	buf_fmt(out, "%s:%u", v6 ? "]" : "", e->port);
}
