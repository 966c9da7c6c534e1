#include "io/hello.h"

#include <stdlib.h>

#include <openssl/evp.h>

#include "base/buf.h"

#define CLIENT_HELLO   1
#define LIST_MAX       128 /* of each list; what is more does not count */
#define NUMBER_PRINTED 5   /* "c02b," */
#define DIGITS	       12  /* of a hash, in JA4 */

enum extension {
	EXT_SERVER_NAME = 0,
	EXT_SIGNATURES = 13,
	EXT_ALPN = 16,
	EXT_PADDING = 21,
	EXT_TICKET = 35,
	EXT_PSK = 41,
	EXT_EARLY_DATA = 42,
	EXT_VERSIONS = 43,
	EXT_COOKIE = 44,
};

struct list {
	size_t n;
	uint16_t number[LIST_MAX];
};

/* What a ClientHello says (RFC 8446, 4.1.2). */
struct said {
	uint16_t version;
	bool named; /* by SNI */
	struct list ciphers, extensions, signatures;
	struct span alpn; /* the first one */
};

/* ---- reading --------------------------------------------------------------------------- */

/* A number of so many bytes off the front; 0 if they are not there. */
static unsigned take_number(struct span *in, size_t bytes)
{
	unsigned n = 0;

	for (size_t i = 0; in->n >= bytes && i < bytes; i++)
		n = n << 8 | in->p[i];
	*in = span_skip(*in, bytes);
	return n;
}

/* What a length of so many bytes is in front of; less if it is cut. */
static struct span take_part(struct span *in, size_t bytes)
{
	size_t n = take_number(in, bytes);
	struct span part = span_head(*in, n);

	*in = span_skip(*in, n);
	return part;
}

/* RFC 8701 */
static bool is_grease(unsigned n)
{
	return (n & 0x0f0f) == 0x0a0a && n >> 8 == (n & 0xff);
}

static void add(struct list *l, unsigned number)
{
	if (l->n < LIST_MAX && !is_grease(number))
		l->number[l->n++] = (uint16_t)number;
}

static void read_list(struct list *l, struct span in)
{
	while (in.n >= 2)
		add(l, take_number(&in, 2));
}

static void read_versions(struct said *s, struct span in)
{
	struct list versions = { 0 };

	read_list(&versions, take_part(&in, 1));
	s->version = 0;
	for (size_t i = 0; i < versions.n; i++)
		if (versions.number[i] > s->version)
			s->version = versions.number[i];
}

static void read_extension(struct said *s, unsigned type, struct span in)
{
	add(&s->extensions, type);
	if (type == EXT_SERVER_NAME)
		s->named = true;
	else if (type == EXT_VERSIONS)
		read_versions(s, in);
	else if (type == EXT_SIGNATURES)
		read_list(&s->signatures, take_part(&in, 2));
	else if (type == EXT_ALPN) {
		struct span names = take_part(&in, 2);

		s->alpn = take_part(&names, 1);
	}
}

static bool read_all(struct said *s, struct span in)
{
	struct span extensions;

	if (take_number(&in, 1) != CLIENT_HELLO)
		return false;
	in = take_part(&in, 3);
	s->version = (uint16_t)take_number(&in, 2);
	in = span_skip(in, 32);	 /* random */
	(void)take_part(&in, 1); /* session id */
	read_list(&s->ciphers, take_part(&in, 2));
	(void)take_part(&in, 1); /* compression */
	extensions = take_part(&in, 2);
	while (extensions.n >= 4) {
		unsigned type = take_number(&extensions, 2);

		read_extension(s, type, take_part(&extensions, 2));
	}
	return s->ciphers.n > 0;
}

/* ---- printing -------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
	uint16_t one, other;

	memcpy(&one, a, sizeof(one));
	memcpy(&other, b, sizeof(other));
	return one < other ? -1 : one > other;
}

static void sort(struct list *l)
{
	qsort(l->number, l->n, sizeof(l->number[0]), by_number);
}

static void put_list(struct buf *b, const struct list *l)
{
	for (size_t i = 0; i < l->n; i++)
		buf_fmt(b, "%s%04x", i ? "," : "", l->number[i]);
}

static void put_hash(struct buf *out, struct span of)
{
	uint8_t hash[EVP_MAX_MD_SIZE] = { 0 };

	if (of.n)
		(void)EVP_Digest(of.p, of.n, hash, NULL, EVP_sha256(), NULL);
	for (size_t i = 0; i < DIGITS / 2; i++)
		buf_fmt(out, "%02x", hash[i]);
}

static const char *version_word(uint16_t version)
{
	switch (version) {
	case 0x0304:
		return "13";
	case 0x0303:
		return "12";
	case 0x0302:
		return "11";
	case 0x0301:
		return "10";
	case 0x0300:
		return "s3";
	default:
		return "00";
	}
}

static bool is_plain(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Its first and last character; if these are none, digits of theirs. */
static void put_alpn(struct buf *out, struct span alpn)
{
	uint8_t first, last;

	if (alpn.n == 0) {
		buf_put(out, SPAN("00"));
		return;
	}
	first = alpn.p[0];
	last = alpn.p[alpn.n - 1];
	if (is_plain(first) && is_plain(last))
		buf_fmt(out, "%c%c", first, last);
	else
		buf_fmt(out, "%x%x", first >> 4, last & 15);
}

static unsigned two_digits(size_t n)
{
	return n < 99 ? (unsigned)n : 99;
}

static void print(const struct said *s, struct buf *out)
{
	uint8_t mem[2 * LIST_MAX * NUMBER_PRINTED + 1];
	struct list shown = { 0 };
	struct buf text;

	buf_fmt(out, "t%s%c%02u%02u", version_word(s->version), s->named ? 'd' : 'i',
		two_digits(s->ciphers.n), two_digits(s->extensions.n));
	put_alpn(out, s->alpn);
	buf_byte(out, '_');
	buf_init(&text, mem, sizeof(mem));
	put_list(&text, &s->ciphers);
	put_hash(out, buf_span(&text));
	buf_byte(out, '_');
	for (size_t i = 0; i < s->extensions.n; i++)
		if (s->extensions.number[i] != EXT_SERVER_NAME &&
		    s->extensions.number[i] != EXT_ALPN)
			add(&shown, s->extensions.number[i]);
	buf_reset(&text);
	put_list(&text, &shown);
	if (s->signatures.n) {
		buf_byte(&text, '_');
		put_list(&text, &s->signatures);
	}
	put_hash(out, buf_span(&text));
}

/* ---- the device ------------------------------------------------------------------------ */

static void hash_list(uint64_t *hash, unsigned kind, const struct list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		unsigned n = l->number[i];

		*hash = (*hash ^ (kind << 16 | n)) * UINT64_C(0x100000001b3); /* FNV-1a */
	}
}

/* What comes and goes with resumption. */
static bool is_fleeting(unsigned type)
{
	return type == EXT_PADDING || type == EXT_TICKET || type == EXT_PSK ||
	       type == EXT_EARLY_DATA || type == EXT_COOKIE;
}

static uint64_t hash_of(const struct said *s)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	struct list lasting = { 0 };

	for (size_t i = 0; i < s->extensions.n; i++)
		if (!is_fleeting(s->extensions.number[i]))
			add(&lasting, s->extensions.number[i]);
	hash_list(&hash, 0, &s->ciphers);
	hash_list(&hash, 1, &lasting);
	hash_list(&hash, 2, &s->signatures);
	return hash ? hash : 1;
}

void hello_read(struct span message, struct hello *out)
{
	struct said s = { 0 };
	struct buf text;

	*out = (struct hello){ 0 };
	if (!read_all(&s, message))
		return;
	sort(&s.ciphers);
	sort(&s.extensions);
	buf_init(&text, out->text, sizeof(out->text));
	print(&s, &text);
	out->text_n = (uint8_t)text.len;
	out->hash = hash_of(&s);
}
