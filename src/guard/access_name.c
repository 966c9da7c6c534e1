/*
 * Names in the compiled lists: a hash table of texts, each asked for exactly and by the
 * domains that it is below of.
 */
#include "guard/access_blob.h"

#include "base/siphash.h"

size_t access_name_key(enum access_of of, struct span name,
		       uint8_t out[ACCESS_NAME_MAX + 1])
{
	if (name.n == 0 || name.n > ACCESS_NAME_MAX)
		return 0;
	out[0] = (uint8_t)of;
	for (size_t i = 0; i < name.n; i++)
		out[i + 1] = byte_lower(name.p[i]);
	return name.n + 1;
}

struct naming {
	const struct access_head *h;
	enum access_of of;
	int64_t wall;
	/* lists that have answered, perhaps with silence */
	uint64_t spoke[ACCESS_LISTS_CEILING / 64];
	struct access_hit best;
};

/* A list's first answer is its answer, and of lists the first one counts. */
static void consider(struct naming *q, const struct access_name *e)
{
	uint64_t *set = &q->spoke[e->list / 64 % (ACCESS_LISTS_CEILING / 64)];
	uint64_t bit = (uint64_t)1 << e->list % 64;

	if (e->answer > ACCESS_DENY || (*set & bit) || access_until(e->until) <= q->wall)
		return;
	*set |= bit;
	if (e->answer == ACCESS_SILENT ||
	    (q->best.answer != ACCESS_SILENT && q->best.list <= e->list))
		return;
	q->best = (struct access_hit){ .answer = (enum access_answer)e->answer,
				       .list = e->list,
				       .line = e->line,
				       .until = access_until(e->until),
				       .why = access_text(q->h, e->why),
				       .file = access_file_name(q->h, e->list) };
}

/* All entries of exactly this text. */
static void consider_text(struct naming *q, struct span key)
{
	const struct access_name *names = access_part(q->h, PART_NAMES);
	const uint32_t *slots = access_part(q->h, PART_SLOTS);
	uint64_t count = q->h->part[PART_NAMES].count,
		 mask = q->h->part[PART_SLOTS].count - 1;
	uint64_t at = siphash(q->h->key, key);

	for (uint64_t tries = 0; tries <= mask; tries++, at++) {
		uint32_t i = slots[at & mask];

		if (i == 0 || i > count)
			return;
		if (names[i - 1].of != key.p[0] ||
		    !span_eq(access_text(q->h, names[i - 1].text), span_skip(key, 1)))
			continue;
		/* each leads to a later one, so this ends */
		for (uint32_t before = 0; i > before && i <= count;) {
			before = i;
			consider(q, &names[i - 1]);
			i = names[i - 1].behind;
		}
		return;
	}
}

/* The name itself, then .domain for each domain that it is below of. */
static void consider_domain(struct naming *q, uint8_t *text, size_t n)
{
	uint8_t *dot;

	for (; n; n = dot ? (size_t)(text + n - dot) : 0, text = dot) {
		/* the byte before it is ours: what it is about */
		uint8_t kept = text[-1];

		text[-1] = (uint8_t)q->of;
		consider_text(q, span_of(text - 1, n + 1));
		text[-1] = kept;
		dot = n > 1 ? memchr(text + 1, '.', n - 1) : NULL;
	}
}

struct access_hit access_name(const void *mem, size_t n, enum access_of of,
			      struct span name, int64_t wall)
{
	struct naming q = { .h = access_head_of(mem, n),
			    .of = of,
			    .wall = wall,
			    .best = { .until = INT64_MAX } };
	uint8_t key[ACCESS_NAME_MAX + 1];
	size_t length = access_name_key(of, name, key), at;

	if (!q.h || length == 0 || q.h->part[PART_SLOTS].count == 0)
		return q.best;
	if (key[length - 1] == '.' && length > 2)
		length--;
	at = span_find_last(span_of(key, length), '@');
	if (at == length) {
		consider_domain(&q, key + 1, length - 1);
		return q.best;
	}
	consider_text(&q, span_of(key, length));
	if (at + 1 < length)
		consider_domain(&q, key + at + 1, length - at - 1);
	/* user@, of any domain */
	if (at + 1 < length)
		consider_text(&q, span_of(key, at + 1));
	return q.best;
}

bool access_next_name(const void *mem, size_t n, size_t *at, struct access_named *out)
{
	const struct access_head *h = access_head_of(mem, n);
	const struct access_name *names;

	if (!h || *at >= h->part[PART_NAMES].count)
		return false;
	names = access_part(h, PART_NAMES);
	*out = (struct access_named){
		.of = (enum access_of)(names[*at].of % ACCESS_OF_COUNT),
		.name = access_text(h, names[*at].text),
		.list = names[*at].list,
		.line = names[*at].line,
	};
	(*at)++;
	return true;
}
