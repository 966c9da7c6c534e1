#include "wire/proxy.h"

#include "base/number.h"

#define V1_MAX	107 /* with CRLF */
#define V2_HEAD 16

enum { V2_UNSPEC = 0x00, V2_TCP4 = 0x11, V2_TCP6 = 0x21, V2_UNIX = 0x31 };

static const struct span v1_mark = SPAN_INIT("PROXY ");
static const struct span v2_mark = SPAN_INIT("\r\n\r\n\0\r\nQUIT\n");

static bool address(struct span word, bool v4, struct addr *out)
{
	return addr_parse(word, out) && v4 == (span_find(word, ':') == word.n);
}

static bool port(struct span word, uint16_t *out)
{
	uint64_t n;

	if (word.n > 5 || !number_parse(word, UINT16_MAX, &n))
		return false;
	*out = (uint16_t)n;
	return true;
}

/* "TCP4 192.0.2.7 198.51.100.1 40000 25", or "UNKNOWN" and whatever. */
static bool v1_line(struct span line, struct proxy *out)
{
	struct span family = span_cut(&line, ' ');
	bool v4 = span_eq(family, SPAN("TCP4"));

	if (span_eq(family, SPAN("UNKNOWN")))
		return true;
	if (!v4 && !span_eq(family, SPAN("TCP6")))
		return false;
	out->told = true;
	return address(span_cut(&line, ' '), v4, &out->peer.addr) &&
	       address(span_cut(&line, ' '), v4, &out->local.addr) &&
	       port(span_cut(&line, ' '), &out->peer.port) && port(line, &out->local.port);
}

static enum proxy_got v1_next(struct span *in, struct proxy *out)
{
	struct span head = span_head(*in, V1_MAX);
	size_t cr = span_find(head, '\r');
	struct proxy p = { 0 };

	if (cr + 1 >= head.n)
		return head.n == V1_MAX ? PROXY_BAD : PROXY_MORE;
	if (head.p[cr + 1] != '\n' ||
	    !v1_line(span_skip(span_head(head, cr), v1_mark.n), &p))
		return PROXY_BAD;
	*in = span_skip(*in, cr + 2);
	*out = p;
	return PROXY_OK;
}

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static struct addr v2_address(const uint8_t *p, size_t n)
{
	struct addr a;

	if (n == 4)
		return addr_v4(p[0], p[1], p[2], p[3]);
	memcpy(a.ip, p, sizeof(a.ip));
	return a;
}

/* Two addresses of n bytes and two ports. */
static bool v2_addresses(struct span block, size_t n, struct proxy *out)
{
	if (block.n < 2 * n + 4)
		return false;
	out->told = true;
	out->peer.addr = v2_address(block.p, n);
	out->local.addr = v2_address(block.p + n, n);
	out->peer.port = be16(block.p + 2 * n);
	out->local.port = be16(block.p + 2 * n + 2);
	return true;
}

static bool v2_block(uint8_t command, uint8_t family, struct span block, struct proxy *out)
{
	if (command == 0x20) /* LOCAL: the proxy itself, looking whether we live */
		return true;
	if (command != 0x21)
		return false;
	switch (family) {
	case V2_TCP4:
		return v2_addresses(block, 4, out);
	case V2_TCP6:
		return v2_addresses(block, 16, out);
	case V2_UNIX:
	case V2_UNSPEC:
		return true;
	default:
		return false;
	}
}

static enum proxy_got v2_next(struct span *in, struct proxy *out)
{
	struct proxy p = { 0 };
	size_t n;

	if (in->n < V2_HEAD)
		return PROXY_MORE;
	n = V2_HEAD + be16(in->p + 14);
	if (n > PROXY_HEADER_MAX)
		return PROXY_BAD;
	if (in->n < n)
		return PROXY_MORE;
	if (!v2_block(in->p[12], in->p[13], span_of(in->p + V2_HEAD, n - V2_HEAD), &p))
		return PROXY_BAD;
	*in = span_skip(*in, n);
	*out = p;
	return PROXY_OK;
}

/* Does the input begin with the mark, as far as it goes? */
static bool fits(struct span in, struct span mark)
{
	return span_eq(span_head(in, mark.n), span_head(mark, in.n));
}

enum proxy_got proxy_next(struct span *in, struct proxy *out)
{
	if (fits(*in, v1_mark))
		return in->n < v1_mark.n ? PROXY_MORE : v1_next(in, out);
	if (fits(*in, v2_mark))
		return v2_next(in, out);
	return PROXY_BAD;
}

/* ---- our own ------------------------------------------------------------------------------ */

/* An IPv4 address beside one of IPv6 is said as that (RFC 4291, 2.5.5.2). */
static void put_address(const struct addr *a, bool v4, struct buf *out)
{
	if (!v4 && addr_is_v4(a))
		buf_put(out, SPAN("::ffff:"));
	addr_print(a, out);
}

static void put_v1(const struct endpoint *peer, const struct endpoint *local, bool v4,
		   struct buf *out)
{
	buf_put(out, v1_mark);
	if (!peer) {
		buf_put(out, SPAN("UNKNOWN\r\n"));
		return;
	}
	buf_put(out, v4 ? SPAN("TCP4 ") : SPAN("TCP6 "));
	put_address(&peer->addr, v4, out);
	buf_byte(out, ' ');
	put_address(&local->addr, v4, out);
	buf_fmt(out, " %u %u\r\n", peer->port, local->port);
}

static void put_be16(uint16_t n, struct buf *out)
{
	buf_byte(out, (uint8_t)(n >> 8));
	buf_byte(out, (uint8_t)(n & 0xff));
}

static void put_v2(const struct endpoint *peer, const struct endpoint *local, bool v4,
		   struct buf *out)
{
	const size_t n = v4 ? 4 : 16;

	buf_put(out, v2_mark);
	buf_byte(out, peer ? 0x21 : 0x20);
	buf_byte(out, !peer ? V2_UNSPEC : v4 ? V2_TCP4 : V2_TCP6);
	put_be16(peer ? (uint16_t)(2 * n + 4) : 0, out);
	if (!peer)
		return;
	buf_put(out, span_of(peer->addr.ip + 16 - n, n));
	buf_put(out, span_of(local->addr.ip + 16 - n, n));
	put_be16(peer->port, out);
	put_be16(local->port, out);
}

void proxy_print(unsigned version, const struct endpoint *peer,
		 const struct endpoint *local, struct buf *out)
{
	bool v4 = peer && addr_is_v4(&peer->addr) && addr_is_v4(&local->addr);

	if (version == 2)
		put_v2(peer, local, v4, out);
	else
		put_v1(peer, local, v4, out);
}
