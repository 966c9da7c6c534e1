/*
 * The journal's file, damaged: whatever its bytes are, reading ends, and what is read can be
 * printed again as it was.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "spec/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_again(const struct journal_record *r, uint64_t serial, struct span was)
{
	uint8_t mem[JOURNAL_RECORD_MAX];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	journal_print(r, serial, &out);
	/* but for bits of the flags that nobody has given a meaning yet */
	BUG_IF(out.full || out.len != was.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span left = span_of(data, size), before;
	struct journal_record r;
	uint64_t serial = 0, places;

	(void)!journal_parse_page(left, &places);
	if (journal_parse_block(left, &serial))
		left = span_skip(left, JOURNAL_HEAD);
	for (before = left; journal_next(&left, serial, &r); before = left) {
		BUG_IF(left.n >= before.n || r.text.n > LOG_TEXT_MAX);
		same_again(&r, serial, span_head(before, before.n - left.n));
	}
	return 0;
}
