#include "wire/line.h"

void line_init(struct line *l, size_t max)
{
	*l = (struct line){ .max = max };
}

static void note(struct line *l, enum event odd)
{
	if (l->odd == EV_NONE)
		l->odd = odd;
}

/*
 * Find the end of the line, and note what is odd on the way there. LF alone does not end
 * it: what one server reads as one message and the next as two is called smuggling
 * (RFC 5321, 2.3.8).
 */
static bool scan(struct line *l, struct span in)
{
	while (l->seen < in.n) {
		uint8_t c = in.p[l->seen++];
		bool after_cr = l->after_cr;

		l->after_cr = c == '\r';
		if (c == '\n' && after_cr)
			return true;
		if (after_cr)
			note(l, EV_BARE_CR);
		if (c == '\n')
			note(l, EV_BARE_LF);
		if (c == '\0')
			note(l, EV_NUL_BYTE);
		if (c >= 0x80)
			l->high = true;
	}
	return false;
}

bool line_next(struct line *l, struct span *in, struct line_cut *out)
{
	bool ended = scan(l, *in);
	bool too_long = l->skipping || l->seen > l->max || (l->seen == l->max && !ended);

	if (!ended && !too_long)
		return false;
	if (!ended) {
		*in = span_skip(*in, l->seen);
		l->seen = 0;
		l->skipping = true;
		return false;
	}
	if (too_long)
		*out = (struct line_cut){ .text = SPAN_NONE, .odd = EV_LONG_LINE };
	else
		*out = (struct line_cut){ .text = span_head(*in, l->seen - 2),
					  .odd = l->odd,
					  .high = l->high };
	*in = span_skip(*in, l->seen);
	line_init(l, l->max);
	return true;
}
