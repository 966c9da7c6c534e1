#include "store/pile.h"

#include <stdalign.h>
#include <stdlib.h>

#define CHUNK ((size_t)128 << 10)
#define ALIGN alignof(max_align_t)

struct pile_chunk {
	struct pile_chunk *before;
	size_t cap, used;
	alignas(max_align_t) uint8_t mem[];
};

void pile_init(struct pile *p)
{
	*p = (struct pile){ 0 };
}

void pile_close(struct pile *p)
{
	while (p->last) {
		struct pile_chunk *before = p->last->before;

		free(p->last);
		p->last = before;
	}
	p->bytes = 0;
}

static struct pile_chunk *grow(struct pile *p, size_t n)
{
	size_t cap = n > CHUNK / 4 ? n : CHUNK;
	struct pile_chunk *c = malloc(sizeof(*c) + cap);

	if (!c)
		return NULL;
	c->cap = cap;
	c->used = 0;
	p->bytes += sizeof(*c) + cap;
	/* a large piece fills its own chunk: go on with the one before */
	if (cap == n && p->last) {
		c->before = p->last->before;
		p->last->before = c;
	} else {
		c->before = p->last;
		p->last = c;
	}
	return c;
}

void *pile_raw(struct pile *p, size_t n)
{
	struct pile_chunk *c = p->last;
	void *got;

	if (n > SIZE_MAX / 2)
		return NULL;
	n = (n + ALIGN - 1) / ALIGN * ALIGN;
	if (!c || n > c->cap - c->used) {
		c = grow(p, n);
		if (!c)
			return NULL;
	}
	got = c->mem + c->used;
	c->used += n;
	return got;
}

void *pile_take(struct pile *p, size_t n)
{
	void *got = pile_raw(p, n);

	if (got && n)
		memset(got, 0, n);
	return got;
}

bool pile_keep(struct pile *p, struct span s, struct span *out)
{
	void *copy = pile_raw(p, s.n ? s.n : 1);

	if (!copy)
		return false;
	if (s.n)
		memcpy(copy, s.p, s.n);
	*out = span_of(copy, s.n);
	return true;
}
