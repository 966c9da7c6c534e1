/* What a Dovecot may say, line by line: a compromised one is only a source of wrong answers. */
#include <stdlib.h>

#include "auth/dovecot_reply.h"
#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span rest = span_of(data, n);

	while (rest.n) {
		struct span line = span_cut(&rest, '\n');
		struct dovecot_reply r = dovecot_reply(line);

		BUG_IF(r.kind > DOVECOT_BROKEN);
		BUG_IF(r.name.n &&
		       (r.name.p < line.p || r.name.p + r.name.n > line.p + line.n));
		BUG_IF(r.temporary && r.kind != DOVECOT_OK && r.kind != DOVECOT_FAIL);
	}
	return 0;
}
