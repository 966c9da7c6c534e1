#include "base/base64.h"

static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_print(struct span in, struct buf *out)
{
	while (in.n) {
		struct span three = span_head(in, 3);
		uint32_t bits = 0;

		for (size_t i = 0; i < 3; i++)
			bits = bits << 8 | (i < three.n ? three.p[i] : 0u);
		for (size_t i = 0; i < 4; i++)
			buf_byte(out,
				 i <= three.n
					 ? (uint8_t)alphabet[bits >> (18 - 6 * i) & 63]
					 : '=');
		in = span_skip(in, three.n);
	}
}

static int value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four characters, the last `pad` of them '='. Bits that would be lost must be zero. */
static bool parse_four(const uint8_t *in, size_t pad, struct buf *out)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < 4; i++) {
		int v = i < 4 - pad ? value(in[i]) : 0;

		if (v < 0)
			return false;
		bits = bits << 6 | (uint32_t)v;
	}
	if (bits & ((1u << (8 * pad)) - 1))
		return false;
	for (size_t i = 0; i < 3 - pad; i++)
		buf_byte(out, (uint8_t)(bits >> (16 - 8 * i)));
	return true;
}

bool base64_parse(struct span in, struct buf *out)
{
	size_t start = out->len, pad = 0;
	bool good = in.n % 4 == 0;

	if (good && in.n && in.p[in.n - 1] == '=')
		pad = in.p[in.n - 2] == '=' ? 2 : 1;
	if (!good || out->full || in.n / 4 * 3 - pad > buf_room(out))
		return false;
	for (; in.n && good; in = span_skip(in, 4))
		good = parse_four(in.p, in.n == 4 ? pad : 0, out);
	if (!good)
		out->len = start;
	return good;
}
