#include "session/scan.h"

void scan_init(struct scan *s)
{
	*s = (struct scan){ .at_bol = true };
}

void scan_put(struct scan *s, struct span piece)
{
	for (size_t i = 0; i < piece.n; i++) {
		uint8_t c = piece.p[i];

		if (c > 0x7f && s->in_body)
			s->body = true;
		else if (c > 0x7f)
			s->header = true;
		if (c == '\n') {
			/* an empty line ends the header section */
			s->in_body = s->in_body || s->at_bol;
			s->at_bol = true;
		} else if (c != '\r') {
			s->at_bol = false;
		}
	}
}
