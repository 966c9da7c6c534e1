/* Recipient files: whatever is in them, what comes out is a whole table. */
#include "app/sources.h"
#include "base/bug.h"
#include "base/list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_problem(void *arg, bool fatal, const char *text)
{
	(void)arg;
	(void)fatal;
	BUG_IF(strncmp(text, "file:", 5) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct problems problems = { .on_problem = on_problem };
	struct source src = { .file = "file", .domain = "" };
	struct table_entry e;
	struct grow out;
	struct span left;

	if (size == 0 || size > 1 << 16)
		return 0;
	src.kind = (enum table_kind)(data[0] % TABLE_KINDS);
	src.postfix = data[0] & 0x40;
	if (data[0] & 0x80)
		src.domain = "example.org";
	grow_init(&out, 1 << 22);
	BUG_IF(!grow_room(&out, 16));
	tables_begin(&out.buf);
	source_read(&src, span_of(data + 1, size - 1), &out, &problems);
	BUG_IF(out.buf.full || !tables_open(buf_span(&out.buf), &left));
	while (tables_next(&left, &e))
		BUG_IF((e.kind == TABLE_ALIAS) != (list_count(e.targets) > 0));
	grow_free(&out);
	return 0;
}
