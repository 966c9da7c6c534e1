#include "edge/crowd.h"

#include <stdlib.h>

#include "base/siphash.h"

struct place {
	uint64_t who; /* the hash of the address; 0: free */
	uint32_t count;
};

struct crowd {
	uint64_t key[2];
	size_t mask;
	size_t taken, most;
	struct place places[];
};

bool crowd_open(struct crowd **out, size_t addresses, const uint64_t key[2])
{
	size_t n = 16;
	struct crowd *c;

	while (n < 2 * addresses)
		n *= 2;
	c = calloc(1, sizeof(*c) + n * sizeof(c->places[0]));
	if (!c)
		return false;
	c->key[0] = key[0];
	c->key[1] = key[1];
	c->mask = n - 1;
	c->most = n / 4 * 3;
	*out = c;
	return true;
}

void crowd_close(struct crowd **c)
{
	free(*c);
	*c = NULL;
}

static uint64_t who(const struct crowd *c, const struct addr *a)
{
	size_t n = addr_is_v4(a) ? sizeof(a->ip) : sizeof(a->ip) / 2;
	uint64_t hash = siphash(c->key, span_of(a->ip, n));

	return hash ? hash : 1;
}

/* Where it is, or the free place where it would be. */
static size_t find(const struct crowd *c, uint64_t hash)
{
	size_t at = hash & c->mask;

	while (c->places[at].who && c->places[at].who != hash)
		at = (at + 1) & c->mask;
	return at;
}

uint32_t crowd_count(const struct crowd *c, const struct addr *a)
{
	return c->places[find(c, who(c, a))].count;
}

void crowd_enter(struct crowd *c, const struct addr *a)
{
	uint64_t hash = who(c, a);
	struct place *p = &c->places[find(c, hash)];

	if (!p->who && c->taken >= c->most)
		return;
	c->taken += !p->who;
	p->who = hash;
	p->count++;
}

/* Close the gap: what was pushed behind it moves up, so that no search stops early. */
static void remove_at(struct crowd *c, size_t gap)
{
	size_t at = gap;

	for (;;) {
		at = (at + 1) & c->mask;
		if (!c->places[at].who)
			break;
		if (((at - c->places[at].who) & c->mask) >= ((at - gap) & c->mask)) {
			c->places[gap] = c->places[at];
			gap = at;
		}
	}
	c->places[gap] = (struct place){ 0 };
	c->taken--;
}

void crowd_leave(struct crowd *c, const struct addr *a)
{
	size_t at = find(c, who(c, a));

	if (c->places[at].count && --c->places[at].count == 0)
		remove_at(c, at);
}
