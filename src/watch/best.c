#include "watch/best.h"

void best_init(struct best *b, struct best_one *places, size_t cap)
{
	*b = (struct best){ .one = places, .cap = cap };
}

static void swap(struct best_one *a, struct best_one *b)
{
	struct best_one one = *a;

	*a = *b;
	*b = one;
}

/* The least worth is in front. */
static void sink(struct best *b, size_t at, size_t n)
{
	for (;;) {
		size_t least = at, child = 2 * at + 1;

		for (size_t c = child; c < child + 2 && c < n; c++)
			if (b->one[c].worth < b->one[least].worth)
				least = c;
		if (least == at)
			return;
		swap(&b->one[at], &b->one[least]);
		at = least;
	}
}

static void rise(struct best *b, size_t at)
{
	while (at > 0 && b->one[at].worth < b->one[(at - 1) / 2].worth) {
		swap(&b->one[at], &b->one[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
}

void best_offer(struct best *b, const struct best_one *one)
{
	b->offered++;
	if (b->n < b->cap) {
		b->one[b->n] = *one;
		rise(b, b->n++);
	} else if (b->n && one->worth > b->one[0].worth) {
		b->one[0] = *one;
		sink(b, 0, b->n);
	}
}

void best_sort(struct best *b)
{
	for (size_t n = b->n; n > 1; n--) {
		swap(&b->one[0], &b->one[n - 1]);
		sink(b, 0, n - 1);
	}
}
