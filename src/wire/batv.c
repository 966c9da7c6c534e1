#include "wire/batv.h"

#include "base/siphash.h"
#include "base/time.h"
#include "wire/local.h"

#define TAG_CHARS 10 /* KDDDSSSSSS */
#define DAYS	  1000
#define NO_NUMBER 10

static const struct span mark = SPAN_INIT("prvs=");

static unsigned day_of(int64_t wall)
{
	return (unsigned)((wall > 0 ? wall / MS_DAY : 0) % DAYS);
}

static uint32_t hash(const uint64_t key[2], unsigned number, unsigned day,
		     struct span local, struct span domain)
{
	uint8_t mem[2 * ADDRESS_MAX];
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	buf_fmt(&b, "prvs%u%03u", number, day);
	buf_put_lower(&b, local);
	buf_byte(&b, '@');
	buf_put_lower(&b, domain);
	return (uint32_t)(siphash(key, buf_span(&b)) >> 40);
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static int hex_value(uint8_t c)
{
	c = byte_lower(c);
	if (is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct tag {
	unsigned number, day;
	uint32_t hash;
	struct span rest;
};

/* prvs=KDDDSSSSSS=rest */
static bool tag_cut(struct span local, struct tag *out)
{
	struct span tag = span_skip(local, mark.n);

	if (!span_starts_nocase(local, mark) || tag.n <= TAG_CHARS ||
	    tag.p[TAG_CHARS] != '=')
		return false;
	*out = (struct tag){ .rest = span_skip(tag, TAG_CHARS + 1) };
	for (size_t i = 0; i < 4; i++)
		if (!is_digit(tag.p[i]))
			return false;
	out->number = (unsigned)(tag.p[0] - '0');
	out->day = (unsigned)((tag.p[1] - '0') * 100 + (tag.p[2] - '0') * 10 + tag.p[3] -
			      '0');
	for (size_t i = 4; i < TAG_CHARS; i++) {
		int value = hex_value(tag.p[i]);

		if (value < 0)
			return false;
		out->hash = out->hash << 4 | (uint32_t)value;
	}
	return out->rest.n > 0;
}

bool batv_tag(const uint64_t key[2], unsigned number, struct span sender, int64_t wall,
	      struct buf *out)
{
	unsigned day = (day_of(wall) + BATV_DAYS) % DAYS;
	uint8_t mem[ADDRESS_MAX];
	struct local l;
	struct tag t;
	struct buf b;

	if (number >= NO_NUMBER || !local_split(sender, &l) || l.text.n == 0 ||
	    tag_cut(l.text, &t))
		return false;
	buf_init(&b, mem, sizeof(mem));
	buf_put(&b, mark);
	buf_fmt(&b, "%u%03u%06x=", number, day, hash(key, number, day, l.text, l.domain));
	buf_put(&b, l.text);
	return !b.full && local_join(buf_span(&b), l.domain, out);
}

unsigned batv_number(struct span address)
{
	struct local l;
	struct tag t;

	return local_split(address, &l) && tag_cut(l.text, &t) ? t.number : NO_NUMBER;
}

enum batv batv_check(const uint64_t key[2], struct span address, int64_t wall,
		     struct buf *plain)
{
	struct local l;
	struct tag t;
	unsigned left;

	if (!local_split(address, &l) || !tag_cut(l.text, &t)) {
		buf_put(plain, address);
		return BATV_NONE;
	}
	if (!local_join(t.rest, l.domain, plain))
		return BATV_BAD;
	/* it ends BATV_DAYS from the day it was made, so never later from now */
	left = (t.day + DAYS - day_of(wall)) % DAYS;
	return left <= BATV_DAYS && hash(key, t.number, t.day, t.rest, l.domain) == t.hash
		       ? BATV_GOOD
		       : BATV_BAD;
}
