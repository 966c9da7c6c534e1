#include "store/names.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/siphash.h"

#define NAMES_MIN 64

void names_init(struct names *t, const uint64_t key[2])
{
	*t = (struct names){ .key = { key[0], key[1] } };
}

void names_close(struct names *t)
{
	free(t->slots);
	t->slots = NULL;
	t->cap = t->count = 0;
}

/* The slot of that name, or the free one where it belongs. */
static size_t place(const struct names *t, uint64_t hash, struct span text)
{
	size_t i = hash & (t->cap - 1);

	while (t->slots[i] &&
	       !(t->slots[i]->hash == hash && span_eq(t->slots[i]->text, text)))
		i = (i + 1) & (t->cap - 1);
	return i;
}

struct name *names_find(const struct names *t, struct span text)
{
	if (t->count == 0)
		return NULL;
	return t->slots[place(t, siphash(t->key, text), text)];
}

static bool grow(struct names *t)
{
	struct names bigger = *t;

	bigger.cap = t->cap ? t->cap * 2 : NAMES_MIN;
	bigger.slots = calloc(bigger.cap, sizeof(struct name *));
	if (!bigger.slots)
		return false;
	for (size_t i = 0; i < t->cap; i++)
		if (t->slots[i])
			bigger.slots[place(&bigger, t->slots[i]->hash, t->slots[i]->text)] =
				t->slots[i];
	free(t->slots);
	*t = bigger;
	return true;
}

bool names_put(struct names *t, struct name *n)
{
	size_t i;

	if (t->count >= t->cap / 2 && !grow(t))
		return false;
	n->hash = siphash(t->key, n->text);
	i = place(t, n->hash, n->text);
	BUG_IF(t->slots[i]);
	t->slots[i] = n;
	t->count++;
	return true;
}

/* Those behind it move up, so that no search stops at the gap too early. */
void names_drop(struct names *t, struct name *n)
{
	size_t gap = place(t, n->hash, n->text), i = gap;

	BUG_IF(t->slots[gap] != n);
	t->slots[gap] = NULL;
	t->count--;
	for (;;) {
		size_t home;

		i = (i + 1) & (t->cap - 1);
		if (!t->slots[i])
			return;
		home = t->slots[i]->hash & (t->cap - 1);
		if (((i - home) & (t->cap - 1)) < ((i - gap) & (t->cap - 1)))
			continue;
		t->slots[gap] = t->slots[i];
		t->slots[i] = NULL;
		gap = i;
	}
}

struct name *names_each(const struct names *t, size_t *at)
{
	while (*at < t->cap)
		if (t->slots[(*at)++])
			return t->slots[*at - 1];
	return NULL;
}
