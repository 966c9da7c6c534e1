#include "io/idn.h"

#include <dlfcn.h>
#include <idn2.h>

#include "base/letters.h"
#include "spec/limits.h"

/* With the number of its ABI. */
#define LIBRARY	  "libidn2.so.0"
#define LABEL_MAX 63
#define NAME_MAX  253 /* as text; RFC 1035, 2.3.4 counts 255 bytes of another form */

#define NOT_THERE "the library for such names cannot be loaded"
#define TOO_LONG \
	"it is too long: a label has at most 63 characters in the DNS, a name 253"

struct library {
	void *handle;
	__typeof__(&idn2_lookup_u8) lookup;
	__typeof__(&idn2_to_unicode_8z8z) letters;
	__typeof__(&idn2_free) free;
};

/* POSIX says that the address of a function fits into a void *, C does not. */
static bool find(const struct library *l, const char *name, void *out)
{
	void *found = dlsym(l->handle, name);

	if (found)
		memcpy(out, &found, sizeof(found));
	return found != NULL;
}

/* Cheap, and no file is touched, if it is in memory already: NODELETE keeps it there. */
static bool take(struct library *l)
{
	l->handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!l->handle)
		return false;
	if (find(l, "idn2_lookup_u8", &l->lookup) &&
	    find(l, "idn2_to_unicode_8z8z", &l->letters) && find(l, "idn2_free", &l->free))
		return true;
	dlclose(l->handle);
	return false;
}

bool idn_open(struct err *err)
{
	struct library l;

	if (!take(&l))
		return err_set(err, LIBRARY " cannot be loaded");
	dlclose(l.handle);
	return true;
}

/* ---- one label ----------------------------------------------------------------------------- */

static bool is_ascii(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] >= 0x80)
			return false;
	return true;
}

/* Does it say of itself that it stands for something else (RFC 5890, 2.3.1)? */
static bool is_encoded(struct span label)
{
	return span_starts_nocase(label, SPAN("xn--"));
}

static const char *why_not(int rc)
{
	switch (rc) {
	case IDN2_MALLOC:
		return "memory is short";
	case IDN2_PUNYCODE_BIG_OUTPUT:
	case IDN2_TOO_BIG_LABEL:
	case IDN2_TOO_BIG_DOMAIN:
		return TOO_LONG;
	case IDN2_BIDI:
		return "letters of both directions are mixed (RFC 5893)";
	case IDN2_PUNYCODE_BAD_INPUT:
	case IDN2_PUNYCODE_OVERFLOW:
	case IDN2_INVALID_ALABEL:
	case IDN2_ALABEL_ROUNDTRIP_FAILED:
		return "what begins with xn-- is no A-label";
	case IDN2_ENCODING_ERROR:
		return "it is not UTF-8";
	default:
		return "it has characters, or an order of them, that domains may not have";
	}
}

/* It can be decoded, but what it stands for breaks a rule that is not for us to enforce. */
static bool is_decodable(int rc)
{
	return rc <= IDN2_NOT_NFC && rc != IDN2_ALABEL_ROUNDTRIP_FAILED;
}

/* Upper case, letters of other widths, and so on, become what they stand for (RFC 5895). */
static const char *put_label(const struct library *l, struct span label, struct buf *out)
{
	uint8_t text[DOMAIN_MAX + 1] = { 0 }, *ascii = NULL;
	struct buf lower;
	int rc;

	buf_init(&lower, text, DOMAIN_MAX);
	buf_put_lower(&lower, label);
	if (lower.full || span_find(label, '\0') < label.n)
		return TOO_LONG;
	rc = l->lookup(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (rc == IDN2_OK) {
		buf_put(out, span_str((const char *)ascii));
		l->free(ascii);
		return NULL;
	}
	if (!is_ascii(label) || !is_encoded(label) || !is_decodable(rc))
		return why_not(rc);
	buf_put(out, buf_span(&lower));
	return NULL;
}

/* ---- all of them --------------------------------------------------------------------------- */

static bool is_name_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* A full stop may come out of a letter, and with it a label without anything in it. */
static const char *judge(struct span name)
{
	if (name.n > NAME_MAX)
		return TOO_LONG;
	do {
		size_t n = span_find(name, '.');

		if (n == 0 || n + 1 == name.n)
			return "a label is empty";
		if (n > LABEL_MAX)
			return TOO_LONG;
		for (size_t i = 0; i < n; i++)
			if (!is_name_byte(name.p[i]))
				return "it has characters that domains may not have";
		name = span_skip(name, n + 1);
	} while (name.n);
	return NULL;
}

static const char *put_labels(const struct library *l, struct span domain, struct buf *out)
{
	while (domain.n) {
		struct span label = span_cut(&domain, '.');
		const char *why = NULL;

		if (is_ascii(label) && !is_encoded(label))
			buf_put_lower(out, label);
		else
			why = put_label(l, label, out);
		if (why)
			return why;
		if (domain.n)
			buf_byte(out, '.');
	}
	return out->full ? TOO_LONG : judge(buf_span(out));
}

static bool is_plain(struct span domain)
{
	if (!is_ascii(domain))
		return false;
	while (domain.n)
		if (is_encoded(span_cut(&domain, '.')))
			return false;
	return true;
}

const char *idn_domain(struct span domain, struct buf *out)
{
	uint8_t mem[DOMAIN_MAX];
	struct library l;
	const char *why;
	struct buf name;

	if (is_plain(domain)) {
		buf_put_lower(out, domain);
		return out->full ? TOO_LONG : NULL;
	}
	if (!take(&l))
		return NOT_THERE;
	buf_init(&name, mem, sizeof(mem));
	why = put_labels(&l, domain, &name);
	dlclose(l.handle);
	if (why)
		return why;
	buf_put(out, buf_span(&name));
	return out->full ? TOO_LONG : NULL;
}

const char *idn_address(struct span address, struct buf *out)
{
	size_t at = span_find_last(address, '@') + 1;

	buf_put(out, span_head(address, at));
	return at < address.n ? idn_domain(span_skip(address, at), out) : NULL;
}

const char *idn_host(struct span host, struct buf *out)
{
	size_t colon = span_find_last(host, ':');
	const char *why;

	if (is_plain(span_head(host, colon))) {
		buf_put(out, host);
		return out->full ? TOO_LONG : NULL;
	}
	why = idn_domain(span_head(host, colon), out);
	if (!why)
		buf_put(out, span_skip(host, colon));
	return !why && out->full ? TOO_LONG : why;
}

/* ---- for people ---------------------------------------------------------------------------- */

/* False: it stands for nothing that could be shown. */
static bool show_label(const struct library *l, struct span label, struct buf *out)
{
	uint8_t mem[LABEL_MAX + 1] = { 0 }, again_mem[LABEL_MAX];
	struct buf ascii, again;
	char *letters = NULL;
	struct span is;
	bool good;

	buf_init(&ascii, mem, LABEL_MAX);
	buf_init(&again, again_mem, sizeof(again_mem));
	buf_put_lower(&ascii, label);
	if (ascii.full || l->letters((const char *)mem, &letters, 0) != IDN2_OK)
		return false;
	is = span_str(letters);
	good = letters_are_plain(is) && !put_label(l, is, &again) && !again.full &&
	       span_eq(buf_span(&again), buf_span(&ascii));
	if (good)
		buf_put(out, is);
	l->free(letters);
	return good;
}

static bool show_domain(const struct library *l, struct span domain, struct buf *out)
{
	bool changed = false;

	while (domain.n) {
		struct span label = span_cut(&domain, '.');

		if (is_encoded(label) && show_label(l, label, out))
			changed = true;
		else
			buf_put(out, label);
		if (domain.n)
			buf_byte(out, '.');
	}
	return changed;
}

/* A dot at the end of a sentence is none of the domain's; span_cut() would lose it. */
static size_t domain_at(struct span text)
{
	size_t n = 0;

	while (n < text.n && (is_name_byte(byte_lower(text.p[n])) || text.p[n] == '.'))
		n++;
	while (n > 0 && text.p[n - 1] == '.')
		n--;
	return n;
}

static bool has_encoded(struct span text)
{
	for (; text.n; text = span_skip(text, 1))
		if (is_encoded(text))
			return true;
	return false;
}

/* Where a word ends; what has an @ in it, behind a colon, too, is an address all the same. */
static size_t word_at(struct span text)
{
	static const char ends[] = " \t\r\n<>,;()";
	size_t n = 0;

	while (n < text.n && !memchr(ends, text.p[n], sizeof(ends)))
		n++;
	return n;
}

/* In front of the last @ stands somebody's name, with whatever in it. */
static bool show_word(const struct library *l, struct span word, struct buf *out)
{
	size_t at = span_find_last(word, '@') + 1;
	bool changed = false;

	if (at <= word.n) {
		buf_put(out, span_head(word, at));
		word = span_skip(word, at);
	}
	while (word.n) {
		size_t n = domain_at(word);

		if (n > 0)
			changed |= show_domain(l, span_head(word, n), out);
		else
			buf_byte(out, word.p[n++]);
		word = span_skip(word, n);
	}
	return changed;
}

/* A name in quotes may have spaces in it (RFC 5321, 4.1.2), so that words end elsewhere. */
static bool has_quoted_name(struct span text)
{
	for (; text.n; text = span_skip(text, 1))
		if (span_starts(text, SPAN("\"@")))
			return true;
	return false;
}

bool idn_show(struct span text, struct buf *out)
{
	size_t before = out->len;
	bool changed = false;
	struct library l;

	if (!has_encoded(text) || has_quoted_name(text) || !take(&l))
		return false;
	while (text.n) {
		size_t n = word_at(text);

		changed |= show_word(&l, span_head(text, n), out);
		if (n < text.n)
			buf_byte(out, text.p[n++]);
		text = span_skip(text, n);
	}
	dlclose(l.handle);
	if (!changed || out->full)
		out->len = before;
	return changed && !out->full;
}
