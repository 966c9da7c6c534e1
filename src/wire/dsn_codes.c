#include "wire/dsn.h"

/* Enhanced status codes, and xtext: what notices are made of and may be asked with. */

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* Up to three digits. */
static bool next_number(struct span *text, uint16_t *out)
{
	size_t n = 0;

	*out = 0;
	for (; n < text->n && n < 3 && is_digit(text->p[n]); n++)
		*out = (uint16_t)(*out * 10 + (text->p[n] - '0'));
	*text = span_skip(*text, n);
	return n > 0;
}

static bool next_dot(struct span *text)
{
	bool is_there = text->n && text->p[0] == '.';

	*text = span_skip(*text, is_there);
	return is_there;
}

bool dsn_status_parse(struct span text, struct dsn_status *out)
{
	struct dsn_status s = { 0 };

	if (text.n == 0 || !strchr("245", text.p[0]) || !text.p[0])
		return false;
	s.of = (uint8_t)(text.p[0] - '0');
	text = span_skip(text, 1);
	if (!next_dot(&text) || !next_number(&text, &s.subject) || !next_dot(&text) ||
	    !next_number(&text, &s.detail) || (text.n && text.p[0] != ' '))
		return false;
	*out = s;
	return true;
}

/* What three digits mean if nothing more is said (RFC 5321, 4.2.3; RFC 3463). */
static const struct {
	uint16_t code;
	struct dsn_status status;
} codes[] = {
	/* clang-format off */
	{ 421, { 4, 3, 2 } }, { 450, { 4, 2, 0 } }, { 451, { 4, 3, 0 } }, { 452, { 4, 3, 1 } },
	{ 454, { 4, 7, 0 } }, { 455, { 4, 5, 4 } }, { 500, { 5, 5, 2 } }, { 501, { 5, 5, 4 } },
	{ 502, { 5, 5, 1 } }, { 503, { 5, 5, 1 } }, { 504, { 5, 5, 4 } }, { 521, { 5, 3, 2 } },
	{ 530, { 5, 7, 0 } }, { 535, { 5, 7, 8 } }, { 550, { 5, 1, 1 } }, { 551, { 5, 1, 6 } },
	{ 552, { 5, 2, 2 } }, { 553, { 5, 1, 3 } }, { 554, { 5, 0, 0 } }, { 555, { 5, 5, 4 } },
	{ 556, { 5, 1, 10 } },
	/* clang-format on */
};

struct dsn_status dsn_status_of(struct span answer, enum dsn_action action)
{
	bool good = action != DSN_FAILED && action != DSN_DELAYED;
	struct span text = answer;
	struct dsn_status s;
	uint16_t code;

	if (answer.n < 3 || !next_number(&text, &code) || code < 200 || code > 599)
		return good ? (struct dsn_status){ 2, 0, 0 }
			    : (struct dsn_status){ 4, 4, 1 };
	if (dsn_status_parse(span_skip(text, 1), &s) && s.of == code / 100)
		return s;
	for (size_t i = 0; i < COUNT_OF(codes); i++)
		if (codes[i].code == code)
			return codes[i].status;
	code /= 100;
	return (struct dsn_status){ code == 3 ? 5 : (uint8_t)code, 0, 0 };
}

static int hex_value(uint8_t c)
{
	if (is_digit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool dsn_xtext_parse(struct span text, struct buf *out)
{
	size_t before = out->len;
	bool good = true;

	for (size_t i = 0; good && i < text.n; i++) {
		int high, low;

		if (text.p[i] != '+') {
			good = text.p[i] > ' ' && text.p[i] < 0x7f && text.p[i] != '=';
			buf_byte(out, text.p[i]);
			continue;
		}
		high = i + 2 < text.n ? hex_value(text.p[i + 1]) : -1;
		low = i + 2 < text.n ? hex_value(text.p[i + 2]) : -1;
		good = high >= 0 && low >= 0;
		buf_byte(out, (uint8_t)((high & 15) << 4 | (low & 15)));
		i += 2;
	}
	if (good && !out->full)
		return true;
	if (!out->full)
		out->len = before;
	return false;
}
