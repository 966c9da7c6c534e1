#include "spec/journal.h"

#include "base/siphash.h"

#define PAGE_MAGIC  "HFJOURN1"
#define BLOCK_MAGIC "HFJB"
#define VERSION	    1

#define FLAG_OBSERVED 1u
#define FLAG_BEHIND   2u

static void put(struct buf *out, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		buf_byte(out, (uint8_t)(v >> (8 * i)));
}

static uint64_t get(struct span *in, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)in->p[i] << (8 * i);
	*in = span_skip(*in, n);
	return v;
}

/* Names in their order: two programs with the same mean the same by a number. */
static uint64_t tables(void)
{
	uint64_t key[2] = { VERSION, 0 };

	for (int e = 0; e < EVENT_COUNT; e++)
		key[1] = siphash(key, span_str(event_table[e].word));
	for (int r = 0; r < RULE_COUNT; r++)
		key[1] = siphash(key, span_str(rule_table[r].word));
	return key[1];
}

void journal_print_page(uint64_t places, struct buf *out)
{
	size_t end = out->len + JOURNAL_PAGE;

	buf_put(out, SPAN(PAGE_MAGIC));
	put(out, VERSION, 4);
	put(out, JOURNAL_BLOCK, 4);
	put(out, places, 8);
	put(out, tables(), 8);
	while (!out->full && out->len < end)
		buf_byte(out, 0);
}

bool journal_parse_page(struct span page, uint64_t *places)
{
	struct span left = page;
	uint64_t version, block, n;

	if (page.n < JOURNAL_PAGE || !span_eq(span_head(page, 8), SPAN(PAGE_MAGIC)))
		return false;
	left = span_skip(left, 8);
	version = get(&left, 4);
	block = get(&left, 4);
	n = get(&left, 8);
	if (version != VERSION || block != JOURNAL_BLOCK || n == 0 ||
	    n > INT64_MAX / JOURNAL_BLOCK / 2 || get(&left, 8) != tables())
		return false;
	*places = n;
	return true;
}

void journal_print_block(uint64_t serial, struct buf *out)
{
	buf_put(out, SPAN(BLOCK_MAGIC));
	put(out, 0, 4);
	put(out, serial, 8);
}

bool journal_parse_block(struct span block, uint64_t *serial)
{
	struct span left = block;

	if (block.n < JOURNAL_HEAD || !span_eq(span_head(block, 4), SPAN(BLOCK_MAGIC)))
		return false;
	left = span_skip(left, 8);
	*serial = get(&left, 8);
	return true;
}

/* Of all but the first four bytes: length and check itself. */
static uint16_t check(uint64_t serial, struct span record)
{
	uint64_t key[2] = { serial, record.n };

	return (uint16_t)siphash(key, span_skip(record, 4));
}

void journal_print(const struct journal_record *r, uint64_t serial, struct buf *out)
{
	struct span text = span_head(r->text, LOG_TEXT_MAX);
	size_t n = JOURNAL_RECORD + text.n;
	uint8_t *at = out->mem + out->len;
	uint16_t sum;

	if (buf_room(out) < n) {
		out->full = true;
		return;
	}
	put(out, n, 2);
	put(out, 0, 2);
	put(out, (uint64_t)r->event, 1);
	put(out, (uint64_t)r->rule, 1);
	put(out, (r->observed ? FLAG_OBSERVED : 0) | (r->behind ? FLAG_BEHIND : 0), 1);
	put(out, text.n, 1);
	put(out, r->count, 2);
	put(out, r->listener, 2);
	put(out, (uint32_t)r->points, 4);
	put(out, (uint64_t)r->wall, 8);
	put(out, r->session, 8);
	buf_put(out, span_of(r->from.ip, sizeof(r->from.ip)));
	buf_put(out, text);
	sum = check(serial, span_of(at, n));
	at[2] = (uint8_t)sum;
	at[3] = (uint8_t)(sum >> 8);
}

/* The numbers say what the tables have? */
static bool take(struct span s, struct journal_record *out)
{
	uint64_t event = get(&s, 1), rule = get(&s, 1), flags = get(&s, 1);
	uint64_t text = get(&s, 1);

	*out = (struct journal_record){ .observed = (flags & FLAG_OBSERVED) != 0,
					.behind = (flags & FLAG_BEHIND) != 0 };
	if (event >= EVENT_COUNT || rule >= RULE_COUNT)
		return false;
	out->event = (enum event)event;
	out->rule = (enum rule)rule;
	out->count = (uint16_t)get(&s, 2);
	out->listener = (uint16_t)get(&s, 2);
	out->points = (int32_t)(uint32_t)get(&s, 4);
	out->wall = (int64_t)get(&s, 8);
	out->session = get(&s, 8);
	memcpy(out->from.ip, s.p, sizeof(out->from.ip));
	out->text = span_skip(s, sizeof(out->from.ip));
	return out->text.n == text;
}

bool journal_next(struct span *left, uint64_t serial, struct journal_record *out)
{
	struct span s = *left, whole;
	uint64_t n, sum;

	if (s.n < JOURNAL_RECORD)
		return false;
	n = get(&s, 2);
	if (n < JOURNAL_RECORD || n > JOURNAL_RECORD_MAX || n > left->n)
		return false;
	whole = span_head(*left, (size_t)n);
	sum = get(&s, 2);
	if (sum != check(serial, whole) || !take(span_skip(whole, 4), out))
		return false;
	*left = span_skip(*left, (size_t)n);
	return true;
}
