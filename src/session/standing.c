#include "session/standing.h"

void standing_print_code(enum rule rule, const char *id, struct span contact,
			 struct buf *out)
{
	if (*id) {
		buf_byte(out, '[');
		buf_byte(out, (uint8_t)rule_table[rule].letter);
		buf_put(out, span_str(id + 1));
		buf_byte(out, ']');
	}
	if (*id && contact.n)
		buf_byte(out, ' ');
	buf_put(out, contact);
}
