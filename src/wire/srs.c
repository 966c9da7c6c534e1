#include "wire/srs.h"

#include "base/siphash.h"
#include "base/time.h"
#include "wire/address.h"
#include "wire/local.h"

#define HASH_CHARS 8 /* of five bits each */
#define DAY_CHARS  2
#define DAYS	   1024 /* after which the time stamp begins again */

/* RFC 4648, 6: no 0, 1, 8 and 9, which people mix up. */
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

struct parts {
	struct span hash, day, host, rest;
};

static void put_base32(uint64_t n, size_t chars, struct buf *out)
{
	while (chars-- > 0)
		buf_byte(out, (uint8_t)alphabet[n >> (5 * chars) & 31]);
}

static int base32_value(uint8_t c)
{
	c = byte_lower(c);
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	return c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

/* Of everything that must not be changed, in lower case, so that case may be lost. */
static uint64_t hash(const uint64_t key[2], const char *kind, const struct parts *p)
{
	uint8_t mem[2 * ADDRESS_MAX];
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	buf_put(&b, span_str(kind));
	buf_put_lower(&b, p->day);
	buf_byte(&b, '=');
	buf_put_lower(&b, p->host);
	buf_byte(&b, '=');
	buf_put_lower(&b, p->rest);
	return siphash(key, buf_span(&b));
}

/* In a time that does not tell how much of it was right. */
static bool hash_agrees(uint64_t want, struct span text)
{
	unsigned wrong = 0;

	if (text.n != HASH_CHARS)
		return false;
	for (size_t i = 0; i < HASH_CHARS; i++) {
		int value = base32_value(text.p[i]);

		wrong |= (unsigned)value ^
			 (unsigned)(want >> (5 * (HASH_CHARS - 1 - i)) & 31);
	}
	return wrong == 0;
}

static unsigned day_of(int64_t wall)
{
	return (unsigned)((wall > 0 ? wall / MS_DAY : 0) % DAYS);
}

/* From yesterday's or the next zone's clock, too: another day than ours is no forgery. */
static bool is_recent(struct span day, int64_t wall)
{
	unsigned n = 0;

	if (day.n != DAY_CHARS)
		return false;
	for (size_t i = 0; i < day.n; i++) {
		int value = base32_value(day.p[i]);

		if (value < 0)
			return false;
		n = n * 32 + (unsigned)value;
	}
	return (day_of(wall) + 1 + DAYS - n) % DAYS <= SRS_DAYS + 1;
}

static bool starts(struct span local, const char *word)
{
	return local.n > 5 && span_starts_nocase(local, span_str(word)) &&
	       strchr("=+-", local.p[4]) && local.p[4];
}

bool srs_is(struct span address)
{
	struct local l;

	return local_split(address, &l) &&
	       (starts(l.text, "SRS0") || starts(l.text, "SRS1"));
}

/* SRS0=HASH=DAY=host=local: what stands behind the first separator. */
static struct parts cut_srs0(struct span text)
{
	struct parts p = { .hash = span_cut(&text, '=') };

	p.day = span_cut(&text, '=');
	p.host = span_cut(&text, '=');
	p.rest = text;
	return p;
}

/* SRS1=HASH=host=rest; rest keeps the separator that SRS0 had on that host. */
static struct parts cut_srs1(struct span text)
{
	struct parts p = { .hash = span_cut(&text, '=') };

	p.host = span_cut(&text, '=');
	p.rest = text;
	return p;
}

static bool join(const struct buf *content, struct span domain, struct buf *out)
{
	return !content->full && local_join(buf_span(content), domain, out);
}

bool srs_forward(const uint64_t key[2], struct span sender, struct span domain,
		 int64_t wall, struct buf *out)
{
	uint8_t mem[2 * ADDRESS_MAX], day_mem[DAY_CHARS];
	struct parts p;
	struct local l;
	struct buf b, day;
	bool first;

	if (!local_split(sender, &l) || l.text.n == 0)
		return false;
	buf_init(&b, mem, sizeof(mem));
	buf_init(&day, day_mem, sizeof(day_mem));
	first = !starts(l.text, "SRS0") && !starts(l.text, "SRS1");
	if (first) {
		put_base32(day_of(wall), DAY_CHARS, &day);
		p = (struct parts){ .day = buf_span(&day),
				    .host = l.domain,
				    .rest = l.text };
	} else if (starts(l.text, "SRS0")) {
		p = (struct parts){ .host = l.domain, .rest = span_skip(l.text, 4) };
	} else {
		/* whoever made SRS1 knows the first one; the second is left out */
		p = cut_srs1(span_skip(l.text, 5));
		if (!address_is_host(p.host) || p.rest.n == 0)
			return false;
	}
	buf_put(&b, first ? SPAN("SRS0=") : SPAN("SRS1="));
	put_base32(hash(key, first ? "srs0" : "srs1", &p), HASH_CHARS, &b);
	buf_byte(&b, '=');
	if (first) {
		buf_put(&b, p.day);
		buf_byte(&b, '=');
	}
	buf_put(&b, p.host);
	buf_byte(&b, '=');
	buf_put(&b, p.rest);
	return join(&b, domain, out);
}

bool srs_reverse(const uint64_t key[2], struct span address, int64_t wall, struct buf *out)
{
	uint8_t mem[ADDRESS_MAX];
	struct parts p;
	struct local l;
	struct buf b;

	if (!local_split(address, &l))
		return false;
	buf_init(&b, mem, sizeof(mem));
	if (starts(l.text, "SRS0")) {
		p = cut_srs0(span_skip(l.text, 5));
		if (!is_recent(p.day, wall) || !hash_agrees(hash(key, "srs0", &p), p.hash))
			return false;
	} else if (starts(l.text, "SRS1")) {
		p = cut_srs1(span_skip(l.text, 5));
		if (!hash_agrees(hash(key, "srs1", &p), p.hash))
			return false;
		buf_put(&b, SPAN("SRS0"));
	} else {
		return false;
	}
	buf_put(&b, p.rest);
	return join(&b, p.host, out);
}
