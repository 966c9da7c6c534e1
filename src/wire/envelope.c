#include "wire/envelope.h"

#include "base/number.h"
#include "base/utf8.h"
#include "wire/smtp.h"

#define SIZE_DIGITS_MAX 20 /* RFC 1870, 3 */

/* esmtp-keyword (RFC 5321, 4.1.2) */
static bool is_keyword(struct span word)
{
	for (size_t i = 0; i < word.n; i++) {
		uint8_t c = byte_lower(word.p[i]);

		if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && (c != '-' || i == 0))
			return false;
	}
	return word.n != 0;
}

struct param {
	struct span keyword, value;
	bool has_value;
};

/* False at the end of the line. */
static bool next_param(struct span *text, struct param *out)
{
	struct span word;

	*text = span_trim(*text);
	if (text->n == 0)
		return false;
	word = span_cut(text, ' ');
	out->has_value = span_find(word, '=') < word.n;
	out->keyword = span_cut(&word, '=');
	out->value = word;
	return true;
}

static enum reply take_size(const struct param *p, struct envelope_mail *out)
{
	if (out->size || p->value.n == 0 || p->value.n > SIZE_DIGITS_MAX)
		return RE_BAD_ARGUMENT;
	for (size_t i = 0; i < p->value.n; i++)
		if (p->value.p[i] < '0' || p->value.p[i] > '9')
			return RE_BAD_ARGUMENT;
	if (!number_parse(p->value, UINT64_MAX, &out->size))
		out->size = UINT64_MAX;
	return RE_NONE;
}

static enum reply take_body(const struct param *p, unsigned offers,
			    struct envelope_mail *out)
{
	if (out->body != BODY_UNSAID)
		return RE_BAD_ARGUMENT;
	if (span_eq_nocase(p->value, SPAN("7BIT")))
		out->body = BODY_7BIT;
	else if (span_eq_nocase(p->value, SPAN("8BITMIME")))
		out->body = BODY_8BITMIME;
	else if (!span_eq_nocase(p->value, SPAN("BINARYMIME")))
		return RE_BAD_ARGUMENT;
	else if (offers & SMTP_OFFERS_CHUNKING)
		out->body = BODY_BINARYMIME;
	else
		return RE_BAD_PARAMETER;
	return RE_NONE;
}

static enum reply take_flag(const struct param *p, bool *flag)
{
	if (*flag || p->has_value)
		return RE_BAD_ARGUMENT;
	*flag = true;
	return RE_NONE;
}

static enum reply take_param(const struct param *p, unsigned offers,
			     struct envelope_mail *out)
{
	if (!is_keyword(p->keyword))
		return RE_BAD_ARGUMENT;
	if (span_eq_nocase(p->keyword, SPAN("SIZE")))
		return take_size(p, out);
	if (span_eq_nocase(p->keyword, SPAN("BODY")))
		return take_body(p, offers, out);
	if (span_eq_nocase(p->keyword, SPAN("SMTPUTF8")) && (offers & SMTP_OFFERS_UTF8))
		return take_flag(p, &out->utf8);
	if (span_eq_nocase(p->keyword, SPAN("REQUIRETLS")))
		return take_flag(p, &out->requires_tls);
	return RE_BAD_PARAMETER;
}

/* The path behind FROM: or TO:, and what follows it: nothing, or a space and more. */
static bool next_path(struct span *text, struct span head, struct address *out)
{
	struct span left = *text;

	if (!span_starts_nocase(left, head))
		return false;
	left = span_skip(left, head.n);
	while (left.n && left.p[0] == ' ')
		left = span_skip(left, 1);
	if (!address_next(&left, out) || (left.n && left.p[0] != ' '))
		return false;
	*text = left;
	return true;
}

enum reply envelope_mail_parse(struct span text, unsigned offers,
			       struct envelope_mail *out)
{
	struct envelope_mail mail = { 0 };
	struct param p;

	if (!next_path(&text, SPAN("FROM:"), &mail.from) ||
	    mail.from.kind == ADDRESS_POSTMASTER)
		return RE_BAD_SENDER;
	if (!utf8_is_ascii(text))
		return RE_BAD_ARGUMENT;
	while (next_param(&text, &p)) {
		enum reply r = take_param(&p, offers, &mail);

		if (r != RE_NONE)
			return r;
	}
	if (mail.from.high && !mail.utf8)
		return RE_UTF8_NEEDED;
	*out = mail;
	return RE_NONE;
}

enum reply envelope_rcpt_parse(struct span text, bool utf8, struct address *out)
{
	struct address to = { 0 };

	if (!next_path(&text, SPAN("TO:"), &to) || to.kind == ADDRESS_NULL)
		return RE_BAD_RECIPIENT;
	if (span_trim(text).n)
		return RE_BAD_PARAMETER;
	if (to.high && !utf8)
		return RE_UTF8_NEEDED;
	*out = to;
	return RE_NONE;
}

enum reply envelope_query_check(struct span text, unsigned offers)
{
	static const struct span param = SPAN_INIT(" SMTPUTF8");

	if (utf8_is_ascii(text))
		return RE_NONE;
	if (!(offers & SMTP_OFFERS_UTF8) ||
	    !span_eq_nocase(span_tail(text, param.n), param))
		return RE_NEEDS_UTF8;
	return utf8_ok(text) ? RE_NONE : RE_BAD_ARGUMENT;
}
