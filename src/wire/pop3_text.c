#include "wire/pop3_text.h"

#define STEP_ROOM 4 /* a dot, one byte, CR and LF */

static void begin_line(struct pop3_text *t)
{
	t->in_line = t->after_cr = false;
	t->blank = true;
}

void pop3_text_all(struct pop3_text *t)
{
	*t = (struct pop3_text){ .whole = true };
	begin_line(t);
}

void pop3_text_top(struct pop3_text *t, uint32_t lines)
{
	*t = (struct pop3_text){ .lines = lines };
	begin_line(t);
}

static void line_ended(struct pop3_text *t, struct buf *out)
{
	buf_put(out, t->after_cr ? SPAN("\n") : SPAN("\r\n"));
	if (t->in_body && t->lines)
		t->lines--;
	if (t->blank)
		t->in_body = true;
	begin_line(t);
	t->enough = !t->whole && t->in_body && t->lines == 0;
}

static void put_part(struct pop3_text *t, struct span part, struct buf *out)
{
	if (!t->in_line && part.p[0] == '.')
		buf_byte(out, '.');
	buf_put(out, part);
	t->after_cr = part.p[part.n - 1] == '\r';
	if (t->in_line || part.n > 1 || !t->after_cr)
		t->blank = false;
	t->in_line = true;
}

void pop3_text_put(struct pop3_text *t, struct span *in, struct buf *out)
{
	while (in->n && !t->enough && buf_room(out) >= STEP_ROOM) {
		struct span line = span_head(*in, buf_room(out) - (STEP_ROOM - 1));
		size_t lf = span_find(line, '\n');
		struct span part = span_head(line, lf);

		if (part.n)
			put_part(t, part, out);
		*in = span_skip(*in, part.n);
		if (lf == line.n)
			continue;
		line_ended(t, out);
		*in = span_skip(*in, 1);
	}
}

void pop3_text_end(struct pop3_text *t, struct buf *out)
{
	if (t->in_line)
		buf_put(out, t->after_cr ? SPAN("\n") : SPAN("\r\n"));
	buf_put(out, SPAN(".\r\n"));
	begin_line(t);
}

/* ---- sizes -------------------------------------------------------------------------- */

void pop3_size_begin(struct pop3_size *s)
{
	*s = (struct pop3_size){ .last = '\n' };
}

void pop3_size_put(struct pop3_size *s, struct span in)
{
	struct span left = in;

	if (in.n == 0)
		return;
	s->bytes += in.n;
	for (;;) {
		size_t lf = span_find(left, '\n');

		if (lf == left.n)
			break;
		if ((lf ? left.p[lf - 1] : s->last) != '\r')
			s->bytes++;
		s->last = '\n';
		left = span_skip(left, lf + 1);
	}
	s->last = in.p[in.n - 1];
}

uint64_t pop3_size_end(const struct pop3_size *s)
{
	if (s->last == '\n')
		return s->bytes;
	return s->bytes + (s->last == '\r' ? 1 : 2);
}
