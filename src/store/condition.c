#include "store/condition.h"

#include "base/utf8.h"
#include "io/idn.h"
#include "spec/limits.h"

/* Where a pattern or a port begins, and where <a@b> ends. */
static bool ends_domain(uint8_t c)
{
	return c == '*' || c == '?' || c == '<' || c == '>' || c == ':' || c == '[';
}

static void put_domain(struct span domain, struct buf *out)
{
	uint8_t mem[DOMAIN_MAX];
	struct buf ascii;

	buf_init(&ascii, mem, sizeof(mem));
	/* what is below a domain: *.example.org */
	for (; span_starts(domain, SPAN(".")); domain = span_skip(domain, 1))
		buf_byte(out, '.');
	if (utf8_is_ascii(domain) || idn_domain(domain, &ascii))
		buf_put(out, domain);
	else
		buf_put(out, buf_span(&ascii));
}

static void put_domains(struct span text, struct buf *out)
{
	while (text.n) {
		size_t n = 0;

		while (n < text.n && !ends_domain(text.p[n]))
			n++;
		put_domain(span_head(text, n), out);
		if (n < text.n)
			buf_byte(out, text.p[n]);
		text = span_skip(text, n + 1);
	}
}

/* These have no name in front of a domain. */
static bool is_domain_alone(struct span name)
{
	static const char *const names[] = { "sender-domain", "rcpt-domain",
					     "destination", "helo" };

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (span_eq(name, span_str(names[i])))
			return true;
	return false;
}

/* name=value, !name=value or name!=value */
static void put_term(struct span term, struct buf *out)
{
	size_t equals = span_find(term, '=');
	struct span name = span_head(term, equals), value = span_skip(term, equals + 1);
	size_t at = span_find_last(value, '@') + 1; /* where the domain begins */

	if (span_starts(name, SPAN("!")))
		name = span_skip(name, 1);
	if (name.n && name.p[name.n - 1] == '!')
		name.n--;
	if (!is_domain_alone(name) && at > value.n) {
		buf_put(out, term);
		return;
	}
	if (is_domain_alone(name))
		at = 0;
	buf_put(out, span_head(term, term.n - value.n + at));
	put_domains(span_skip(value, at), out);
}

void condition_put(struct span text, struct buf *out)
{
	while (text.n) {
		size_t n = span_find(text, ' ');

		put_term(span_head(text, n), out);
		if (n < text.n)
			buf_byte(out, ' ');
		text = span_skip(text, n + 1);
	}
}
