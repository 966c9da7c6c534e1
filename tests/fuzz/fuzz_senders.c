/*
 * Rewritten senders: what goes out is an address and comes back as it was; nothing that
 * was not made with our key is taken.
 */
#include "base/bug.h"
#include "wire/address.h"
#include "wire/batv.h"
#include "wire/srs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint64_t key[2] = { 1, 2 };

static void check_address(const struct buf *b)
{
	struct address a;

	BUG_IF(b->full || !address_parse(buf_span(b), &a));
	BUG_IF(!span_eq(address_span(&a), buf_span(b)));
}

static void forward(struct span sender)
{
	uint8_t one[ADDRESS_MAX], two[ADDRESS_MAX];
	struct buf out, back;

	buf_init(&out, one, sizeof(one));
	buf_init(&back, two, sizeof(two));
	if (srs_forward(key, sender, SPAN("us.example"), 1, &out)) {
		check_address(&out);
		BUG_IF(!srs_is(buf_span(&out)));
		BUG_IF(!srs_reverse(key, buf_span(&out), 1, &back));
		BUG_IF(!srs_is(sender) && !span_eq(buf_span(&back), sender));
	}
	buf_reset(&out);
	buf_reset(&back);
	if (batv_tag(key, 7, sender, 1, &out)) {
		check_address(&out);
		BUG_IF(batv_number(buf_span(&out)) != 7);
		BUG_IF(batv_check(key, buf_span(&out), 1, &back) != BATV_GOOD);
		BUG_IF(!span_eq(buf_span(&back), sender));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size);
	uint8_t mem[ADDRESS_MAX];
	struct buf out;
	struct address a;

	buf_init(&out, mem, sizeof(mem));
	/* a hash of 40 bits is not met by chance, and no key is in the input */
	BUG_IF(srs_reverse(key, text, 1, &out) || out.len);
	if (batv_check(key, text, 1, &out) == BATV_NONE)
		BUG_IF(!out.full && !span_eq(buf_span(&out), text));
	if (address_parse(text, &a))
		forward(address_span(&a));
	return 0;
}
