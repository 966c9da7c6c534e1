#include "base/siphash.h"

#include <string.h>

#include "base/attr.h"

struct sip {
	uint64_t v0, v1, v2, v3;
};

/* It is on every hot path, and its state belongs into registers: gcc would rather call it. */

INLINE uint64_t turn(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

INLINE void round_once(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = turn(s->v1, 13) ^ s->v0;
	s->v0 = turn(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = turn(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = turn(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = turn(s->v1, 17) ^ s->v2;
	s->v2 = turn(s->v2, 32);
}

INLINE void add(struct sip *s, uint64_t word)
{
	s->v3 ^= word;
	round_once(s);
	round_once(s);
	s->v0 ^= word;
}

static uint64_t whole_word(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? word : __builtin_bswap64(word);
}

/* Of less than eight bytes. */
static uint64_t little_endian(const uint8_t *p, size_t n)
{
	uint64_t word = 0;

	for (size_t i = 0; i < n; i++)
		word |= (uint64_t)p[i] << (8 * i);
	return word;
}

uint64_t siphash(const uint64_t key[2], struct span s)
{
	struct sip h = {
		.v0 = key[0] ^ 0x736f6d6570736575u,
		.v1 = key[1] ^ 0x646f72616e646f6du,
		.v2 = key[0] ^ 0x6c7967656e657261u,
		.v3 = key[1] ^ 0x7465646279746573u,
	};
	uint64_t last = (uint64_t)s.n << 56;

	for (; s.n >= 8; s = span_skip(s, 8))
		add(&h, whole_word(s.p));
	add(&h, last | little_endian(s.p, s.n));
	h.v2 ^= 0xff;
	for (int i = 0; i < 4; i++)
		round_once(&h);
	return h.v0 ^ h.v1 ^ h.v2 ^ h.v3;
}
