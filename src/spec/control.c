#include "spec/control.h"

#include "base/fields.h"
#include "base/list.h"

_Static_assert(ROW_MAX <= CONTROL_LINE_MAX && CONTROL_TEXT_MAX < CONTROL_LINE_MAX,
	       "CONTROL_FRAME_MAX is enough for all");

#define HEAD 5 /* length and kind */

static void put_head(struct buf *out, char kind, size_t n)
{
	size_t length = n + 1;

	for (size_t i = 0; i < 4; i++)
		buf_byte(out, (uint8_t)(length >> (8 * i)));
	buf_byte(out, (uint8_t)kind);
}

/* All of it, or nothing and a buf that is full. */
static void put_frame(struct buf *out, char kind, struct span first, struct span second)
{
	if (buf_room(out) < HEAD + first.n + second.n) {
		out->full = true;
		return;
	}
	put_head(out, kind, first.n + second.n);
	buf_put(out, first);
	buf_put(out, second);
}

void control_put_words(struct buf *out, struct span words)
{
	put_frame(out, 'C', words, SPAN_NONE);
}

void control_put_row(struct buf *out, struct span row)
{
	put_frame(out, 'R', row, SPAN_NONE);
}

void control_put_end(struct buf *out, bool ok, struct span text)
{
	uint8_t done = ok;

	put_frame(out, 'E', span_of(&done, 1), span_head(text, CONTROL_TEXT_MAX));
}

static struct control_frame bad(void)
{
	return (struct control_frame){ .kind = CONTROL_BAD };
}

static struct control_frame judge(uint8_t kind, struct span body)
{
	if (kind == 'C' && list_ok(body))
		return (struct control_frame){ .kind = CONTROL_WORDS, .body = body };
	if (kind == 'R' && body.n <= ROW_MAX && fields_ok(body))
		return (struct control_frame){ .kind = CONTROL_A_ROW, .body = body };
	if (kind == 'E' && body.n >= 1 && body.n <= CONTROL_TEXT_MAX + 1 && body.p[0] <= 1)
		return (struct control_frame){ .kind = CONTROL_THE_END,
					       .ok = body.p[0] == 1,
					       .body = span_skip(body, 1) };
	return bad();
}

struct control_frame control_next(struct span *in)
{
	struct control_frame f = { .kind = CONTROL_MORE };
	size_t length = 0;

	if (in->n < HEAD)
		return f;
	for (size_t i = 0; i < 4; i++)
		length |= (size_t)in->p[i] << (8 * i);
	if (length < 1 || length > CONTROL_LINE_MAX + 1)
		return bad();
	if (in->n < 4 + length)
		return f;
	f = judge(in->p[4], span_of(in->p + HEAD, length - 1));
	*in = span_skip(*in, 4 + length);
	return f;
}
