#include "base/utf8.h"

static bool is_more(uint8_t c)
{
	return (c & 0xc0) == 0x80;
}

size_t utf8_first(struct span s, uint32_t *code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c;
	size_t n;

	if (s.n == 0)
		return 0;
	c = s.p[0];
	n = c < 0x80 ? 1 : c < 0xc0 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf8 ? 4 : 0;
	if (n == 0 || n > s.n)
		return 0;
	if (n > 1)
		c &= 0x7fu >> n;
	for (size_t i = 1; i < n; i++) {
		if (!is_more(s.p[i]))
			return 0;
		c = c << 6 | (s.p[i] & 0x3fu);
	}
	/* longer than needed, half of a UTF-16 pair, or beyond the last one */
	if (c < least[n] || (c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
		return 0;
	*code = c;
	return n;
}

bool utf8_ok(struct span s)
{
	while (s.n) {
		uint32_t code;
		size_t n = utf8_first(s, &code);

		if (n == 0)
			return false;
		s = span_skip(s, n);
	}
	return true;
}

bool utf8_is_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] > 0x7f)
			return false;
	return true;
}

bool utf8_is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x200e || c == 0x200f ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

struct span utf8_head(struct span s, size_t n)
{
	size_t cut = n;

	if (n >= s.n)
		return s;
	while (cut > 0 && n - cut < 3 && is_more(s.p[cut]))
		cut--;
	return span_head(s, is_more(s.p[cut]) ? n : cut);
}
