#include "watch/fold.h"

#include "base/attr.h"
#include "base/bug.h"

#define FOLD_WAYS 8 /* entries that a source may be in: what one look-up costs at most */

_Static_assert((FOLD_SOURCES & (FOLD_SOURCES - 1)) == 0, "a power of two");
_Static_assert(RECORD_COUNT <= UINT8_MAX, "fits fold_entry.kind");

void fold_init(struct fold *f, uint64_t seed)
{
	memset(f, 0, sizeof(*f));
	f->seed = seed;
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	h ^= h >> 32;
	return h;
}

static size_t first_way(const struct fold *f, enum record kind, struct span source)
{
	uint64_t h = mix(f->seed ^ (uint64_t)kind ^ (uint64_t)source.n << 32);

	while (source.n) {
		struct span head = span_head(source, sizeof(uint64_t));
		uint64_t word = 0;

		memcpy(&word, head.p, head.n);
		h = mix(h + word + 1);
		source = span_skip(source, head.n);
	}
	return (size_t)h & (FOLD_SOURCES - 1) & ~(size_t)(FOLD_WAYS - 1);
}

static void widen(int64_t *first, int64_t *last, uint64_t counted, int64_t from,
		  int64_t to)
{
	if (counted == 0 || from < *first)
		*first = from;
	if (counted == 0 || to > *last)
		*last = to;
}

/* Forget a source, but not what was counted of it. */
static void give_up(struct fold *f, struct fold_entry *e)
{
	struct fold_rest *rest = &f->rest[e->kind];

	if (e->counted) {
		widen(&rest->first, &rest->last, rest->counted, e->first, e->last);
		rest->counted += e->counted;
		rest->sources++;
	}
	e->seen = 0;
	e->counted = 0;
}

static struct fold_entry *entry_for(struct fold *f, enum record kind, struct span source)
{
	struct fold_entry *way = &f->entry[first_way(f, kind, source)];
	struct fold_entry *least = &way[0];

	for (size_t i = 0; i < FOLD_WAYS; i++) {
		struct fold_entry *e = &way[i];

		if (e->seen && e->kind == kind && span_eq(span_of(e->source, e->n), source))
			return e;
		if (e->seen == 0 ? least->seen != 0
				 : least->seen != 0 && e->counted < least->counted)
			least = e;
	}
	give_up(f, least);
	least->kind = (uint8_t)kind;
	least->n = (uint8_t)source.n;
	if (source.n)
		memcpy(least->source, source.p, source.n);
	return least;
}

enum fold_say fold_see(struct fold *f, enum record kind, struct span source, int64_t wall,
		       uint64_t full)
{
	struct fold_entry *e;

	BUG_IF(kind <= LOG_NONE || kind >= RECORD_COUNT);
	e = entry_for(f, kind, span_head(source, FOLD_SOURCE_MAX));
	if (e->seen++ < full)
		return FOLD_WRITE;
	widen(&e->first, &e->last, e->counted, wall, wall);
	e->counted++;
	return FOLD_COUNT;
}

/* Put e among the n best of out, most first; what falls off the end is given up. */
static size_t rank(struct fold *f, struct fold_entry **best, size_t n,
		   struct fold_entry *e)
{
	size_t at = n;

	while (at > 0 && best[at - 1]->counted < e->counted)
		at--;
	if (at == FOLD_NAMED) {
		give_up(f, e);
		return n;
	}
	if (n == FOLD_NAMED)
		give_up(f, best[--n]);
	memmove(&best[at + 1], &best[at], (n - at) * sizeof(best[0]));
	best[at] = e;
	return n + 1;
}

size_t fold_end(struct fold *f, struct fold_sum *out)
{
	struct fold_entry *best[FOLD_NAMED];
	size_t named = 0, n = 0;

	for (size_t i = 0; i < FOLD_SOURCES; i++) {
		if (f->entry[i].counted)
			named = rank(f, best, named, &f->entry[i]);
		f->entry[i].seen = 0;
	}
	for (size_t i = 0; i < named; i++) {
		struct fold_entry *e = best[i];

		out[n++] = (struct fold_sum){ .kind = (enum record)e->kind,
					      .source = span_of(e->source, e->n),
					      .count = e->counted,
					      .sources = 1,
					      .first = e->first,
					      .last = e->last };
		e->counted = 0;
	}
	for (size_t kind = 0; kind < RECORD_COUNT; kind++) {
		struct fold_rest *rest = &f->rest[kind];

		if (rest->counted)
			out[n++] = (struct fold_sum){ .kind = (enum record)kind,
						      .count = rest->counted,
						      .sources = rest->sources,
						      .first = rest->first,
						      .last = rest->last };
		*rest = (struct fold_rest){ 0 };
	}
	return n;
}
