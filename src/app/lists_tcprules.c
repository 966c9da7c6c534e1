/*
 * What tcprules(1) reads, known as tcp.smtp: `192.168.:allow,RELAYCLIENT=""`. The most
 * precise address counts, as everywhere here.
 */
#include "app/lists_inner.h"
#include "base/number.h"

/* Where the address ends: `:allow` or `:deny`. text.n: nowhere. */
static size_t find_instruction(struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		struct span rest = span_skip(text, i);

		if (span_starts(rest, SPAN(":allow")) || span_starts(rest, SPAN(":deny")))
			return i;
	}
	return text.n;
}

/* NAME="value" with any delimiter, between commas. */
static bool next_variable(struct span *left, struct span *name, struct span *value)
{
	size_t equals;

	while (left->n && (left->p[0] == ',' || list_is_white(left->p[0])))
		*left = span_skip(*left, 1);
	equals = span_find(*left, '=');
	if (equals + 1 >= left->n)
		return false;
	*name = span_head(*left, equals);
	*left = span_skip(*left, equals + 1);
	{
		uint8_t delimiter = left->p[0];

		*left = span_skip(*left, 1);
		*value = span_cut(left, delimiter);
	}
	return true;
}

/*
 * allow is not refused; for everybody that is no opinion, for somebody it is a permit.
 * RBLSMTPD="text" is how such a file refuses with a text.
 */
static void read_variables(struct span left, struct list_said *said)
{
	struct span name, value;

	while (next_variable(&left, &name, &value)) {
		if (!span_eq(name, SPAN("RBLSMTPD")))
			continue;
		said->answer = value.n ? ACCESS_DENY : ACCESS_PERMIT;
		if (value.n && value.p[0] == '-')
			value = span_skip(value, 1);
		said->why = value;
	}
}

struct octets {
	uint8_t at[4];
	size_t count;
	uint64_t last; /* of a range in the last one: up to this */
};

/* "4-7" */
static bool parse_part(struct span part, struct octets *out)
{
	struct span first = span_cut(&part, '-');
	uint64_t n;

	if (first.n == 0 || first.n > 3 || !number_parse(first, 255, &n))
		return false;
	out->at[out->count++] = (uint8_t)n;
	out->last = n;
	return part.n == 0 ||
	       (part.n <= 3 && number_parse(part, 255, &out->last) && out->last >= n);
}

/* "192.168.", "10.2-3.", "1.2.3.4-7" */
static bool parse_octets(struct span text, struct octets *out)
{
	bool dot = text.n && text.p[text.n - 1] == '.';

	*out = (struct octets){ .count = 0 };
	while (text.n) {
		struct span part = span_cut(&text, '.');

		if (out->count == 4 ||
		    (out->count && out->last != out->at[out->count - 1]) ||
		    !parse_part(part, out))
			return false;
	}
	return out->count == 4 ? !dot : out->count && dot;
}

static void put_octets(struct list_reading *r, const struct octets *o,
		       const struct list_said *said)
{
	struct net n = { addr_v4(o->at[0], o->at[1], o->at[2], o->at[3]),
			 (uint8_t)(96 + 8 * o->count) };
	uint8_t *part = &n.addr.ip[11 + o->count];

	for (uint64_t i = o->at[o->count - 1]; i <= o->last; i++) {
		*part = (uint8_t)i;
		list_put_net(r, &n, said);
	}
}

static void put_everybody(struct list_reading *r, const struct list_said *said)
{
	const struct net v4 = { addr_v4(0, 0, 0, 0), 96 }, v6 = { .bits = 0 };

	list_put_net(r, &v4, said);
	list_put_net(r, &v6, said);
}

static void read_line(struct list_reading *r, struct span line)
{
	size_t colon = find_instruction(line);
	struct span address = span_head(line, colon), rest = span_skip(line, colon + 1);
	bool allow = span_starts(rest, SPAN("allow"));
	struct list_said said = list_said(r, allow ? ACCESS_PERMIT : ACCESS_DENY);
	struct octets o;
	struct net n;
	bool masked;

	if (colon == line.n) {
		problem(r->src->problems, list_here(r),
			"\"%.*s\": a rule is written ADDRESS:allow or ADDRESS:deny",
			QUOTE(line));
		return;
	}
	rest = span_skip(rest, allow ? 5 : 4);
	if (rest.n && rest.p[0] != ',') {
		problem(r->src->problems, list_here(r),
			"\"%.*s\": behind allow or deny stands nothing, or a comma and variables",
			QUOTE(line));
		return;
	}
	if (address.n == 0 && allow)
		said.answer = ACCESS_SILENT;
	read_variables(rest, &said);
	if (address.n == 0)
		put_everybody(r, &said);
	else if (address.p[0] == '=')
		problem(r->src->problems, list_here(r),
			"\"%.*s\" is a rule for a name: put %.*s into a list of = \"ptr\"",
			QUOTE(address), QUOTE(span_skip(address, 1)));
	else if (span_find(address, '@') < address.n)
		problem(r->src->problems, list_here(r),
			"\"%.*s\" is a rule for what ident says, which nobody asks here",
			QUOTE(address));
	else if (parse_octets(address, &o))
		put_octets(r, &o, &said);
	else if (list_net_parse(address, &n, &masked))
		list_put_text(r, address, &said);
	else
		problem(r->src->problems, list_here(r),
			"\"%.*s\" is none of 192.0.2.7, 192.0.2.4-7, 192.0.2. and 2001:db8::1",
			QUOTE(address));
}

void list_read_tcprules(struct list_reading *r)
{
	struct span line;
	bool indented;

	while (list_line(r, &line, &indented))
		if (line.n && line.p[0] != '#')
			read_line(r, line);
}
