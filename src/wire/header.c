#include "wire/header.h"

/* name_n of a name that is another one */
#define OTHER_NAME UINT8_MAX

static const struct span received = SPAN_INIT("received");

void header_init(struct header *h)
{
	*h = (struct header){ .at = HEADER_BOL };
}

static bool is_name_byte(uint8_t c)
{
	return c > ' ' && c < 0x7f && c != ':';
}

static void name_byte(struct header *h, uint8_t c)
{
	bool fits = h->name_n < received.n && byte_lower(c) == received.p[h->name_n];

	h->name_n = fits ? (uint8_t)(h->name_n + 1) : OTHER_NAME;
}

static enum header_at at_bol(struct header *h, uint8_t c)
{
	if (c == '\r')
		return HEADER_CR;
	if ((c == ' ' || c == '\t') && h->inside)
		return HEADER_VALUE;
	if (!is_name_byte(c))
		return HEADER_OVER;
	h->name_n = 0;
	name_byte(h, c);
	return HEADER_NAME;
}

static enum header_at in_name(struct header *h, uint8_t c)
{
	if (c == ':') {
		h->inside = true;
		h->received += h->name_n == received.n;
		return HEADER_VALUE;
	}
	if (c == ' ' || c == '\t')
		return HEADER_GAP;
	if (h->at == HEADER_GAP || !is_name_byte(c))
		return HEADER_OVER;
	name_byte(h, c);
	return HEADER_NAME;
}

static enum header_at after(struct header *h, uint8_t c)
{
	switch (h->at) {
	case HEADER_BOL:
		return at_bol(h, c);
	case HEADER_NAME:
	case HEADER_GAP:
		return in_name(h, c);
	case HEADER_VALUE:
		return c == '\n' ? HEADER_BOL : HEADER_VALUE;
	case HEADER_CR:
	case HEADER_OVER:
		break;
	}
	return HEADER_OVER;
}

void header_scan(struct header *h, struct span text)
{
	size_t i = 0;

	while (i < text.n && h->at != HEADER_OVER) {
		if (h->at == HEADER_VALUE) {
			size_t n = span_find(span_skip(text, i), '\n');

			h->size += n;
			i += n;
			if (i == text.n)
				return;
		}
		h->at = after(h, text.p[i++]);
		h->size++;
	}
}
