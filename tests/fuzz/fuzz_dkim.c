/*
 * The relaxed form of a body does not depend on the chopping, is a fixed point, and the
 * fields that are signed hold no bare ends of lines.
 */
#include "base/bug.h"
#include "wire/dkim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t one_mem[1 << 20], two_mem[1 << 20];

static void put(void *arg, struct span bytes)
{
	buf_put(arg, bytes);
}

static void relax(struct span text, size_t chunk, struct buf *out)
{
	struct dkim_body b;

	dkim_body_init(&b, put, out);
	for (; text.n; text = span_skip(text, chunk))
		dkim_body(&b, span_head(text, chunk));
	dkim_body_end(&b);
}

static void header(struct span text)
{
	const struct dkim_signature s = { "rsa-sha256", "d.example", "s", SPAN("h"), 1, 2 };
	struct dkim_fields f;
	struct buf out;

	if (!dkim_fields_read(&f, text))
		return;
	buf_init(&out, one_mem, sizeof(one_mem));
	if (dkim_from_domain(&f, &out))
		for (size_t i = 0; i < out.len; i++)
			/* in whichever letters it was written: it is converted behind this */
			BUG_IF(out.mem[i] <= ' ' || out.mem[i] == '/' ||
			       out.mem[i] == 0x7f);
	buf_reset(&out);
	dkim_signed_put(&f, SPAN("DKIM-Signature: b="), put, &out);
	for (size_t i = 0; i < out.len; i++) {
		BUG_IF(out.mem[i] == '\t');
		BUG_IF(out.mem[i] == '\r' && (i + 1 == out.len || out.mem[i + 1] != '\n'));
		BUG_IF(out.mem[i] == '\n' && (i == 0 || out.mem[i - 1] != '\r'));
	}
	buf_reset(&out);
	dkim_print(&s, &f, &out);
	BUG_IF(out.full || out.len > 2048);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size);
	struct buf one, two;

	if (size < 1 || size > sizeof(one_mem) / 4)
		return 0;
	text = span_skip(text, 1);
	buf_init(&one, one_mem, sizeof(one_mem));
	buf_init(&two, two_mem, sizeof(two_mem));
	relax(text, size, &one);
	relax(text, data[0] + 1u, &two);
	BUG_IF(one.len != two.len || memcmp(one.mem, two.mem, one.len) != 0);
	BUG_IF(one.len > text.n + 2);
	buf_reset(&two);
	relax(buf_span(&one), size, &two);
	BUG_IF(one.len != two.len || memcmp(one.mem, two.mem, one.len) != 0);
	header(text);
	return 0;
}
