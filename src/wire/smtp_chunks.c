#include "wire/smtp_chunks.h"

void smtp_chunks_init(struct smtp_chunks *c, bool binary)
{
	c->binary = binary;
	smtp_dots_init(&c->text);
	c->text.undotted = true;
}

/* How long it is stands before it, and is known behind it: it is made further on. */
static struct buf behind_head(const struct buf *out)
{
	struct buf text;

	buf_init(&text, out->mem + out->len + SMTP_CHUNK_HEAD,
		 buf_room(out) - SMTP_CHUNK_HEAD);
	return text;
}

static void put_chunk(const struct buf *text, bool last, struct buf *out)
{
	buf_put(out, SPAN("BDAT "));
	buf_number(out, text->len);
	buf_put(out, last ? SPAN(" LAST\r\n") : SPAN("\r\n"));
	memmove(out->mem + out->len, text->mem, text->len);
	out->len += text->len;
}

void smtp_chunks_put(struct smtp_chunks *c, struct span *in, struct buf *out)
{
	struct buf text;

	if (buf_room(out) < SMTP_CHUNK_HEAD + 4)
		return;
	text = behind_head(out);
	if (c->binary) {
		buf_put(&text, span_head(*in, text.cap));
		*in = span_skip(*in, text.len);
	} else {
		smtp_dots_put(&c->text, in, &text);
	}
	put_chunk(&text, false, out);
}

void smtp_chunks_end(struct smtp_chunks *c, struct buf *out)
{
	struct buf text = behind_head(out);

	if (!c->binary)
		smtp_dots_end(&c->text, &text);
	put_chunk(&text, true, out);
}
