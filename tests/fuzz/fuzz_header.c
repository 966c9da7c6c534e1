/*
 * Where a header ends and how often it was received does not depend on the chopping.
 */
#include "base/bug.h"
#include "wire/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct header scan(struct span text, size_t chunk)
{
	struct header h;

	header_init(&h);
	while (text.n) {
		header_scan(&h, span_head(text, chunk));
		text = span_skip(text, chunk);
	}
	return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct header whole, chopped;

	if (size < 1)
		return 0;
	whole = scan(span_of(data + 1, size - 1), size);
	chopped = scan(span_of(data + 1, size - 1), data[0] + 1u);
	BUG_IF(whole.size > size - 1);
	BUG_IF(whole.at != chopped.at || whole.size != chopped.size);
	BUG_IF(whole.received != chopped.received || whole.inside != chopped.inside);
	return 0;
}
