#include "wire/header.h"

#include "base/attr.h"

#define ALL_NAMES (HEADER_RECEIVED | HEADER_FROM | HEADER_DATE | HEADER_MESSAGE_ID)

static const struct {
	uint8_t bit;
	struct span name;
} names[] = {
	{ HEADER_RECEIVED, SPAN_INIT("received") },
	{ HEADER_FROM, SPAN_INIT("from") },
	{ HEADER_DATE, SPAN_INIT("date") },
	{ HEADER_MESSAGE_ID, SPAN_INIT("message-id") },
};

void header_init(struct header *h)
{
	*h = (struct header){ .at = HEADER_BOL };
}

static bool is_name_byte(uint8_t c)
{
	return c > ' ' && c < 0x7f && c != ':';
}

/* Most names are none of ours from the first byte on. */
static void name_byte(struct header *h, uint8_t c)
{
	uint8_t low = byte_lower(c);

	if (!h->could)
		return;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (h->name_n >= names[i].name.n || names[i].name.p[h->name_n] != low)
			h->could &= (uint8_t)~names[i].bit;
	h->name_n++;
}

static void name_ended(struct header *h)
{
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (h->name_n != names[i].name.n)
			h->could &= (uint8_t)~names[i].bit;
	h->has |= h->could;
	h->inside = true;
	h->in_from = h->could == HEADER_FROM;
	h->received += h->could == HEADER_RECEIVED;
}

static enum header_at at_bol(struct header *h, uint8_t c)
{
	if (c == '\r')
		return HEADER_CR;
	if ((c == ' ' || c == '\t') && h->inside)
		return HEADER_VALUE;
	h->in_from = false;
	if (!is_name_byte(c))
		return HEADER_OVER;
	h->name_n = 0;
	h->could = ALL_NAMES;
	name_byte(h, c);
	return HEADER_NAME;
}

static enum header_at in_name(struct header *h, uint8_t c)
{
	if (c == ':') {
		if (h->could)
			name_ended(h);
		h->inside = true;
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
		h->line = h->size;
		return at_bol(h, c);
	case HEADER_NAME:
	case HEADER_GAP:
		return in_name(h, c);
	case HEADER_VALUE:
		return c == '\n' ? HEADER_BOL : HEADER_VALUE;
	case HEADER_CR:
		h->ended = c == '\n';
		break;
	case HEADER_OVER:
		break;
	}
	return HEADER_OVER;
}

/* Text of the value; where a line begins, a space or the comma behind an earlier field. */
static void take_from(const struct header *h, struct span value, struct buf *from)
{
	if (h->in_from && from)
		buf_put(from, value);
}

void header_scan_from(struct header *h, struct span text, struct buf *from)
{
	size_t i = 0;

	while (i < text.n && h->at != HEADER_OVER) {
		enum header_at was;

		if (h->at == HEADER_VALUE) {
			size_t n = span_find(span_skip(text, i), '\n');

			take_from(h, span_head(span_skip(text, i), n), from);
			h->size += n;
			i += n;
			if (i == text.n)
				return;
		}
		was = h->at;
		h->at = after(h, text.p[i++]);
		h->size++;
		if (h->at == HEADER_VALUE && was == HEADER_BOL)
			take_from(h, SPAN(" "), from);
		else if (h->at == HEADER_VALUE && from && from->len)
			take_from(h, SPAN(","), from);
	}
	if (h->at == HEADER_BOL)
		h->line = h->size;
}

void header_scan(struct header *h, struct span text)
{
	header_scan_from(h, text, NULL);
}
