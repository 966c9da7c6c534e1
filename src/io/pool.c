#include "io/pool.h"

#include <stdlib.h>

#include "base/bug.h"

struct spare {
	struct spare *next;
};

void pool_init(struct pool *p, size_t size, size_t keep)
{
	BUG_IF(size < sizeof(struct spare));
	*p = (struct pool){ .size = size, .keep = keep };
}

void pool_close(struct pool *p)
{
	while (p->first) {
		struct spare *s = p->first;

		p->first = s->next;
		free(s);
	}
	p->spare = 0;
}

void *pool_take(struct pool *p)
{
	struct spare *s = p->first;

	if (s) {
		p->first = s->next;
		p->spare--;
	} else {
		s = malloc(p->size);
	}
	p->lent += s != NULL;
	return s;
}

void pool_give(struct pool *p, void *block)
{
	struct spare *s = block;

	if (!s)
		return;
	BUG_IF(p->lent == 0);
	p->lent--;
	if (p->spare >= p->keep) {
		free(s);
		return;
	}
	s->next = p->first;
	p->first = s;
	p->spare++;
}
