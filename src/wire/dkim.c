#include "wire/dkim.h"

#include "base/base64.h"
#include "spec/limits.h"
#include "wire/mailboxes.h"

#define COLUMNS 76

enum over {
	AS_THERE,  /* signed as often as it is there */
	OVER_SOME, /* once more, if it is there */
	OVER,	   /* once more in any case */
};

#define FROM 0

static const struct {
	struct span name;
	enum over over;
} table[] = {
	[FROM] = { SPAN_INIT("from"), OVER },
	{ SPAN_INIT("to"), OVER },
	{ SPAN_INIT("cc"), OVER },
	{ SPAN_INIT("subject"), OVER },
	{ SPAN_INIT("reply-to"), OVER },
	{ SPAN_INIT("date"), OVER_SOME },
	{ SPAN_INIT("message-id"), OVER_SOME },
	{ SPAN_INIT("sender"), OVER_SOME },
	{ SPAN_INIT("in-reply-to"), OVER_SOME },
	{ SPAN_INIT("references"), OVER_SOME },
	{ SPAN_INIT("mime-version"), OVER_SOME },
	{ SPAN_INIT("content-type"), OVER_SOME },
	{ SPAN_INIT("content-transfer-encoding"), OVER_SOME },
	{ SPAN_INIT("content-disposition"), OVER_SOME },
	{ SPAN_INIT("list-unsubscribe"), OVER_SOME },
	{ SPAN_INIT("list-unsubscribe-post"), OVER_SOME },
	/* lists and forwarders add these themselves */
	{ SPAN_INIT("list-id"), AS_THERE },
	{ SPAN_INIT("resent-from"), AS_THERE },
	{ SPAN_INIT("resent-to"), AS_THERE },
	{ SPAN_INIT("resent-date"), AS_THERE },
	{ SPAN_INIT("auto-submitted"), AS_THERE },
	{ SPAN_INIT("autocrypt"), AS_THERE },
};

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* ---- the body (RFC 6376, 3.4.4) ---------------------------------------------------------- */

void dkim_body_init(struct dkim_body *b, dkim_put *put, void *arg)
{
	*b = (struct dkim_body){ .put = put, .arg = arg };
}

static void put_ends(struct dkim_body *b)
{
	static const struct span ends = SPAN_INIT("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n");

	while (b->ends) {
		size_t n = b->ends < ends.n / 2 ? (size_t)b->ends : ends.n / 2;

		b->put(b->arg, span_head(ends, 2 * n));
		b->ends -= n;
	}
}

/* What stands in a line: what was held back comes before it. */
static void put_text(struct dkim_body *b, struct span text)
{
	put_ends(b);
	if (b->blank)
		b->put(b->arg, SPAN(" "));
	b->blank = false;
	b->any = true;
	b->put(b->arg, text);
}

static void end_line(struct dkim_body *b)
{
	b->ends++;
	b->blank = false;
}

static size_t run_of_text(struct span s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] != '\r' && !is_blank(s.p[n]))
		n++;
	return n;
}

void dkim_body(struct dkim_body *b, struct span piece)
{
	while (piece.n) {
		size_t n = run_of_text(piece);

		if (b->cr) {
			b->cr = false;
			if (piece.p[0] == '\n') {
				end_line(b);
				piece = span_skip(piece, 1);
			} else {
				put_text(b, SPAN("\r"));
			}
		} else if (n) {
			put_text(b, span_head(piece, n));
			piece = span_skip(piece, n);
		} else {
			b->cr = piece.p[0] == '\r';
			b->blank |= !b->cr;
			piece = span_skip(piece, 1);
		}
	}
}

void dkim_body_end(struct dkim_body *b)
{
	if (b->cr)
		put_text(b, SPAN("\r"));
	b->cr = false;
	/* empty lines at the end do not count, and the last one always has an end */
	if (b->any)
		b->put(b->arg, SPAN("\r\n"));
}

/* ---- the header (3.4.2, 5.4) ------------------------------------------------------------------ */

/* The next field with its continuations, without its last CRLF. */
static bool next_field(struct span *header, struct span *field)
{
	struct span left = *header;
	size_t n = 0;

	if (header->n == 0)
		return false;
	do {
		size_t at = span_find(left, '\n');

		n += at < left.n ? at + 1 : at;
		left = span_skip(*header, n);
	} while (left.n && is_blank(left.p[0]));
	*field = span_head(*header, n);
	*header = left;
	while (field->n &&
	       (field->p[field->n - 1] == '\n' || field->p[field->n - 1] == '\r'))
		field->n--;
	return true;
}

static struct span name_of(struct span field)
{
	size_t colon = span_find(field, ':');

	return colon < field.n ? span_trim(span_head(field, colon)) : SPAN_NONE;
}

static bool row_of(struct span name, uint8_t *row)
{
	for (size_t i = 0; i < COUNT_OF(table); i++)
		if (span_eq_nocase(table[i].name, name)) {
			*row = (uint8_t)i;
			return true;
		}
	return false;
}

static size_t how_often(const struct dkim_fields *f, size_t row)
{
	size_t n = 0;

	for (size_t i = 0; i < f->count; i++)
		n += f->field[i].row == row;
	return n;
}

bool dkim_fields_read(struct dkim_fields *f, struct span header)
{
	struct span field;
	uint8_t row;

	f->count = 0;
	while (next_field(&header, &field)) {
		if (!row_of(name_of(field), &row))
			continue;
		if (f->count == DKIM_FIELDS_MAX)
			return false;
		f->field[f->count].text = field;
		f->field[f->count++].row = row;
	}
	return how_often(f, FROM) == 1;
}

/* Runs of blanks and folds are one space; none at the ends. */
static void put_relaxed(struct span text, dkim_put *put, void *arg)
{
	bool blank = false, any = false;
	size_t i = 0;

	while (i < text.n) {
		size_t from = i;

		while (i < text.n && !is_blank(text.p[i]) && text.p[i] != '\r' &&
		       text.p[i] != '\n')
			i++;
		if (i == from) {
			blank = true;
			i++;
			continue;
		}
		if (blank && any)
			put(arg, SPAN(" "));
		put(arg, span_of(text.p + from, i - from));
		blank = false;
		any = true;
	}
}

static void put_field(struct span name, struct span field, dkim_put *put, void *arg)
{
	put(arg, name);
	put(arg, SPAN(":"));
	put_relaxed(span_skip(field, span_find(field, ':') + 1), put, arg);
}

void dkim_signed_put(const struct dkim_fields *f, struct span field, dkim_put *put,
		     void *arg)
{
	for (size_t row = 0; row < COUNT_OF(table); row++)
		for (size_t i = f->count; i > 0; i--)
			if (f->field[i - 1].row == row) {
				put_field(table[row].name, f->field[i - 1].text, put, arg);
				put(arg, SPAN("\r\n"));
			}
	put_field(SPAN("dkim-signature"), field, put, arg);
}

/* ---- From ---------------------------------------------------------------------------------- */

bool dkim_from_domain(const struct dkim_fields *f, struct buf *out)
{
	struct span field = SPAN_NONE, domain;
	struct address a;

	for (size_t i = 0; i < f->count; i++)
		if (f->field[i].row == FROM)
			field = f->field[i].text;
	field = span_skip(field, span_find(field, ':') + 1);
	if (mailboxes_next(&field, &a) != MAILBOX_GOT)
		return false;
	domain = address_domain(&a);
	if (domain.n == 0 || domain.p[0] == '[' || buf_room(out) < domain.n)
		return false;
	buf_put(out, domain);
	return true;
}

/* ---- the field --------------------------------------------------------------------------------- */

/* The next word of a list that colons separate, in a new line if it is too long for this. */
static void put_name(struct span name, size_t *at, struct buf *out)
{
	if (*at && *at + 1 + name.n > COLUMNS) {
		buf_put(out, SPAN(":\r\n\t"));
		*at = 8;
	} else if (*at) {
		buf_byte(out, ':');
		*at += 1;
	}
	*at = (*at ? *at : 10) + name.n;
	buf_put(out, name);
}

void dkim_print(const struct dkim_signature *s, const struct dkim_fields *f,
		struct buf *out)
{
	size_t at = 0;

	buf_fmt(out, "DKIM-Signature: v=1; a=%s; c=relaxed/relaxed;\r\n\td=%s;\r\n\ts=%s;",
		s->algorithm, s->domain, s->selector);
	if (s->time > 0)
		buf_fmt(out, " t=%lld;", (long long)s->time);
	if (s->expires > 0)
		buf_fmt(out, " x=%lld;", (long long)s->expires);
	buf_put(out, SPAN("\r\n\th="));
	for (size_t row = 0; row < COUNT_OF(table); row++) {
		size_t n = how_often(f, row);

		n += table[row].over == OVER || (table[row].over == OVER_SOME && n);
		while (n-- > 0)
			put_name(table[row].name, &at, out);
	}
	buf_put(out, SPAN(";\r\n\tbh="));
	base64_print(s->body_hash, out);
	buf_put(out, SPAN(";\r\n\tb="));
}

void dkim_finish(struct span signature, struct buf *out)
{
	uint8_t mem[SIGNATURE_MAX * 4 / 3 + 8];
	struct span text;
	struct buf b;
	size_t n = COLUMNS - 10;

	buf_init(&b, mem, sizeof(mem));
	base64_print(span_head(signature, SIGNATURE_MAX), &b);
	for (text = buf_span(&b); text.n; text = span_skip(text, n), n = COLUMNS - 8) {
		if (text.p != b.mem)
			buf_put(out, SPAN("\r\n\t"));
		buf_put(out, span_head(text, n));
	}
	buf_put(out, SPAN("\r\n"));
}
