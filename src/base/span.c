#include "base/span.h"

bool span_eq_nocase(struct span a, struct span b)
{
	return a.n == b.n && span_starts_nocase(a, b);
}

bool span_starts_nocase(struct span s, struct span with)
{
	if (s.n < with.n)
		return false;
	for (size_t i = 0; i < with.n; i++)
		if (byte_lower(s.p[i]) != byte_lower(with.p[i]))
			return false;
	return true;
}

size_t span_find_last(struct span s, uint8_t b)
{
	for (size_t i = s.n; i > 0; i--)
		if (s.p[i - 1] == b)
			return i - 1;
	return s.n;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

struct span span_trim(struct span s)
{
	while (s.n && is_blank(s.p[0]))
		s = span_skip(s, 1);
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct span span_cut(struct span *s, uint8_t sep)
{
	size_t at = span_find(*s, sep);
	struct span head = span_head(*s, at);

	*s = span_skip(*s, at + 1);
	return head;
}
