#include "wire/smtp_text.h"

static const struct span crlf = SPAN_INIT("\r\n");

/*
 * What another server could take for an end of the message: any line end (CR, LF or
 * CRLF), a dot, any line end, and NULs between them, which some servers drop. All but
 * CRLF.CRLF are somebody's idea of smuggling.
 */
enum { TELL_NOTHING, TELL_LINE_END, TELL_DOT };

static void line_ended(struct smtp *s, bool real)
{
	s->tell = TELL_LINE_END;
	s->tell_bare = !real;
	s->tell_nul = false;
	s->at_bol = real;
}

void smtp_text_begin(struct smtp *s)
{
	s->marks = 0;
	s->held_cr = false;
	s->dropping = false;
	line_ended(s, true);
}

static struct smtp_event text(const struct smtp *s, struct span t)
{
	if (s->dropping || t.n == 0)
		return (struct smtp_event){ .kind = SMTP_MORE };
	return (struct smtp_event){ .kind = SMTP_TEXT, .text = t };
}

/* A line end that is none of RFC 5321's: its CRLF if we normalise, nothing otherwise. */
static struct smtp_event bare(struct smtp *s, unsigned mark)
{
	if (s->tell == TELL_DOT)
		s->marks |= SMTP_HAS_FAKE_END;
	s->marks |= mark;
	line_ended(s, false);
	if (!(s->offers & SMTP_NORMALISES))
		s->dropping = true;
	return text(s, crlf);
}

/* The byte behind a CR that was held back, or the end of the message there. */
static struct smtp_event resolve_cr(struct smtp *s, struct span *in)
{
	s->held_cr = false;
	if (in->n == 0 || in->p[0] != '\n')
		return bare(s, SMTP_HAS_BARE_CR);
	*in = span_skip(*in, 1);
	if (s->tell == TELL_DOT && s->tell_nul)
		s->marks |= SMTP_HAS_NUL_END;
	if (s->tell == TELL_DOT && (s->tell_nul || s->tell_bare))
		s->marks |= SMTP_HAS_FAKE_END;
	if (s->marks & SMTP_HAS_NUL_END)
		s->dropping = true;
	line_ended(s, true);
	return text(s, crlf);
}

/*
 * The head of a line byte by byte, as long as it may yet look like an end. Returns how
 * many bytes that took.
 */
static size_t look_for_end(struct smtp *s, struct span in)
{
	size_t i = 0;

	for (; i < in.n && s->tell != TELL_NOTHING; i++) {
		if (in.p[i] == '\r' || in.p[i] == '\n')
			break;
		if (in.p[i] == '\0')
			s->tell_nul = true;
		else if (in.p[i] == '.' && s->tell == TELL_LINE_END)
			s->tell = TELL_DOT;
		else
			s->tell = TELL_NOTHING;
	}
	if (i)
		s->at_bol = false;
	return i;
}

/*
 * How much of the input is message that can be handed on as it is: up to an oddity, a CR
 * whose LF is not there yet, a dot at the beginning of a line, or a line that ends
 * something that looked like an end.
 */
static size_t plain_text(struct smtp *s, struct span in, bool dots)
{
	size_t n = 0;

	while (n < in.n && !(dots && s->at_bol && in.p[n] == '.')) {
		struct span rest;
		size_t lf, stop;

		n += look_for_end(s, span_skip(in, n));
		rest = span_skip(in, n);
		lf = span_find(rest, '\n');
		stop = span_find(span_head(rest, lf), '\r');
		if (lf == rest.n || stop + 1 != lf || s->tell == TELL_DOT) {
			size_t plain = stop < lf ? stop : lf;

			if (plain) {
				s->at_bol = false;
				s->tell = TELL_NOTHING;
			}
			return n + plain;
		}
		n += lf + 1;
		line_ended(s, true);
	}
	return n;
}

/* Message text from the front of *in; dots: with dots removed. */
static struct smtp_event next_text(struct smtp *s, struct span *in, bool dots)
{
	struct smtp_event ev = { .kind = SMTP_MORE };

	while (in->n && ev.kind == SMTP_MORE) {
		size_t n;

		if (s->held_cr) {
			ev = resolve_cr(s, in);
			continue;
		}
		if (dots && s->at_bol && in->p[0] == '.')
			return ev;
		n = plain_text(s, *in, dots);
		if (n) {
			ev = text(s, span_head(*in, n));
			*in = span_skip(*in, n);
		} else if (in->p[0] == '\r') {
			s->held_cr = true;
			*in = span_skip(*in, 1);
		} else {
			*in = span_skip(*in, 1);
			ev = bare(s, SMTP_HAS_BARE_LF);
		}
	}
	return ev;
}

static struct smtp_event message_end(struct smtp *s)
{
	s->asked = SMTP_BODY_END;
	return (struct smtp_event){ .kind = SMTP_END, .verb = s->asked, .marks = s->marks };
}

/* How many of the bytes .CRLF the input begins with. */
static size_t match_end(struct span in)
{
	static const uint8_t end[3] = { '.', '\r', '\n' };
	size_t n = 0;

	while (n < in.n && n < sizeof(end) && in.p[n] == end[n])
		n++;
	return n;
}

struct smtp_event smtp_body_next(struct smtp *s, struct span *in)
{
	while (true) {
		struct smtp_event ev = next_text(s, in, true);
		size_t matched;

		if (ev.kind != SMTP_MORE || in->n == 0)
			return ev;
		matched = match_end(*in);
		if (matched == 3) {
			*in = span_skip(*in, matched);
			return message_end(s);
		}
		if (matched == in->n)
			return ev; /* may yet become the end */
		*in = span_skip(*in, 1);
		s->at_bol = false;
		s->tell = TELL_DOT;
	}
}

static struct smtp_event chunk_end(struct smtp *s)
{
	struct span none = SPAN_NONE;

	if (s->last && s->held_cr) {
		struct smtp_event ev = resolve_cr(s, &none);

		if (ev.kind != SMTP_MORE)
			return ev;
	}
	if (s->last)
		return message_end(s);
	s->asked = SMTP_CHUNK_END;
	return (struct smtp_event){ .kind = SMTP_CHUNK,
				    .verb = s->asked,
				    .marks = s->marks };
}

struct smtp_event smtp_chunk_next(struct smtp *s, struct span *in)
{
	struct span mine, rest;
	struct smtp_event ev;

	if (s->left == 0)
		return chunk_end(s);
	mine = rest = span_head(*in, in->n < s->left ? in->n : (size_t)s->left);
	if (s->binary) {
		ev = text(s, mine);
		rest = span_skip(mine, mine.n);
	} else {
		ev = next_text(s, &rest, false);
	}
	*in = span_skip(*in, mine.n - rest.n);
	s->left -= mine.n - rest.n;
	if (ev.kind == SMTP_MORE && s->left == 0)
		return chunk_end(s);
	return ev;
}
