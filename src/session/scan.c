#include "session/scan.h"

#include "spec/limits.h"

void scan_init(struct scan *s)
{
	*s = (struct scan){ .at_bol = true };
}

/* Is it a line of text, as RFC 5322, 2.3 has it? */
static void look_at_line(struct scan *s, uint8_t c)
{
	bool ends = c == '\n' && s->after_cr;

	if (c == '\0' || (c == '\n') != s->after_cr)
		s->odd = true;
	s->after_cr = c == '\r';
	s->line = ends ? 0 : s->line + 1;
	if (s->line > DATA_LINE_MAX - (s->after_cr ? 1 : 2))
		s->odd = true;
}

void scan_put(struct scan *s, struct span piece)
{
	for (size_t i = 0; i < piece.n; i++) {
		uint8_t c = piece.p[i];

		if (c > 0x7f && s->in_body)
			s->body = true;
		else if (c > 0x7f)
			s->header = true;
		look_at_line(s, c);
		if (c == '\n') {
			/* an empty line ends the header section */
			s->in_body = s->in_body || s->at_bol;
			s->at_bol = true;
		} else if (c != '\r') {
			s->at_bol = false;
		}
	}
}

bool scan_is_binary(const struct scan *s)
{
	return s->odd || s->line > 0;
}
