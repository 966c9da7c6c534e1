#include "guard/access_build.h"

#include "base/bug.h"
#include "base/siphash.h"

static size_t whole_blocks(size_t n, size_t block)
{
	return (n + block - 1) / block * block;
}

static size_t slots_for(size_t names)
{
	size_t slots = 4;

	while (names && slots < 2 * names)
		slots *= 2;
	return names ? slots : 0;
}

static size_t lay_out(const struct access_build *b, struct access_head *h)
{
	const size_t counts[ACCESS_PARTS] = {
		[PART_LISTS] = b->list_count,
		[PART_V4_INDEX] = ACCESS_BUCKETS + 1,
		[PART_V4_KEYS] = b->count4,
		[PART_V4_VALUES] = b->count4,
		[PART_V6_KEYS] = whole_blocks(b->count6, ACCESS_V6_BLOCK),
		[PART_V6_VALUES] = whole_blocks(b->count6, ACCESS_V6_BLOCK),
		[PART_DEEP_KEYS] = whole_blocks(b->count_deep, ACCESS_DEEP_BLOCK),
		[PART_DEEP_VALUES] = whole_blocks(b->count_deep, ACCESS_DEEP_BLOCK),
		[PART_INFOS] = b->info_count,
		[PART_MORE] = b->more_count,
		[PART_CHAINS] = b->chain_count,
		[PART_SLOTS] = slots_for(b->name_count),
		[PART_NAMES] = b->name_count,
		[PART_TEXT] = b->text.n,
	};
	size_t at = whole_blocks(sizeof(*h), 64);

	for (size_t i = 0; i < ACCESS_PARTS; i++) {
		h->part[i] = (struct access_place){ at, counts[i] };
		at = whole_blocks(at + counts[i] * access_element[i], 64);
	}
	return at;
}

size_t access_build_size(const struct access_build *b)
{
	struct access_head h;

	return lay_out(b, &h);
}

struct writing {
	const struct access_build *b;
	const struct access_head *h;
	uint8_t *mem;
	/* for the order of a search tree */
	const struct access_segment6 *from;
	size_t at, count;
};

static void *part(const struct writing *w, enum access_part which)
{
	return w->mem + w->h->part[which].at;
}

static void write_v4(const struct writing *w)
{
	const struct access_build *b = w->b;
	uint32_t *index = part(w, PART_V4_INDEX), *values = part(w, PART_V4_VALUES);
	uint16_t *keys = part(w, PART_V4_KEYS);
	uint32_t bucket = 0;

	for (size_t i = 0; i < b->count4; i++) {
		const struct access_segment4 *s = &b->segments4[i];

		while (bucket < s->start >> 16)
			index[++bucket] = (uint32_t)i;
		keys[i] = (uint16_t)s->start;
		values[i] = s->value;
	}
	while (bucket < ACCESS_BUCKETS)
		index[++bucket] = (uint32_t)b->count4;
}

/* The next in order; the last one again where a block is not full. */
static const struct access_segment6 *next_segment(struct writing *w)
{
	return &w->from[w->at < w->count ? w->at++ : w->count - 1];
}

/* Blocks of a tree in which the children of block k are k * (keys + 1) + 1 and so on. */
static void write_v6(struct writing *w, size_t k, size_t blocks)
{
	uint64_t *keys = part(w, PART_V6_KEYS);
	uint32_t *values = part(w, PART_V6_VALUES);

	if (k >= blocks)
		return;
	for (size_t i = 0; i < ACCESS_V6_BLOCK; i++) {
		const struct access_segment6 *s;

		write_v6(w, k * (ACCESS_V6_BLOCK + 1) + i + 1, blocks);
		s = next_segment(w);
		keys[k * ACCESS_V6_BLOCK + i] = s->start.hi;
		values[k * ACCESS_V6_BLOCK + i] = s->value;
	}
	write_v6(w, k * (ACCESS_V6_BLOCK + 1) + ACCESS_V6_BLOCK + 1, blocks);
}

static void write_deep(struct writing *w, size_t k, size_t blocks)
{
	struct access_wide *keys = part(w, PART_DEEP_KEYS);
	uint32_t *values = part(w, PART_DEEP_VALUES);

	if (k >= blocks)
		return;
	for (size_t i = 0; i < ACCESS_DEEP_BLOCK; i++) {
		const struct access_segment6 *s;

		write_deep(w, k * (ACCESS_DEEP_BLOCK + 1) + i + 1, blocks);
		s = next_segment(w);
		keys[k * ACCESS_DEEP_BLOCK + i] = s->start;
		values[k * ACCESS_DEEP_BLOCK + i] = s->value;
	}
	write_deep(w, k * (ACCESS_DEEP_BLOCK + 1) + ACCESS_DEEP_BLOCK + 1, blocks);
}

static struct span name_text(const struct access_build *b, uint32_t at)
{
	struct span t = span_skip(b->text, at);

	BUG_IF(t.n < 2);
	return span_head(span_skip(t, 2), t.p[0] | (size_t)t.p[1] << 8);
}

/* Behind the last one of the same text, unless its list has said that already. */
static void link_name(struct access_name *names, uint32_t first, uint32_t new)
{
	struct access_name *n = &names[first], *e = &names[new];

	for (;; n = &names[n->behind - 1]) {
		if (n->list == e->list && n->until == 0)
			return;
		if (n->list == e->list && n->answer == e->answer) {
			if (access_outlasts(e->until, n->until)) {
				n->until = e->until;
				n->line = e->line;
				n->why = e->why;
			}
			return;
		}
		if (!n->behind)
			break;
	}
	n->behind = new + 1;
}

static void write_names(const struct writing *w)
{
	const struct access_build *b = w->b;
	struct access_name *names = part(w, PART_NAMES);
	uint32_t *slots = part(w, PART_SLOTS);
	size_t mask = slots_for(b->name_count) - 1;
	uint8_t key[ACCESS_NAME_MAX + 1];

	for (uint32_t i = 0; i < b->name_count; i++) {
		const struct access_name *e = &b->names[i];
		struct span text = name_text(b, e->text);
		size_t n = access_name_key((enum access_of)e->of, text, key), at;

		BUG_IF(n == 0);
		names[i] = *e;
		names[i].behind = 0;
		at = siphash(b->key, span_of(key, n)) & mask;
		while (slots[at] &&
		       (names[slots[at] - 1].of != e->of ||
			!span_eq(name_text(b, names[slots[at] - 1].text), text)))
			at = (at + 1) & mask;
		if (slots[at])
			link_name(names, slots[at] - 1, i);
		else
			slots[at] = i + 1;
	}
}

static void copy(const struct writing *w, enum access_part which, const void *from)
{
	size_t n = w->h->part[which].count * access_element[which];

	if (n)
		memcpy(part(w, which), from, n);
}

void access_build(const struct access_build *b, void *mem)
{
	struct access_head *h = mem;
	struct writing w = { .b = b, .h = h, .mem = mem };

	*h = (struct access_head){ .magic = ACCESS_MAGIC,
				   .parts = ACCESS_PARTS,
				   .key = { b->key[0], b->key[1] } };
	h->size = lay_out(b, h);
	for (size_t i = 0; i < b->list_count; i++)
		h->entries += b->lists[i].entries;
	copy(&w, PART_LISTS, b->lists);
	copy(&w, PART_INFOS, b->infos);
	copy(&w, PART_MORE, b->more);
	copy(&w, PART_CHAINS, b->chains);
	copy(&w, PART_TEXT, b->text.p);
	write_v4(&w);
	w.from = b->segments6;
	w.count = b->count6;
	write_v6(&w, 0, h->part[PART_V6_KEYS].count / ACCESS_V6_BLOCK);
	w.from = b->deep;
	w.count = b->count_deep;
	w.at = 0;
	write_deep(&w, 0, h->part[PART_DEEP_KEYS].count / ACCESS_DEEP_BLOCK);
	write_names(&w);
}
