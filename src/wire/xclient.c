#include "wire/xclient.h"

#include "base/number.h"

#define VALUE_MAX 512

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool xtext_parse(struct span text, struct buf *out)
{
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];

		if (c <= ' ' || c >= 0x7f || c == '=')
			return false;
		if (c == '+') {
			if (text.n - i < 3 || hex(text.p[i + 1]) < 0 ||
			    hex(text.p[i + 2]) < 0)
				return false;
			c = (uint8_t)(hex(text.p[i + 1]) << 4 | hex(text.p[i + 2]));
			i += 2;
		}
		buf_byte(out, c);
	}
	return !out->full;
}

static bool is_unknown(struct span value)
{
	return span_eq_nocase(value, SPAN("[UNAVAILABLE]")) ||
	       span_eq_nocase(value, SPAN("[TEMPUNAVAIL]"));
}

static bool take_addr(struct span value, struct xclient *out)
{
	bool v6 = span_starts_nocase(value, SPAN("IPV6:"));

	if (v6)
		value = span_skip(value, 5);
	out->has_addr = true;
	return addr_parse(value, &out->addr) && v6 == (span_find(value, ':') < value.n);
}

static bool take_port(struct span value, struct xclient *out)
{
	uint64_t n;

	if (!number_parse(value, UINT16_MAX, &n))
		return false;
	out->has_port = true;
	out->port = (uint16_t)n;
	return true;
}

static bool take_proto(struct span value, struct xclient *out)
{
	out->smtp = span_eq_nocase(value, SPAN("SMTP"));
	return out->smtp || span_eq_nocase(value, SPAN("ESMTP"));
}

/* What a HELO could say: printable, without spaces. */
static bool take_helo(struct span value, struct xclient *out)
{
	if (value.n == 0 || value.n > sizeof(out->helo))
		return false;
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] <= ' ' || value.p[i] >= 0x7f)
			return false;
	out->has_helo = true;
	out->helo_n = (uint16_t)value.n;
	memcpy(out->helo, value.p, value.n);
	return true;
}

/* The reverse name and the login are not believed, and used by nothing yet. */
static bool take_nothing(struct span value, struct xclient *out)
{
	(void)value;
	(void)out;
	return true;
}

static const struct attribute {
	struct span name;
	bool (*take)(struct span value, struct xclient *out);
} attributes[] = {
	/* clang-format off */
	{ SPAN_INIT("NAME"),  take_nothing },
	{ SPAN_INIT("ADDR"),  take_addr },
	{ SPAN_INIT("PORT"),  take_port },
	{ SPAN_INIT("PROTO"), take_proto },
	{ SPAN_INIT("HELO"),  take_helo },
	{ SPAN_INIT("LOGIN"), take_nothing },
	/* clang-format on */
};

static bool take(struct span name, struct span xtext, struct xclient *out)
{
	uint8_t mem[VALUE_MAX];
	struct buf value;

	for (size_t i = 0; i < COUNT_OF(attributes); i++) {
		if (!span_eq_nocase(name, attributes[i].name))
			continue;
		buf_init(&value, mem, sizeof(mem));
		if (!xtext_parse(xtext, &value))
			return false;
		return is_unknown(buf_span(&value)) ||
		       attributes[i].take(buf_span(&value), out);
	}
	return false;
}

bool xclient_parse(struct span text, struct xclient *out)
{
	struct xclient x = { 0 };

	while ((text = span_trim(text)).n) {
		struct span value = span_cut(&text, ' ');
		struct span name = span_cut(&value, '=');

		if (!take(name, value, &x))
			return false;
	}
	*out = x;
	return true;
}
