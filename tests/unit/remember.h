/*
 * remember - a guard's memory for tests, in memory that forked processes share
 */
#ifndef TESTS_UNIT_REMEMBER_H
#define TESTS_UNIT_REMEMBER_H

#include <sys/mman.h>

#include "expect.h"
#include "guard/seats.h"

struct remember {
	struct memory m;
	void *mem;
	size_t n;
};

static const uint64_t remember_key[2] = { UINT64_C(0x243f6a8885a308d3),
					  UINT64_C(0x13198a2e03707344) };

static inline void *shared_pages(size_t n)
{
	void *mem = mmap(NULL, n, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(mem != MAP_FAILED);
	return mem;
}

static inline void remember_open(struct remember *r, struct memory_shape shape)
{
	r->n = memory_size(&shape);
	r->mem = shared_pages(r->n);
	memory_init(r->mem, r->n, &shape, remember_key, 1000);
	assert_true(memory_open(&r->m, r->mem, r->n, 0));
}

static inline void remember_close(struct remember *r)
{
	assert_int_equal(munmap(r->mem, r->n), 0);
}

/* A view of the same memory, for another worker. */
static inline struct memory remember_as(const struct remember *r, unsigned worker)
{
	struct memory m;

	assert_true(memory_open(&m, r->mem, r->n, worker));
	return m;
}

static inline struct guard_key key_of(const char *text)
{
	struct addr a;

	assert_true(addr_parse(span_str(text), &a));
	return guard_key_of(&a, LEVEL_CLIENT);
}

/* Its row if there is one, in hot or cold memory. */
static inline struct guard_hot *open_known(const struct memory *m, struct guard_key k,
					   ms_t now)
{
	struct memory_place at = memory_place(m, k);

	return memory_open_at(m, &at, k, now, true);
}

/* The nth of many addresses. */
static inline struct addr nth_addr(uint32_t n)
{
	return addr_v4((uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
		       (uint8_t)n);
}

static inline struct guard_key nth_key(uint32_t n)
{
	struct addr a = nth_addr(n);

	return guard_key_of(&a, LEVEL_CLIENT);
}

#endif
