/*
 * Whatever is said on the control socket, and however it is chopped: the frames are the
 * same, each is whole and printed again says the same, and the cutter comes to an end.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "base/fields.h"
#include "base/list.h"
#include "spec/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct control_frame *f)
{
	switch (f->kind) {
	case CONTROL_WORDS:
		BUG_IF(!list_ok(f->body));
		break;
	case CONTROL_A_ROW:
		BUG_IF(!fields_ok(f->body) || f->body.n > ROW_MAX);
		break;
	case CONTROL_THE_END:
		BUG_IF(f->body.n > CONTROL_TEXT_MAX);
		break;
	case CONTROL_MORE:
	case CONTROL_BAD:
		BUG_IF(f->body.n);
		break;
	}
}

/* Printed again it must be the bytes that were taken. */
static void print_again(const struct control_frame *f, struct span taken)
{
	static uint8_t mem[CONTROL_FRAME_MAX];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	if (f->kind == CONTROL_WORDS)
		control_put_words(&out, f->body);
	else if (f->kind == CONTROL_A_ROW)
		control_put_row(&out, f->body);
	else
		control_put_end(&out, f->ok, f->body);
	BUG_IF(out.full || !span_eq(buf_span(&out), taken));
}

/* All frames of the input; *end: what stopped it. How many. */
static size_t read_all(struct span in, enum control_kind *end)
{
	for (size_t n = 0;; n++) {
		struct span before = in;
		struct control_frame f = control_next(&in);

		check(&f);
		*end = f.kind;
		if (f.kind == CONTROL_MORE || f.kind == CONTROL_BAD)
			return n;
		BUG_IF(in.n >= before.n);
		print_again(&f, span_head(before, before.n - in.n));
	}
}

/* The same, with the input growing byte by byte in a piece of memory of its own size. */
static size_t read_chopped(struct span in, enum control_kind *end)
{
	size_t n = 0, taken = 0;

	*end = CONTROL_MORE;
	for (size_t have = 0; have <= in.n; have++) {
		uint8_t *mem = malloc(have - taken + 1);
		struct span part = span_of(mem + 1, have - taken);
		struct control_frame f;

		BUG_IF(!mem);
		memcpy(mem + 1, in.p + taken, part.n);
		while (f = control_next(&part),
		       f.kind != CONTROL_MORE && f.kind != CONTROL_BAD)
			n++;
		taken = have - part.n;
		free(mem);
		*end = f.kind;
		if (f.kind == CONTROL_BAD)
			break;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);
	enum control_kind end, end_chopped;

	if (size > 20000)
		return 0;
	BUG_IF(read_all(in, &end) != read_chopped(in, &end_chopped));
	BUG_IF(end != end_chopped);
	return 0;
}
