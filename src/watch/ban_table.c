#include "watch/ban_table.h"

#include <stdlib.h>

#include "base/siphash.h"

#define PLACES_LEAST 1024
#define PLACES_MAX   (1u << 19) /* a power of two */

bool ban_table_open(struct ban_table *t, const uint64_t hash_key[2])
{
	*t = (struct ban_table){ .hash_key = { hash_key[0], hash_key[1] },
				 .place = calloc(PLACES_LEAST, sizeof(*t->place)) };
	t->cap = t->place ? PLACES_LEAST : 0;
	return t->place != NULL;
}

void ban_table_close(struct ban_table *t)
{
	free(t->place);
	*t = (struct ban_table){ 0 };
}

static size_t home_of(const struct ban_table *t, struct guard_key k)
{
	uint8_t mem[9];

	memcpy(mem, &k.prefix, 8);
	mem[8] = k.kind;
	return (size_t)siphash(t->hash_key, span_of(mem, sizeof(mem))) & (t->cap - 1);
}

struct ban_place *ban_table_find(const struct ban_table *t, struct guard_key k)
{
	size_t at = home_of(t, k);

	while (t->place[at].used && !guard_key_eq(t->place[at].note.key, k))
		at = (at + 1) & (t->cap - 1);
	return &t->place[at];
}

static bool grow(struct ban_table *t)
{
	struct ban_place *old = t->place;
	size_t cap = t->cap;
	struct ban_place *mem = cap < PLACES_MAX ? calloc(2 * cap, sizeof(*mem)) : NULL;

	if (!mem)
		return false;
	t->place = mem;
	t->cap = 2 * cap;
	for (size_t i = 0; i < cap; i++)
		if (old[i].used)
			*ban_table_find(t, old[i].note.key) = old[i];
	free(old);
	return true;
}

void ban_table_keep(struct ban_table *t, const struct ban_note *note)
{
	struct ban_place *p = ban_table_find(t, note->key);

	if (!p->used && 4 * (t->used + 1) > 3 * t->cap) {
		if (!grow(t))
			return;
		p = ban_table_find(t, note->key);
	}
	t->observed -= p->used && p->note.ban.observed;
	t->observed += note->ban.observed != 0;
	t->used += !p->used;
	*p = (struct ban_place){ .used = true, .note = *note };
}

/* Those behind it that only stand there because this place was taken move up. */
void ban_table_drop(struct ban_table *t, struct ban_place *p)
{
	size_t hole = (size_t)(p - t->place), at = hole, mask = t->cap - 1;

	t->observed -= p->note.ban.observed != 0;
	t->used--;
	for (;;) {
		at = (at + 1) & mask;
		if (!t->place[at].used)
			break;
		if (((at - home_of(t, t->place[at].note.key)) & mask) >=
		    ((at - hole) & mask)) {
			t->place[hole] = t->place[at];
			hole = at;
		}
	}
	t->place[hole].used = false;
}

bool ban_table_each(const struct ban_table *t, size_t *at, struct ban_note *out)
{
	while (*at < t->cap) {
		const struct ban_place *p = &t->place[(*at)++];

		if (p->used) {
			*out = p->note;
			return true;
		}
	}
	return false;
}
