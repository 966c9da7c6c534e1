/*
 * expect - what every unit test includes: cmocka, and how spans are compared
 *
 * A test is named by a sentence that is true. Rows say why, input, and what is expected;
 * a row that fails is named by its why.
 */
#ifndef TESTS_UNIT_EXPECT_H
#define TESTS_UNIT_EXPECT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/span.h"

/* A buf in memory of its own: BUF(out, 100); */
#define BUF(name, size)           \
	uint8_t name##_mem[size]; \
	struct buf name = { .mem = name##_mem, .cap = sizeof(name##_mem) }

static inline void expect_span(const char *why, struct span got, struct span want)
{
	if (span_eq(got, want))
		return;
	fail_msg("%s: got \"%.*s\" instead of \"%.*s\"", why, SPAN_ARG(got),
		 SPAN_ARG(want));
}

static inline void expect_text(const char *why, const struct buf *got, const char *want)
{
	if (got->full)
		fail_msg("%s: the buffer was too small", why);
	expect_span(why, buf_span(got), span_str(want));
}

static inline void expect_true(const char *why, bool got)
{
	if (!got)
		fail_msg("%s: false", why);
}

static inline void expect_false(const char *why, bool got)
{
	if (got)
		fail_msg("%s: true", why);
}

static inline void expect_number(const char *why, int64_t got, int64_t want)
{
	if (got != want)
		fail_msg("%s: got %lld instead of %lld", why, (long long)got,
			 (long long)want);
}

/* A generator for property tests: the same numbers in every run (splitmix64). */
static inline uint64_t dice(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline size_t dice_below(uint64_t *state, size_t n)
{
	return (size_t)(dice(state) % n);
}

#endif
