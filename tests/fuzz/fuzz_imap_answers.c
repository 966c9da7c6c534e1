/*
 * Where a relayed IMAP server is does not depend on the chopping; and where an answer could
 * be said, a line has ended.
 */
#include "base/bug.h"
#include "wire/imap_answers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct imap_answers see(struct span said, size_t chunk)
{
	struct imap_answers a = { 0 };

	for (; said.n; said = span_skip(said, chunk)) {
		imap_answers_see(&a, span_head(said, chunk));
		imap_answers_asked(&(struct imap_answers){ 0 }, span_head(said, chunk));
	}
	return a;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct imap_answers whole, chopped;

	if (size < 2)
		return 0;
	whole = see(span_of(data + 1, size - 1), size);
	chopped = see(span_of(data + 1, size - 1), data[0] + 1u);
	BUG_IF(whole.unsure != chopped.unsure);
	BUG_IF(imap_answers_between(&whole) != imap_answers_between(&chopped));
	BUG_IF(!whole.unsure && whole.number != chopped.number);
	BUG_IF(imap_answers_between(&whole) &&
	       (data[size - 1] != '\n' || data[size - 2] != '\r'));
	return 0;
}
