#include "wire/peer_line.h"

enum peer_line peer_line_find(size_t *seen, struct span in, size_t most, const char **why)
{
	for (; *seen < in.n; ++*seen) {
		uint8_t c = in.p[*seen];
		bool after_cr = *seen > 0 && in.p[*seen - 1] == '\r';

		if (*seen == most) {
			*why = "a line that is too long";
			return PEER_LINE_BAD;
		}
		if (after_cr != (c == '\n') || c == '\0') {
			*why = "a bare CR, a bare LF or a NUL";
			return PEER_LINE_BAD;
		}
		if (c == '\n') {
			++*seen;
			return PEER_LINE_WHOLE;
		}
	}
	return PEER_LINE_MORE;
}
