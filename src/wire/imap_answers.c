#include "wire/imap_answers.h"

#define COMPRESS "COMPRESS DEFLATE\r\n"

enum at {
	AT_BEGINNING, /* of a line */
	AT_TEXT,
	AT_NUMBER,  /* behind '{' and digits, if any */
	AT_BRACE,   /* behind "{n}" */
	AT_CR,	    /* only LF may come */
	AT_LITERAL, /* likewise, and it opens a literal */
	AT_INSIDE,  /* number bytes are to come */
};

static uint8_t in_text(struct imap_answers *a, uint8_t b)
{
	if (b == '\r')
		return AT_CR;
	if (b != '{')
		return AT_TEXT;
	a->number = 0;
	return AT_NUMBER;
}

static uint8_t in_number(struct imap_answers *a, uint8_t b)
{
	if (b == '}')
		return AT_BRACE;
	if (b < '0' || b > '9')
		return in_text(a, b);
	/* RFC 9051, 4: a number64 has 63 bits */
	if (a->number > (INT64_MAX - 9) / 10)
		a->unsure = true;
	else
		a->number = a->number * 10 + (b - '0');
	return AT_NUMBER;
}

static uint8_t step(struct imap_answers *a, uint8_t b)
{
	/* what is compressed has such bytes: each flush ends with 00 00 FF FF (RFC 1951, 3.2.4) */
	if ((b < ' ' && b != '\t' && b != '\r' && b != '\n') ||
	    (b == '\n') != (a->at == AT_CR || a->at == AT_LITERAL)) {
		a->unsure = true;
		return AT_TEXT;
	}
	switch ((enum at)a->at) {
	case AT_BEGINNING:
	case AT_TEXT:
	case AT_INSIDE:
		return in_text(a, b);
	case AT_NUMBER:
		return in_number(a, b);
	case AT_BRACE:
		return b == '\r' ? AT_LITERAL : in_text(a, b);
	case AT_CR:
		return AT_BEGINNING;
	case AT_LITERAL:
		break;
	}
	return AT_INSIDE;
}

void imap_answers_see(struct imap_answers *a, struct span said)
{
	while (said.n && !a->unsure) {
		if (a->at == AT_INSIDE && a->number) {
			size_t n = a->number < said.n ? (size_t)a->number : said.n;

			a->number -= n;
			said = span_skip(said, n);
			continue;
		}
		a->at = step(a, said.p[0]);
		said = span_skip(said, 1);
	}
}

void imap_answers_asked(struct imap_answers *a, struct span said)
{
	const struct span compress = SPAN(COMPRESS);

	if (span_eq_nocase(span_tail(said, compress.n), compress))
		a->unsure = true;
}

void imap_answers_missed(struct imap_answers *a)
{
	a->unsure = true;
}

bool imap_answers_between(const struct imap_answers *a)
{
	return !a->unsure && a->at == AT_BEGINNING;
}
