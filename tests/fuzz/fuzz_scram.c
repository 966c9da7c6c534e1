/*
 * Messages of a SCRAM client: the first line is its first message, the second its last. No
 * message, however made, is a proof for keys that nobody knows, and all is bounded.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "crypt/password.h"
#include "crypt/scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct scram s;
	static const uint8_t key[32];
	struct span rest = span_of(data, n);
	bool plus = n && data[0] == 'p';
	struct span first = span_cut(&rest, '\n');
	struct scram_keys keys;
	uint8_t mem[SASL_MAX];
	struct buf out;

	BUG_IF(!password_init());
	buf_init(&out, mem, sizeof(mem));
	if (scram_read_keys(first, &keys)) {
		scram_print_keys(&keys, &out);
		BUG_IF(out.full);
		buf_reset(&out);
	}
	if (scram_first(&s, first, plus, plus) != SCRAM_GOOD)
		return 0;
	BUG_IF(s.user.n == 0 || s.user.n > sizeof(s.names));
	scram_fake_keys(key, s.user, &keys);
	BUG_IF(!scram_challenge(&s, &keys, false, SPAN("abcdefghijklmnopqrstuvwx"), &out));
	buf_reset(&out);
	BUG_IF(scram_final(&s, rest, plus ? SPAN("binding") : SPAN_NONE, &out) ==
	       SCRAM_GOOD);
	BUG_IF(out.len != 0);
	return 0;
}
