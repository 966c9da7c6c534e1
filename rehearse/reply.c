#include "rehearse/reply.h"

#include "base/number.h"

/* replies.brace: how much of a literal's announcement the end of the line so far is */
enum { BRACE_NONE, BRACE_OPEN, BRACE_DIGITS, BRACE_CLOSED, BRACE_CR, BRACE_SKIPS };

void replies_init(struct replies *r, enum speaks speaks)
{
	*r = (struct replies){ .speaks = (uint8_t)speaks };
}

bool replies_inside(const struct replies *r)
{
	return r->column || r->more || r->brace == BRACE_SKIPS;
}

static enum reply_got whole(struct reply *out, struct span status, enum end end)
{
	out->status = status;
	out->end = end;
	return REPLY_WHOLE;
}

/* Does the text begin with one of these, and so promise a better time? (RFC 5530, 3206, 2449) */
static bool says_later(struct span text)
{
	/* clang-format off */
	static const struct span codes[] = {
		SPAN_INIT("[UNAVAILABLE]"), SPAN_INIT("[INUSE]"),  SPAN_INIT("[LIMIT]"),
		SPAN_INIT("[SYS/TEMP]"),    SPAN_INIT("[IN-USE]"), SPAN_INIT("[LOGIN-DELAY]"),
	};
	/* clang-format on */

	for (size_t i = 0; i < COUNT_OF(codes); i++)
		if (span_starts_nocase(text, codes[i]))
			return true;
	return false;
}

/* ---- SMTP ---- */

static enum reply_got smtp_line(struct replies *r, struct span line, struct reply *out)
{
	uint64_t code;

	if (line.n < 3 || !number_parse(span_head(line, 3), 599, &code) || code < 200 ||
	    (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-'))
		return REPLY_FAULT;
	r->more = line.n > 3 && line.p[3] == '-';
	if (r->more)
		return REPLY_MORE;
	out->bye = code == 421;
	return whole(out, span_head(line, 3),
		     code < 400	  ? END_DONE
		     : code < 500 ? END_LATER
				  : END_NO);
}

/* ---- IMAP ---- */

static enum reply_got imap_bye(struct reply *out)
{
	out->bye = true;
	return whole(out, SPAN("BYE"), END_LATER);
}

/* The first line of all. text: behind the star. */
static enum reply_got imap_greeting(struct span text, struct reply *out)
{
	struct span word = span_cut(&text, ' ');

	if (span_eq_nocase(word, SPAN("OK")))
		return whole(out, SPAN("OK"), END_DONE);
	if (span_eq_nocase(word, SPAN("PREAUTH")))
		return whole(out, SPAN("PREAUTH"), END_DONE);
	return span_eq_nocase(word, SPAN("BYE")) ? imap_bye(out) : REPLY_FAULT;
}

/* Nothing was asked there, but it may say goodbye, or have a literal at its end. */
static enum reply_got imap_untagged(struct replies *r, unsigned asked, struct span text,
				    struct reply *out)
{
	/* behind these is a text for people, which may end with braces too */
	static const struct span tells[] = { SPAN_INIT("OK"), SPAN_INIT("NO"),
					     SPAN_INIT("BAD"), SPAN_INIT("PREAUTH"),
					     SPAN_INIT("BYE") };
	struct span word = span_cut(&text, ' ');

	if (span_eq_nocase(word, SPAN("BYE")) && !(asked & REPLY_IS_LAST))
		return imap_bye(out);
	for (size_t i = 0; i < COUNT_OF(tells); i++)
		if (span_eq_nocase(word, tells[i]))
			return REPLY_MORE;
	if (r->brace == BRACE_CLOSED || r->brace == BRACE_CR)
		r->brace = BRACE_SKIPS;
	return REPLY_MORE;
}

static enum reply_got imap_line(struct replies *r, unsigned asked, struct span line,
				struct reply *out)
{
	struct span text = line, tag = span_cut(&text, ' '), word;
	bool greeted = r->greeted;

	r->greeted = true;
	if (span_eq(tag, SPAN("*")))
		return greeted ? imap_untagged(r, asked, text, out)
			       : imap_greeting(text, out);
	if (!greeted || tag.n == 0)
		return REPLY_FAULT;
	if (span_eq(tag, SPAN("+")))
		return whole(out, SPAN("+"), END_DONE);
	word = span_cut(&text, ' ');
	if (span_eq_nocase(word, SPAN("OK")))
		return whole(out, SPAN("OK"), END_DONE);
	if (span_eq_nocase(word, SPAN("NO")))
		return whole(out, SPAN("NO"), says_later(text) ? END_LATER : END_NO);
	if (span_eq_nocase(word, SPAN("BAD")))
		return whole(out, SPAN("BAD"), END_NO);
	return REPLY_FAULT;
}

static bool is_digit(uint8_t b)
{
	return b >= '0' && b <= '9';
}

/* {123} at the end of a line, as its bytes come. */
static void imap_braces(struct replies *r, struct span in)
{
	for (size_t i = 0; i < in.n; i++) {
		uint8_t b = in.p[i];
		bool within = r->brace == BRACE_OPEN || r->brace == BRACE_DIGITS;

		if (within && is_digit(b)) {
			uint64_t n = (uint64_t)r->literal * 10 + b - '0';

			r->literal = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
			r->brace = BRACE_DIGITS;
		} else if (r->brace == BRACE_DIGITS && b == '}') {
			r->brace = BRACE_CLOSED;
		} else if (r->brace == BRACE_CLOSED && b == '\r') {
			r->brace = BRACE_CR;
		} else {
			r->brace = b == '{' ? BRACE_OPEN : BRACE_NONE;
			r->literal = 0;
		}
	}
}

static void imap_skip(struct replies *r, struct span *in)
{
	size_t n = r->literal < in->n ? r->literal : in->n;

	*in = span_skip(*in, n);
	r->literal -= (uint32_t)n;
	if (r->literal == 0)
		r->brace = BRACE_NONE;
}

/* ---- POP3 ---- */

static enum reply_got pop3_line(struct replies *r, unsigned asked, struct span line,
				struct reply *out)
{
	static const struct span ok = SPAN_INIT("+OK"), err = SPAN_INIT("-ERR");

	if (r->more) {
		if (!span_eq(line, SPAN(".")))
			return REPLY_MORE;
		r->more = false;
		return whole(out, ok, END_DONE);
	}
	if (span_starts_nocase(line, ok)) {
		r->more = asked & REPLY_HAS_TEXT;
		return r->more ? REPLY_MORE : whole(out, ok, END_DONE);
	}
	if (span_starts_nocase(line, err))
		return whole(out, err,
			     says_later(span_trim(span_skip(line, err.n))) ? END_LATER
									   : END_NO);
	if (span_eq(line, SPAN("+")) || span_starts(line, SPAN("+ ")))
		return whole(out, SPAN("+"), END_DONE);
	return REPLY_FAULT;
}

/* ---- lines ---- */

/* The line so far, or its beginning. */
static struct span kept(const struct replies *r)
{
	return span_head(span_of(r->line, sizeof(r->line)), r->column);
}

/* Could a reply begin like this? So that what is none is known for it before its line ends. */
static bool begins_well(const struct replies *r)
{
	struct span line = kept(r);

	if (line.n == 0)
		return true;
	switch ((enum speaks)r->speaks) {
	case SPEAKS_SMTP:
		for (size_t i = 0; i < 3 && i < line.n; i++)
			if (!is_digit(line.p[i]))
				return false;
		return true;
	case SPEAKS_IMAP:
		return line.p[0] > ' ' && line.p[0] < 0x7f &&
		       (line.n < sizeof(r->line) || span_find(line, ' ') < line.n);
	case SPEAKS_POP3:
		return r->more || line.p[0] == '+' || line.p[0] == '-';
	}
	return false;
}

/* Some of a line, or all of it without its LF. False: this is no reply. */
static bool absorb(struct replies *r, struct span part)
{
	bool in_text = r->speaks == SPEAKS_POP3 && r->more;
	bool begins = r->column < sizeof(r->line);

	if (begins && part.n) {
		size_t room = sizeof(r->line) - r->column;

		memcpy(r->line + r->column, part.p, part.n < room ? part.n : room);
	}
	r->column = part.n < 255u - r->column ? (uint8_t)(r->column + part.n) : 255;
	if ((begins && !begins_well(r)) || (!in_text && span_find(part, '\0') < part.n))
		return false;
	if (r->speaks == SPEAKS_IMAP)
		imap_braces(r, part);
	return true;
}

static enum reply_got end_line(struct replies *r, unsigned asked, struct reply *out)
{
	enum reply_got got = REPLY_FAULT;
	struct span line = kept(r);

	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	out->line = line;
	switch ((enum speaks)r->speaks) {
	case SPEAKS_SMTP:
		got = smtp_line(r, line, out);
		break;
	case SPEAKS_IMAP:
		got = imap_line(r, asked, line, out);
		break;
	case SPEAKS_POP3:
		got = pop3_line(r, asked, line, out);
		break;
	}
	/* behind a literal the same line goes on */
	if (r->brace == BRACE_SKIPS)
		return got;
	r->column = 0;
	r->brace = BRACE_NONE;
	return got;
}

enum reply_got replies_next(struct replies *r, unsigned asked, struct span *in,
			    struct reply *out)
{
	*out = (struct reply){ 0 };
	while (in->n) {
		size_t n = span_find(*in, '\n');
		struct span part = span_head(*in, n);
		enum reply_got got = REPLY_MORE;
		bool ended = n < in->n;

		if (r->brace == BRACE_SKIPS) {
			imap_skip(r, in);
			continue;
		}
		*in = span_skip(*in, n + 1);
		if (!absorb(r, part))
			return REPLY_FAULT;
		if (ended)
			got = end_line(r, asked, out);
		if (got != REPLY_MORE)
			return got;
	}
	return REPLY_MORE;
}
