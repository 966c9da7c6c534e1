/* What roles map: certificates, tables, recipients. */
#include <stdlib.h>

#include "base/bug.h"
#include "base/list.h"
#include "base/rcptmap.h"
#include "conf/certs.h"
#include "conf/tables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void blobs(struct span in)
{
	struct span left, target;
	struct table_entry e;
	struct cert c;

	if (certs_open(in, &left)) {
		while (certs_next(&left, &c))
			BUG_IF(c.name.n + c.chain.n + c.key.n > in.n);
		BUG_IF(left.n != 0);
	}
	if (tables_open(in, &left)) {
		while (tables_next(&left, &e))
			while (list_next(&e.targets, &target))
				BUG_IF(target.n > in.n);
		BUG_IF(left.n != 0);
	}
}

/* A map of any bytes under a head that is good or not: answers, and reads nothing outside. */
static void recipients(struct span in)
{
	size_t n = rcptmap_size(16);
	const uint64_t key[2] = { 1, 2 };
	uint8_t *mem = calloc(1, n);

	BUG_IF(!mem);
	rcptmap_init(mem, n, key, 1, SPAN("+"));
	memcpy(mem + 8, in.p, in.n < n - 8 ? in.n : n - 8);
	if (rcptmap_ok(mem, n)) {
		(void)rcptmap_look_up(mem, n, span_tail(in, 40));
		(void)rcptmap_look_up(mem, n, SPAN("alice+x@example.org"));
	}
	free(mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	blobs(span_of(data, size));
	recipients(span_of(data, size));
	return 0;
}
