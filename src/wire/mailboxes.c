#include "wire/mailboxes.h"

#include "base/buf.h"

/* An address with brackets; a display name may be longer, and is not kept whole. */
#define GATHERED_MAX (ADDRESS_MAX + 2)

struct reader {
	struct span left;
	struct span domain; /* of names that have none; empty: they are BAD */
	uint8_t mem[GATHERED_MAX];
	struct buf text; /* what may be an address: without comments, blanks as one */
	bool blank;	 /* one is due before the next byte */
	bool bad;
};

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void forget(struct reader *r)
{
	buf_reset(&r->text);
	r->blank = false;
}

static void gather(struct reader *r, uint8_t c)
{
	if (r->blank && r->text.len && r->text.mem[r->text.len - 1] != '<')
		buf_byte(&r->text, ' ');
	r->blank = false;
	buf_byte(&r->text, c);
}

static uint8_t take(struct reader *r)
{
	uint8_t c = r->left.p[0];

	r->left = span_skip(r->left, 1);
	return c;
}

/* Behind its "(": comments may be in comments. */
static void skip_comment(struct reader *r)
{
	size_t depth = 1;

	while (depth && r->left.n) {
		uint8_t c = take(r);

		if (c == '\\' && r->left.n)
			(void)take(r);
		else if (c == '(')
			depth++;
		else if (c == ')')
			depth--;
	}
	r->bad |= depth > 0;
	r->blank = true;
}

/* Behind its first quote. */
static void take_quoted(struct reader *r)
{
	uint8_t c = '"';

	gather(r, c);
	do {
		if (!r->left.n) {
			r->bad = true;
			return;
		}
		c = take(r);
		gather(r, c);
		if (c == '\\' && r->left.n) {
			gather(r, take(r));
			c = 0;
		}
	} while (c != '"');
}

/* Up to one of those bytes, which is taken, too; 0: there is none. */
static uint8_t gather_until(struct reader *r, const char *ends)
{
	while (r->left.n && !r->bad) {
		uint8_t c = take(r);

		if (c && strchr(ends, c))
			return c;
		if (c == '(')
			skip_comment(r);
		else if (c == '"')
			take_quoted(r);
		else if (is_blank(c))
			r->blank = true;
		else
			gather(r, c);
	}
	return 0;
}

/* A name alone may be one of that domain. */
static void qualify(struct reader *r)
{
	if (!r->domain.n || span_find(buf_span(&r->text), '@') < r->text.len)
		return;
	buf_byte(&r->text, '@');
	buf_put(&r->text, r->domain);
}

static enum mailbox_got bare(struct reader *r, struct address *out)
{
	qualify(r);
	return !r->text.full && address_parse(buf_span(&r->text), out) ? MAILBOX_GOT
								       : MAILBOX_BAD;
}

/* Behind its "<". What follows up to the next one belongs to it, and must be nothing. */
static enum mailbox_got in_brackets(struct reader *r, struct address *out)
{
	struct span path;

	forget(r);
	gather(r, '<');
	if (gather_until(r, ">") != '>')
		return MAILBOX_BAD;
	qualify(r);
	r->blank = false;
	gather(r, '>');
	path = buf_span(&r->text);
	if (r->text.full || !address_next(&path, out) || path.n ||
	    out->kind != ADDRESS_MAILBOX)
		return MAILBOX_BAD;
	forget(r);
	(void)gather_until(r, ",;");
	return r->text.len || r->bad ? MAILBOX_BAD : MAILBOX_GOT;
}

static enum mailbox_got next(struct reader *r, struct address *out)
{
	while (r->left.n) {
		uint8_t end;

		forget(r);
		end = gather_until(r, "<,;:");
		if (r->bad)
			return MAILBOX_BAD;
		if (end == '<')
			return in_brackets(r, out);
		if (end != ':' && r->text.len)
			return bare(r, out);
	}
	return MAILBOX_END;
}

enum mailbox_got mailboxes_next(struct span *in, struct address *out)
{
	return mailboxes_next_at(in, SPAN_NONE, out);
}

enum mailbox_got mailboxes_next_at(struct span *in, struct span domain,
				   struct address *out)
{
	struct reader r = { .left = *in, .domain = domain };
	enum mailbox_got got;

	buf_init(&r.text, r.mem, sizeof(r.mem));
	got = next(&r, out);
	*in = r.left;
	return got;
}
