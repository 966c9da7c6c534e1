#include "store/lineup.h"

#include <stdlib.h>

#include "base/bug.h"

void line_put(struct line *l, struct destination *d)
{
	d->next = NULL;
	d->prev = l->last;
	if (l->last)
		l->last->next = d;
	else
		l->first = d;
	l->last = d;
	l->count++;
}

void line_put_first(struct line *l, struct destination *d)
{
	d->prev = NULL;
	d->next = l->first;
	if (l->first)
		l->first->prev = d;
	else
		l->last = d;
	l->first = d;
	l->count++;
}

void line_drop(struct line *l, struct destination *d)
{
	if (d->prev)
		d->prev->next = d->next;
	else
		l->first = d->next;
	if (d->next)
		d->next->prev = d->prev;
	else
		l->last = d->prev;
	d->next = d->prev = NULL;
	l->count--;
}

static void heap_set(struct heap *h, uint32_t place, struct destination *d)
{
	h->list[place] = d;
	d->place = place;
}

static void heap_up(struct heap *h, struct destination *d)
{
	uint32_t at = d->place;

	for (; at > 1 && h->list[at / 2]->key > d->key; at /= 2)
		heap_set(h, at, h->list[at / 2]);
	heap_set(h, at, d);
}

static void heap_down(struct heap *h, struct destination *d)
{
	uint32_t at = d->place, child;

	for (; (child = at * 2) <= h->count; at = child) {
		if (child < h->count && h->list[child + 1]->key < h->list[child]->key)
			child++;
		if (h->list[child]->key >= d->key)
			break;
		heap_set(h, at, h->list[child]);
	}
	heap_set(h, at, d);
}

/* There is room: heap_reserve() saw to it when the destination was made. */
void heap_put(struct heap *h, struct destination *d, int64_t key)
{
	BUG_IF(h->count >= h->cap);
	d->key = key;
	heap_set(h, ++h->count, d);
	heap_up(h, d);
}

void heap_drop(struct heap *h, struct destination *d)
{
	struct destination *last = h->list[h->count--];

	if (last != d) {
		heap_set(h, d->place, last);
		heap_up(h, last);
		heap_down(h, last);
	}
	d->place = 0;
}

bool heap_reserve(struct heap *h, size_t count)
{
	uint32_t cap = h->cap ? h->cap * 2 : 64;
	struct destination **list;

	if (count <= h->cap)
		return true;
	list = realloc(h->list, (cap + 1) * sizeof(struct destination *));
	if (!list)
		return false;
	h->list = list;
	h->cap = cap;
	return true;
}
