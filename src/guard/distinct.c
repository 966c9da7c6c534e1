#include "guard/distinct.h"

#include <string.h>

#define SKETCH	  255
#define REGISTERS 64
#define REG_MAX	  15

/* 64 * ln(64 / zeros): how many are there if so many registers are still zero. */
/* clang-format off */
static const uint16_t by_zeros[REGISTERS + 1] = {
	0, 266, 222, 196, 177, 163, 151, 142, 133, 126, 119, 113, 107, 102, 97, 93,
	89, 85, 81, 78, 74, 71, 68, 65, 63, 60, 58, 55, 53, 51, 48, 46, 44, 42, 40,
	39, 37, 35, 33, 32, 30, 28, 27, 25, 24, 23, 21, 20, 18, 17, 16, 15, 13, 12,
	11, 10, 9, 7, 6, 5, 4, 3, 2, 1, 0,
};
/* clang-format on */

/* Only 32 bits are kept of each, so only these count: also in the sketch. */
static uint32_t short_of(uint64_t hash)
{
	return (uint32_t)(hash ^ hash >> 32);
}

bool distinct_is_exact(const struct distinct *d)
{
	return d->n <= DISTINCT_EXACT;
}

static unsigned reg_get(const struct distinct *d, unsigned i)
{
	return d->bytes[i / 2] >> (4 * (i % 2)) & 15;
}

static bool reg_raise(struct distinct *d, unsigned i, unsigned to)
{
	unsigned was = reg_get(d, i), shift = 4 * (i % 2);

	if (to <= was)
		return false;
	d->bytes[i / 2] = (uint8_t)((d->bytes[i / 2] & ~(15u << shift)) | to << shift);
	return true;
}

/* Six bits choose the register, the zeros that follow are what it keeps the most of. */
static bool sketch_add(struct distinct *d, uint32_t h)
{
	uint32_t rest = h << 6;
	unsigned rank = rest ? (unsigned)__builtin_clz(rest) + 1 : REG_MAX;

	return reg_raise(d, h >> 26, rank < REG_MAX ? rank : REG_MAX);
}

static uint32_t kept(const struct distinct *d, unsigned i)
{
	uint32_t h;

	memcpy(&h, d->bytes + 4 * i, sizeof(h));
	return h;
}

static void become_sketch(struct distinct *d)
{
	struct distinct was = *d;

	*d = (struct distinct){ .n = SKETCH };
	for (unsigned i = 0; i < was.n && i < DISTINCT_EXACT; i++)
		(void)sketch_add(d, kept(&was, i));
}

static bool add_short(struct distinct *d, uint32_t h)
{
	if (!distinct_is_exact(d))
		return sketch_add(d, h);
	for (unsigned i = 0; i < d->n; i++)
		if (kept(d, i) == h)
			return false;
	if (d->n == DISTINCT_EXACT) {
		become_sketch(d);
		(void)sketch_add(d, h);
		return true;
	}
	memcpy(d->bytes + 4 * (size_t)d->n, &h, sizeof(h));
	d->n++;
	return true;
}

bool distinct_add(struct distinct *d, uint64_t hash)
{
	return add_short(d, short_of(hash));
}

/*
 * HyperLogLog: 0.709 * 64^2 / (sum of 2^-register); while many registers are zero, how
 * many there are says more. A sketch was made for the ninth, so it is never below nine.
 */
uint32_t distinct_count(const struct distinct *d)
{
	uint64_t sum = 0, guess;
	unsigned zeros = 0;

	if (distinct_is_exact(d))
		return d->n;
	/* two at a time: it is asked several times for each guess */
	for (unsigned i = 0; i < REGISTERS / 2; i++) {
		unsigned low = d->bytes[i] & 15, high = d->bytes[i] >> 4;

		zeros += (unsigned)(low == 0) + (unsigned)(high == 0);
		sum += (1u << REG_MAX >> low) + (1u << REG_MAX >> high);
	}
	guess = (UINT64_C(709) * REGISTERS * REGISTERS << REG_MAX) / 1000 / sum;
	if (zeros && guess < REGISTERS * 5 / 2)
		guess = by_zeros[zeros];
	return guess > DISTINCT_EXACT ? (uint32_t)guess : DISTINCT_EXACT + 1;
}

void distinct_merge(struct distinct *into, const struct distinct *from)
{
	if (distinct_is_exact(from)) {
		for (unsigned i = 0; i < from->n; i++)
			(void)add_short(into, kept(from, i));
		return;
	}
	if (distinct_is_exact(into))
		become_sketch(into);
	for (unsigned i = 0; i < REGISTERS; i++)
		(void)reg_raise(into, i, reg_get(from, i));
}
