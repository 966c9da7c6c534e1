#include "wire/envelope.h"

#include <inttypes.h>

#include "base/bug.h"
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
	else if (offers & SMTP_OFFERS_BINARY)
		out->body = BODY_BINARYMIME;
	else
		return RE_BAD_PARAMETER;
	return RE_NONE;
}

/* ---- what the sender wants to be told (RFC 3461) ----------------------------------- */

static bool is_upper_hex(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

/* xtext (4): printable, but "+" and "=", which are +2B and +3D. */
static bool is_xtext(struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];

		if (c <= ' ' || c >= 0x7f || c == '=')
			return false;
		if (c != '+')
			continue;
		if (i + 2 >= text.n || !is_upper_hex(text.p[i + 1]) ||
		    !is_upper_hex(text.p[i + 2]))
			return false;
		i += 2;
	}
	return text.n != 0;
}

static enum reply take_ret(const struct param *p, struct envelope_mail *out)
{
	if (out->ret != RET_UNSAID)
		return RE_BAD_ARGUMENT;
	if (span_eq_nocase(p->value, SPAN("FULL")))
		out->ret = RET_FULL;
	else if (span_eq_nocase(p->value, SPAN("HDRS")))
		out->ret = RET_HDRS;
	else
		return RE_BAD_ARGUMENT;
	return RE_NONE;
}

static enum reply take_envid(const struct param *p, struct envelope_mail *out)
{
	if (out->envid.n || p->value.n > ENVID_MAX || !is_xtext(p->value))
		return RE_BAD_ARGUMENT;
	out->envid = p->value;
	return RE_NONE;
}

/* NEVER, or a list of the others, each once (4.1). */
static enum reply take_notify(const struct param *p, struct envelope_rcpt *out)
{
	static const char *const words[] = { "SUCCESS", "FAILURE", "DELAY" };
	struct span list = p->value;
	unsigned said = 0;

	if (out->notify.n || list.n == 0 || list.p[list.n - 1] == ',')
		return RE_BAD_ARGUMENT;
	while (list.n && !span_eq_nocase(p->value, SPAN("NEVER"))) {
		struct span word = span_cut(&list, ',');
		unsigned bit = 0;

		for (unsigned i = 0; i < COUNT_OF(words); i++)
			if (span_eq_nocase(word, span_str(words[i])))
				bit = 1u << i;
		if (!bit || said & bit)
			return RE_BAD_ARGUMENT;
		said |= bit;
	}
	out->notify = p->value;
	return RE_NONE;
}

void envelope_orcpt_print(struct span orcpt, struct buf *out)
{
	while (orcpt.n) {
		uint32_t code = 0;
		size_t n = utf8_first(orcpt, &code);

		BUG_IF(n == 0);
		if (n == 1)
			buf_byte(out, orcpt.p[0]);
		else
			buf_fmt(out, "\\x{%" PRIX32 "}", code);
		orcpt = span_skip(orcpt, n);
	}
}

/* Is it xtext, but for what is not ASCII? */
static bool is_unitext(struct span text)
{
	uint8_t mem[3 * ORCPT_MAX];
	struct buf ascii;

	buf_init(&ascii, mem, sizeof(mem));
	envelope_orcpt_print(text, &ascii);
	return is_xtext(buf_span(&ascii));
}

/* A type, a semicolon, an address in xtext (4.2); of type utf-8 it may be that (RFC 6533). */
static enum reply take_orcpt(const struct param *p, bool utf8, struct envelope_rcpt *out)
{
	struct span address = p->value, type = span_cut(&address, ';');
	bool high = !utf8_is_ascii(address);

	if (out->orcpt.n || p->value.n > ORCPT_MAX || !is_keyword(type))
		return RE_BAD_ARGUMENT;
	if (high && (!utf8 || !utf8_ok(address) || !span_eq_nocase(type, SPAN("utf-8"))))
		return RE_BAD_ARGUMENT;
	if (!is_unitext(address))
		return RE_BAD_ARGUMENT;
	out->orcpt = p->value;
	return RE_NONE;
}

static enum reply take_rcpt_param(const struct param *p, unsigned offers, bool utf8,
				  struct envelope_rcpt *out)
{
	if (!(offers & SMTP_OFFERS_DSN))
		return RE_BAD_PARAMETER;
	if (!is_keyword(p->keyword))
		return RE_BAD_ARGUMENT;
	if (span_eq_nocase(p->keyword, SPAN("NOTIFY")))
		return take_notify(p, out);
	if (span_eq_nocase(p->keyword, SPAN("ORCPT")))
		return take_orcpt(p, utf8, out);
	return RE_BAD_PARAMETER;
}

/* ---- MAIL -------------------------------------------------------------------------- */

static enum reply take_flag(const struct param *p, bool *flag)
{
	if (*flag || p->has_value)
		return RE_BAD_ARGUMENT;
	*flag = true;
	return RE_NONE;
}

/* Who is said to have sent it first: nobody whom we would believe that (RFC 4954, 5). */
static enum reply take_auth(const struct param *p, struct envelope_mail *out)
{
	if (out->auth || !is_xtext(p->value))
		return RE_BAD_ARGUMENT;
	out->auth = true;
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
	if (span_eq_nocase(p->keyword, SPAN("AUTH")) && (offers & SMTP_KNOWS_AUTH))
		return take_auth(p, out);
	if (!(offers & SMTP_OFFERS_DSN))
		return RE_BAD_PARAMETER;
	if (span_eq_nocase(p->keyword, SPAN("RET")))
		return take_ret(p, out);
	if (span_eq_nocase(p->keyword, SPAN("ENVID")))
		return take_envid(p, out);
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

enum reply envelope_rcpt_parse(struct span text, unsigned offers, bool utf8,
			       struct envelope_rcpt *out)
{
	struct envelope_rcpt rcpt = { 0 };
	struct param p;

	if (!next_path(&text, SPAN("TO:"), &rcpt.to) || rcpt.to.kind == ADDRESS_NULL)
		return RE_BAD_RECIPIENT;
	while (next_param(&text, &p)) {
		enum reply r = take_rcpt_param(&p, offers, utf8, &rcpt);

		if (r != RE_NONE)
			return r;
	}
	if (rcpt.to.high && !utf8)
		return RE_UTF8_NEEDED;
	*out = rcpt;
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
