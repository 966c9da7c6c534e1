/* Radix sort of prefixes. */
#include "guard/access_build.h"

#define DIGIT  11
#define DIGITS (1u << DIGIT)

/* By address and then length: what is around an entry comes before it. */
static uint64_t key_v4(const struct access_v4 *e)
{
	return (uint64_t)e->start << 6 | e->bits;
}

/* Where each digit's entries begin. False: all have the same digit. */
static bool places(size_t count[DIGITS], size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < DIGITS; i++) {
		size_t here = count[i];

		if (here == n)
			return false;
		count[i] = at;
		at += here;
	}
	return true;
}

/* Radix sort, least digit first: entries of one prefix stay in the order of their lines. */
static void sort_v4(struct access_build *b)
{
	size_t n = b->v4_count, count[DIGITS];

	for (unsigned shift = 0; shift < 38; shift += DIGIT) {
		struct access_v4 *from = b->v4, *to = b->v4_spare;

		memset(count, 0, sizeof(count));
		for (size_t i = 0; i < n; i++)
			count[key_v4(&from[i]) >> shift & (DIGITS - 1)]++;
		if (!places(count, n))
			continue;
		for (size_t i = 0; i < n; i++)
			to[count[key_v4(&from[i]) >> shift & (DIGITS - 1)]++] = from[i];
		b->v4 = to;
		b->v4_spare = from;
	}
}

/* Digits of length, lower and upper half of the address: 11 bits each, the last ones fewer. */
#define PASSES_V6 13

static size_t digit_v6(const struct access_v6 *e, unsigned pass)
{
	if (pass == 0)
		return e->bits;
	return (pass <= 6 ? e->lo >> (pass - 1) * DIGIT : e->hi >> (pass - 7) * DIGIT) &
	       (DIGITS - 1);
}

/* Which bits differ at all: of most lists, not those of the lower half. */
static struct access_v6 varying(const struct access_build *b)
{
	struct access_v6 out = { 0 };

	for (size_t i = 0; i < b->v6_count; i++) {
		out.hi |= b->v6[i].hi ^ b->v6[0].hi;
		out.lo |= b->v6[i].lo ^ b->v6[0].lo;
		out.bits |= b->v6[i].bits ^ b->v6[0].bits;
	}
	return out;
}

static void sort_v6(struct access_build *b)
{
	const struct access_v6 varies = varying(b);
	size_t n = b->v6_count, count[DIGITS];

	for (unsigned pass = 0; pass < PASSES_V6; pass++) {
		struct access_v6 *from = b->v6, *to = b->v6_spare;

		if (digit_v6(&varies, pass) == 0)
			continue;
		memset(count, 0, sizeof(count));
		for (size_t i = 0; i < n; i++)
			count[digit_v6(&from[i], pass)]++;
		if (!places(count, n))
			continue;
		for (size_t i = 0; i < n; i++)
			to[count[digit_v6(&from[i], pass)]++] = from[i];
		b->v6 = to;
		b->v6_spare = from;
	}
}

void access_sort(struct access_build *b)
{
	sort_v4(b);
	sort_v6(b);
}
