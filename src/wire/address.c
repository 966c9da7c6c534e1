#include "wire/address.h"

#include "base/addr.h"
#include "base/buf.h"
#include "base/utf8.h"

#define LABEL_MAX 63

static bool is_alnum(uint8_t c)
{
	c = byte_lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* atext (RFC 5322, 3.2.3) and what RFC 6531 adds to it. */
static bool is_atext(uint8_t c)
{
	return c >= 0x80 || is_alnum(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* The bytes of text for which a test holds, from its start. */
static size_t run(struct span text, bool (*test)(uint8_t))
{
	size_t n = 0;

	while (n < text.n && test(text.p[n]))
		n++;
	return n;
}

/* Dot-string: atoms with single dots between them. */
static bool is_dot_string(struct span text)
{
	while (true) {
		size_t n = run(text, is_atext);

		if (n == 0)
			return false;
		if (n == text.n)
			return true;
		if (text.p[n] != '.')
			return false;
		text = span_skip(text, n + 1);
	}
}

/* Put the content of a quoted string: as it is, or quoted again if it has to be. */
static void put_local(struct span content, struct buf *out)
{
	if (is_dot_string(content)) {
		buf_put(out, content);
		return;
	}
	buf_byte(out, '"');
	for (size_t i = 0; i < content.n; i++) {
		if (content.p[i] == '"' || content.p[i] == '\\')
			buf_byte(out, '\\');
		buf_byte(out, content.p[i]);
	}
	buf_byte(out, '"');
}

/* Quoted-string (RFC 5321, 4.1.2): printable bytes, some of them behind backslashes. */
static bool next_quoted(struct span *in, struct buf *out)
{
	uint8_t mem[ADDRESS_MAX];
	struct buf content;
	size_t i = 1;

	buf_init(&content, mem, sizeof(mem));
	for (; i < in->n && in->p[i] != '"'; i++) {
		if (in->p[i] == '\\' && (++i == in->n || in->p[i] >= 0x80))
			return false;
		if (in->p[i] < ' ' || in->p[i] == 0x7f)
			return false;
		buf_byte(&content, in->p[i]);
	}
	if (i >= in->n || content.full)
		return false;
	*in = span_skip(*in, i + 1);
	put_local(buf_span(&content), out);
	return true;
}

static bool is_local_byte(uint8_t c)
{
	return c == '.' || is_atext(c);
}

static bool next_local(struct span *in, struct buf *out)
{
	struct span text;

	if (in->n && in->p[0] == '"')
		return next_quoted(in, out);
	text = span_head(*in, run(*in, is_local_byte));
	*in = span_skip(*in, text.n);
	buf_put(out, text);
	return is_dot_string(text);
}

static bool is_domain_byte(uint8_t c)
{
	return c >= 0x80 || is_alnum(c) || c == '-' || c == '_' || c == '.';
}

/*
 * Labels of 1 to 63 bytes that neither begin nor end with a hyphen. Those of other letters may
 * be longer here than they are in the DNS, and are judged where they are converted.
 */
static bool label_ok(struct span label)
{
	return label.n && (label.n <= LABEL_MAX || !utf8_is_ascii(label)) &&
	       label.p[0] != '-' && label.p[label.n - 1] != '-';
}

static bool is_domain(struct span text)
{
	if (text.n == 0 || text.n > DOMAIN_MAX)
		return false;
	while (true) {
		size_t n = span_find(text, '.');

		if (!label_ok(span_head(text, n)))
			return false;
		if (n == text.n)
			return true;
		text = span_skip(text, n + 1);
	}
}

static bool literal_parse(struct span text, struct addr *out)
{
	struct span inside;
	bool v6;

	if (text.n < 2 || text.p[0] != '[' || text.p[text.n - 1] != ']')
		return false;
	inside = span_of(text.p + 1, text.n - 2);
	v6 = span_starts_nocase(inside, SPAN("IPv6:"));
	if (v6)
		inside = span_skip(inside, 5);
	/* an IPv4 literal has no tag, an IPv6 one has */
	return addr_parse(inside, out) && v6 == (span_find(inside, ':') < inside.n);
}

static bool next_literal(struct span *in, struct buf *out)
{
	size_t end = span_find(*in, ']');
	struct addr a;

	if (end == in->n || !literal_parse(span_head(*in, end + 1), &a))
		return false;
	*in = span_skip(*in, end + 1);
	addr_print_literal(&a, out);
	return true;
}

static bool next_domain(struct span *in, struct buf *out)
{
	struct span text;

	if (in->n && in->p[0] == '[')
		return next_literal(in, out);
	text = span_head(*in, run(*in, is_domain_byte));
	*in = span_skip(*in, text.n);
	if (text.n > 1 && text.p[text.n - 1] == '.')
		text.n--;
	buf_put_lower(out, text);
	return is_domain(text);
}

static bool next_mailbox(struct span *in, struct address *a)
{
	struct buf out;

	buf_init(&out, a->text, sizeof(a->text));
	if (!next_local(in, &out) || in->n == 0 || in->p[0] != '@')
		return false;
	a->at = (uint16_t)out.len;
	buf_byte(&out, '@');
	*in = span_skip(*in, 1);
	if (!next_domain(in, &out) || out.full || !utf8_ok(buf_span(&out)))
		return false;
	a->kind = ADDRESS_MAILBOX;
	a->n = (uint16_t)out.len;
	a->high = !utf8_is_ascii(buf_span(&out));
	return true;
}

/* @one,@two:  The way the mail should take, once. */
static bool skip_route(struct span *in)
{
	uint8_t mem[DOMAIN_MAX + 32];
	struct buf unused;

	while (in->n && in->p[0] == '@') {
		buf_init(&unused, mem, sizeof(mem));
		*in = span_skip(*in, 1);
		if (!next_domain(in, &unused) || in->n == 0)
			return false;
		if (in->p[0] == ':') {
			*in = span_skip(*in, 1);
			return true;
		}
		if (in->p[0] != ',')
			return false;
		*in = span_skip(*in, 1);
	}
	return false;
}

static void plain(struct address *a, enum address_kind kind, struct span text)
{
	a->kind = kind;
	a->high = false;
	a->n = a->at = (uint16_t)text.n;
	if (text.n)
		memcpy(a->text, text.p, text.n);
}

bool address_next(struct span *in, struct address *out)
{
	static const struct span postmaster = SPAN_INIT("<postmaster>");
	struct span left = span_skip(*in, 1);

	if (in->n == 0 || in->p[0] != '<')
		return false;
	if (left.n && left.p[0] == '>') {
		plain(out, ADDRESS_NULL, SPAN_NONE);
		*in = span_skip(left, 1);
		return true;
	}
	if (span_starts_nocase(*in, postmaster)) {
		plain(out, ADDRESS_POSTMASTER, SPAN("postmaster"));
		*in = span_skip(*in, postmaster.n);
		return true;
	}
	if (left.n && left.p[0] == '@' && !skip_route(&left))
		return false;
	if (!next_mailbox(&left, out) || left.n == 0 || left.p[0] != '>')
		return false;
	*in = span_skip(left, 1);
	return true;
}

bool address_parse(struct span text, struct address *out)
{
	return next_mailbox(&text, out) && text.n == 0;
}

bool address_is_host(struct span text)
{
	struct addr a;

	if (literal_parse(text, &a))
		return true;
	if (text.n > 1 && text.p[text.n - 1] == '.')
		text.n--;
	return run(text, is_domain_byte) == text.n && utf8_is_ascii(text) &&
	       is_domain(text);
}
