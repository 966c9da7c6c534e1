/* Rows: no value can forge a field, a line or an escape sequence. */
#include "base/bug.h"
#include "base/fields.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_clean(const struct buf *out)
{
	struct span left = buf_span(out);

	BUG_IF(out->full);
	while (left.n) {
		uint32_t code = 0;
		size_t n = utf8_first(left, &code);

		BUG_IF(n == 0 || utf8_is_control(code));
		left = span_skip(left, n);
	}
}

/* As many name=value pairs outside quotes as there are fields. */
static size_t count_pairs(struct span line)
{
	bool quoted = false;
	size_t pairs = 0;

	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == '"')
			quoted = !quoted;
		else if (line.p[i] == '=' && !quoted)
			pairs++;
	}
	BUG_IF(quoted);
	return pairs;
}

static void print(struct span row, size_t text_max)
{
	static uint8_t mem[1 << 17];
	struct span left = row;
	size_t fields = 0;
	struct field f;
	struct buf out;

	while (field_next(&left, &f))
		fields++;
	buf_init(&out, mem, sizeof(mem));
	fields_print_logfmt(row, text_max, &out);
	expect_clean(&out);
	BUG_IF(count_pairs(buf_span(&out)) != fields);
	buf_reset(&out);
	fields_print_json(row, text_max, &out);
	expect_clean(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t mem[4200];
	struct buf row;

	if (size > 4096)
		return 0;
	/* as a row, and as the text in a row of ours */
	print(span_of(data, size), size ? data[0] : 0);
	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "text", span_of(data, size));
	field_number(&row, "number", 1);
	BUG_IF(!fields_ok(buf_span(&row)));
	print(buf_span(&row), size ? data[0] : 0);
	return 0;
}
