#include "wire/dsn_inner.h"

#include "base/utf8.h"

#define COLUMNS	     72
#define ANSWER_MAX   400 /* of a remote server, in each of the two parts */
#define LINE_LONGEST 990 /* RFC 5322, 2.1.1, less what a fold adds */

void dsn_put_safe(struct span text, bool utf8, struct buf *out)
{
	while (text.n) {
		uint32_t code;
		size_t n = utf8_first(text, &code);
		bool fine = n == 1 ? code >= ' ' && code < 0x7f
				   : n > 1 && utf8 && !utf8_is_control(code);

		n = n ? n : 1;
		if (fine)
			buf_put(out, span_head(text, n));
		else
			buf_byte(out, text.p[0] == '\t' ? ' ' : '?');
		text = span_skip(text, n);
	}
}

void dsn_put_words(struct span text, bool utf8, const char *indent, size_t at,
		   struct buf *out)
{
	bool first = true;

	text = span_head(text, ANSWER_MAX);
	while (text.n) {
		struct span word = span_cut(&text, ' ');

		if (word.n == 0)
			continue;
		if (!first && at + 1 + word.n > COLUMNS) {
			buf_put(out, SPAN("\r\n"));
			buf_put(out, span_str(indent));
			at = strlen(indent);
		} else if (!first) {
			buf_byte(out, ' ');
			at++;
		}
		dsn_put_safe(word, utf8, out);
		at += word.n;
		first = false;
	}
}

/* ---- the message that it is about ----------------------------------------------------------- */

/* The next line without its CRLF; false if there is no whole one. */
static bool next_line(struct span *text, struct span *line)
{
	size_t n = 0;

	while (n + 1 < text->n && !(text->p[n] == '\r' && text->p[n + 1] == '\n'))
		n++;
	if (n + 1 >= text->n)
		return false;
	*line = span_head(*text, n);
	*text = span_skip(*text, n + 2);
	return true;
}

bool dsn_is_lines(struct span text)
{
	struct span line;

	while (next_line(&text, &line))
		if (line.n > LINE_LONGEST + 8 || span_find(line, '\0') < line.n ||
		    span_find(line, '\r') < line.n || span_find(line, '\n') < line.n)
			return false;
	return text.n == 0;
}

/* One line of its header; what is too long is folded. */
static void put_header_line(struct span line, bool utf8, struct buf *out)
{
	while (line.n > LINE_LONGEST) {
		struct span head = utf8_head(line, LINE_LONGEST);

		head = head.n ? head : span_head(line, LINE_LONGEST);
		dsn_put_safe(head, utf8, out);
		buf_put(out, SPAN("\r\n "));
		line = span_skip(line, head.n);
	}
	dsn_put_safe(line, utf8, out);
	buf_put(out, SPAN("\r\n"));
}

void dsn_put_header(const struct dsn *d, size_t room, struct buf *out)
{
	struct span text = d->message, line;
	size_t end = out->len + room;

	while (next_line(&text, &line) && line.n) {
		size_t before = out->len;

		put_header_line(line, d->utf8, out);
		if (out->full || out->len > end) {
			out->full = false;
			out->len = before;
			return;
		}
	}
}

struct span dsn_message_id(struct span text)
{
	static const struct span name = SPAN_INIT("message-id:");
	struct span line, id;

	while (next_line(&text, &line) && line.n) {
		if (!span_starts_nocase(line, name))
			continue;
		id = span_trim(span_skip(line, name.n));
		if (id.n < 5 || id.n > 250 || id.p[0] != '<' || id.p[id.n - 1] != '>')
			return SPAN_NONE;
		for (size_t i = 1; i + 1 < id.n; i++)
			if (id.p[i] <= ' ' || id.p[i] >= 0x7f || id.p[i] == '<' ||
			    id.p[i] == '>')
				return SPAN_NONE;
		return id;
	}
	return SPAN_NONE;
}
