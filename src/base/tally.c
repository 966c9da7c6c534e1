#include "base/tally.h"

#include "base/bug.h"
#include "base/siphash.h"

_Static_assert(TALLY_ROWS < UINT16_MAX, "slots are 16 bits");
_Static_assert((TALLY_SLOTS & (TALLY_SLOTS - 1)) == 0, "slots are masked");

void tally_init(struct tally *t, const uint64_t seed[2])
{
	memset(t, 0, sizeof(*t));
	t->seed[0] = seed[0];
	t->seed[1] = seed[1];
}

/* The slot that has that key, or where it would go. */
static size_t slot_of(const struct tally *t, struct span key)
{
	size_t at = siphash(t->seed, key) & (TALLY_SLOTS - 1);

	while (t->slot[at] && !span_eq(tally_key(&t->row[t->slot[at] - 1]), key))
		at = (at + 1) & (TALLY_SLOTS - 1);
	return at;
}

static void add_up(struct tally_row *to, const struct tally_row *from)
{
	to->sum += from->sum;
	to->bytes += from->bytes;
	for (size_t i = 0; i < TALLY_COLUMNS; i++)
		to->column[i] += from->column[i];
}

static void index_all(struct tally *t)
{
	memset(t->slot, 0, sizeof(t->slot));
	for (size_t i = 0; i < t->used; i++)
		t->slot[slot_of(t, tally_key(&t->row[i]))] = (uint16_t)(i + 1);
}

static void make_room(struct tally *t)
{
	int64_t total = 0, average;
	size_t kept = 0;

	for (size_t i = 0; i < t->used; i++)
		total += t->row[i].sum;
	average = (total + (int64_t)t->used - 1) / (int64_t)t->used;
	for (size_t i = 0; i < t->used; i++)
		if (t->row[i].sum > average)
			t->row[kept++] = t->row[i];
		else
			add_up(&t->others, &t->row[i]);
	t->used = kept;
	index_all(t);
}

void tally_add(struct tally *t, struct span key, unsigned column, int64_t bytes)
{
	struct tally_row *r;
	size_t at;

	BUG_IF(column >= TALLY_COLUMNS);
	key = span_head(key, TALLY_KEY);
	at = slot_of(t, key);
	if (!t->slot[at]) {
		if (t->used == TALLY_ROWS) {
			make_room(t);
			at = slot_of(t, key);
		}
		r = &t->row[t->used++];
		*r = (struct tally_row){ .n = (uint8_t)key.n };
		if (key.n)
			memcpy(r->key, key.p, key.n);
		t->slot[at] = (uint16_t)t->used;
	}
	r = &t->row[t->slot[at] - 1];
	r->sum++;
	r->bytes += bytes;
	r->column[column]++;
}

static void swap(struct tally_row *a, struct tally_row *b)
{
	struct tally_row c = *a;

	*a = *b;
	*b = c;
}

/* A heap with the smallest sum on top, taken apart from behind. */
static void sift(struct tally_row *rows, size_t at, size_t n)
{
	for (;;) {
		size_t least = at, left = 2 * at + 1;

		if (left < n && rows[left].sum < rows[least].sum)
			least = left;
		if (left + 1 < n && rows[left + 1].sum < rows[least].sum)
			least = left + 1;
		if (least == at)
			return;
		swap(&rows[at], &rows[least]);
		at = least;
	}
}

void tally_sort(struct tally *t)
{
	for (size_t i = t->used / 2; i > 0; i--)
		sift(t->row, i - 1, t->used);
	for (size_t n = t->used; n > 1; n--) {
		swap(&t->row[0], &t->row[n - 1]);
		sift(t->row, 0, n - 1);
	}
	index_all(t);
}
