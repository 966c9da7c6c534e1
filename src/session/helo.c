#include "session/helo.h"

#include "spec/limits.h"

#define LABEL_MAX 63

/* "[192.0.2.7]" or "[IPv6:2001:db8::7]" */
static bool is_literal(struct span name, struct addr *a)
{
	struct span inside;

	if (name.n < 3 || name.p[0] != '[' || name.p[name.n - 1] != ']')
		return false;
	inside = span_head(span_skip(name, 1), name.n - 2);
	if (span_starts_nocase(inside, SPAN("IPv6:")))
		return addr_parse(span_skip(inside, 5), a);
	return span_find(inside, ':') == inside.n && addr_parse(inside, a);
}

/* The underscore is in names that Windows makes, and everybody takes it. */
static bool is_name_byte(uint8_t c)
{
	c = byte_lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool is_label(struct span label)
{
	for (size_t i = 0; i < label.n; i++)
		if (!is_name_byte(label.p[i]))
			return false;
	return label.n > 0 && label.n <= LABEL_MAX && label.p[0] != '-' &&
	       label.p[label.n - 1] != '-';
}

static struct span without_last_dot(struct span name)
{
	return name.n && name.p[name.n - 1] == '.' ? span_head(name, name.n - 1) : name;
}

static bool is_domain(struct span name)
{
	size_t dots = 0;

	if (!name.n || name.n > DOMAIN_MAX || name.p[name.n - 1] == '.')
		return false;
	for (size_t i = 0; i < name.n; i++)
		dots += name.p[i] == '.';
	for (size_t i = 0; i <= dots; i++)
		if (!is_label(span_cut(&name, '.')))
			return false;
	return true;
}

/* Whoever connects from our own address may well call itself by it. */
static bool is_ours(const struct addr *a, const struct helo_ends *ends)
{
	return addr_eq(a, ends->local) && !addr_eq(ends->peer, ends->local);
}

enum event helo_check(struct span name, const struct helo_ends *ends)
{
	struct addr a;
	bool literal = is_literal(name, &a);

	if (literal || addr_parse(name, &a)) {
		if (is_ours(&a, ends))
			return EV_HELO_OURS;
		return literal && addr_eq(&a, ends->peer) ? EV_NONE : EV_HELO_ADDRESS;
	}
	name = without_last_dot(name);
	if (!is_domain(name))
		return EV_HELO_SYNTAX;
	if (span_eq_nocase(name, ends->host) && !addr_eq(ends->peer, ends->local))
		return EV_HELO_OURS;
	return span_find(name, '.') == name.n ? EV_HELO_NOT_FQDN : EV_NONE;
}
