#include "edge/lately.h"

#include <string.h>

#include "base/siphash.h"

void lately_init(struct lately *l, const uint64_t key[2])
{
	memset(l->in, 0, sizeof(l->in));
	l->key[0] = key[0];
	l->key[1] = key[1];
}

uint64_t lately_who(const struct lately *l, const struct addr *from, struct span user)
{
	uint64_t key[2] = { l->key[0], siphash(l->key, user) };
	uint64_t who = siphash(key, span_of(from->ip, sizeof(from->ip)));

	return who ? who : 1;
}

bool lately_has(const struct lately *l, uint64_t who)
{
	return l->in[who % LATELY_PLACES] == who;
}

void lately_note(struct lately *l, uint64_t who, bool let_in)
{
	uint64_t *place = &l->in[who % LATELY_PLACES];

	if (let_in)
		*place = who;
	else if (*place == who)
		*place = 0;
}
