#include "auth/names.h"

#include "base/utf8.h"
#include "io/idn.h"

struct span name_local(struct span name)
{
	return span_head(name, span_find_last(name, '@'));
}

struct span name_domain(struct span name)
{
	return span_skip(name, span_find_last(name, '@') + 1);
}

/* Text, without anything that moves a cursor, and without white space. */
static bool is_text(struct span s)
{
	uint32_t code;

	while (s.n) {
		size_t n = utf8_first(s, &code);

		if (n == 0 || code <= ' ' || utf8_is_control(code))
			return false;
		s = span_skip(s, n);
	}
	return true;
}

bool name_normal(struct span user, struct span domain, struct buf *out)
{
	size_t at = span_find_last(user, '@');
	struct span local = span_head(user, at), own = span_skip(user, at + 1);

	while (own.n && own.p[own.n - 1] == '.')
		own.n--;
	if (local.n == 0 || !is_text(user) || (at < user.n && own.n == 0))
		return false;
	if (at == user.n)
		own = domain;
	buf_put_lower(out, local);
	if (own.n) {
		buf_byte(out, '@');
		if (idn_domain(own, out))
			return false;
	}
	return !out->full;
}
