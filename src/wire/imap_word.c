#include "wire/imap_word.h"

#include "base/number.h"

#define ID_PAIRS_MAX 30 /* RFC 2971, 3.3 */
#define ID_FIELD_MAX 30
#define ID_VALUE_MAX 1024

/* ---- literals ----------------------------------------------------------------------- */

static bool is_digits(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
	return text.n > 0;
}

bool imap_announces(struct span line, struct imap_literal *l)
{
	size_t open = span_find_last(line, '{');
	struct span text = span_skip(line, open + 1);

	if (open == line.n || text.n < 2 || text.p[text.n - 1] != '}')
		return false;
	text.n--;
	l->waits = text.p[text.n - 1] != '+';
	if (!l->waits)
		text.n--;
	if (!is_digits(text))
		return false;
	if (!number_parse(text, INT64_MAX, &l->size))
		l->size = UINT64_MAX;
	return true;
}

/* ---- words -------------------------------------------------------------------------- */

/*
 * More than RFC 9051 has: clients say names and passwords as atoms that have % or * or a
 * backslash in them, and nobody could mean anything else by that here.
 */
static bool is_atom_byte(uint8_t c)
{
	return c > ' ' && c != 0x7f && c != '(' && c != ')' && c != '{' && c != '"';
}

static struct imap_word take_atom(struct span *text)
{
	size_t n = 0;

	while (n < text->n && is_atom_byte(text->p[n]))
		n++;
	return (struct imap_word){ n ? IMAP_WORD_ATOM : IMAP_WORD_BAD,
				   span_head(*text, n) };
}

static struct imap_word take_quoted(struct span *text)
{
	size_t i = 1;

	while (i < text->n && text->p[i] != '"' && text->p[i] != '\r') {
		bool escape = text->p[i] == '\\';
		uint8_t next = i + 1 < text->n ? text->p[i + 1] : 0;

		if (escape && next != '"' && next != '\\')
			break;
		i += escape ? 2 : 1;
	}
	if (i >= text->n || text->p[i] != '"')
		return (struct imap_word){ IMAP_WORD_BAD, SPAN_NONE };
	return (struct imap_word){ IMAP_WORD_QUOTED, span_of(text->p + 1, i - 1) };
}

/* "{5}" CRLF and five bytes. */
static struct imap_word take_literal(struct span *text)
{
	size_t line = span_find(*text, '\r');
	struct span rest = span_skip(*text, line + 2);
	struct imap_literal l;

	if (line == text->n || !imap_announces(span_head(*text, line), &l) ||
	    l.size > rest.n)
		return (struct imap_word){ IMAP_WORD_BAD, SPAN_NONE };
	return (struct imap_word){ IMAP_WORD_LITERAL, span_head(rest, (size_t)l.size) };
}

static struct imap_word take(struct span *text)
{
	switch (text->p[0]) {
	case '"':
		return take_quoted(text);
	case '{':
		return take_literal(text);
	case '(':
		return (struct imap_word){ IMAP_WORD_OPEN, span_head(*text, 1) };
	case ')':
		return (struct imap_word){ IMAP_WORD_CLOSE, span_head(*text, 1) };
	default:
		return take_atom(text);
	}
}

/* A word ends where a space, a bracket or the command does. */
static bool ends_well(struct span rest, const struct imap_word *w)
{
	return rest.n == 0 || rest.p[0] == ' ' || rest.p[0] == ')' ||
	       w->kind == IMAP_WORD_OPEN || w->kind == IMAP_WORD_CLOSE;
}

/* Cut the next word off. Spaces separate words; there may be more than one. */
static struct imap_word next(struct span *text)
{
	struct imap_word w = { .kind = IMAP_WORD_END };

	while (text->n && text->p[0] == ' ')
		*text = span_skip(*text, 1);
	if (!text->n)
		return w;
	w = take(text);
	if (w.kind == IMAP_WORD_BAD)
		return w;
	*text = span_skip(*text, (size_t)(w.text.p + w.text.n - text->p) +
					 (w.kind == IMAP_WORD_QUOTED));
	if (!ends_well(*text, &w))
		w.kind = IMAP_WORD_BAD;
	return w;
}

/* Is it a string, whichever way it is written? */
static bool is_string(const struct imap_word *w)
{
	return w->kind == IMAP_WORD_ATOM || w->kind == IMAP_WORD_QUOTED ||
	       w->kind == IMAP_WORD_LITERAL;
}

void imap_word_put(const struct imap_word *w, struct buf *out)
{
	struct span left = w->text;

	while (w->kind == IMAP_WORD_QUOTED && span_find(left, '\\') < left.n) {
		size_t at = span_find(left, '\\');

		buf_put(out, span_head(left, at));
		buf_byte(out, left.p[at + 1]);
		left = span_skip(left, at + 2);
	}
	buf_put(out, left);
}

/* ---- commands ------------------------------------------------------------------------ */

bool imap_login_parse(struct span text, struct imap_word *user, struct imap_word *secret)
{
	*user = next(&text);
	*secret = next(&text);
	return is_string(user) && is_string(secret) && next(&text).kind == IMAP_WORD_END;
}

/* What the log and the scoreboard show: as much of it as there is room for. */
static void put_printable(const struct imap_word *w, struct buf *out)
{
	for (size_t i = 0; i < w->text.n && buf_room(out) > 0; i++) {
		uint8_t c = w->text.p[i];

		if (c >= ' ' && c < 0x7f && c != '"' && c != '\\')
			buf_byte(out, c);
	}
}

static bool says(const struct imap_word *field, struct span what)
{
	return span_eq_nocase(field->text, what);
}

bool imap_id_parse(struct span text, struct buf *out)
{
	struct imap_word w = next(&text), version = { 0 }, name = { 0 };

	if (w.kind == IMAP_WORD_ATOM && says(&w, SPAN("NIL")))
		return next(&text).kind == IMAP_WORD_END;
	if (w.kind != IMAP_WORD_OPEN)
		return false;
	for (int pairs = 0; pairs <= ID_PAIRS_MAX; pairs++) {
		struct imap_word field = next(&text), value;

		if (field.kind == IMAP_WORD_CLOSE) {
			put_printable(&name, out);
			if (out->len && version.text.n && buf_room(out) > 1)
				buf_byte(out, ' ');
			put_printable(&version, out);
			return next(&text).kind == IMAP_WORD_END;
		}
		value = next(&text);
		if (!is_string(&field) || !is_string(&value) ||
		    field.text.n > ID_FIELD_MAX || value.text.n > ID_VALUE_MAX)
			return false;
		if (value.kind == IMAP_WORD_ATOM && says(&value, SPAN("NIL")))
			continue;
		if (says(&field, SPAN("name")))
			name = value;
		else if (says(&field, SPAN("version")))
			version = value;
	}
	return false;
}
