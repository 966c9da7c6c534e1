/*
 * little_memory - for tests: so much more address space, and no more than that
 */
#ifndef TESTS_UNIT_LITTLE_MEMORY_H
#define TESTS_UNIT_LITTLE_MEMORY_H

#include <sys/resource.h>
#include <unistd.h>

#include "expect.h"

/* What was allowed before, for allow_memory(). */
static inline struct rlimit allow_little_memory(size_t more)
{
	FILE *f = fopen("/proc/self/statm", "r");
	struct rlimit had, now;
	unsigned long pages;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	assert_int_equal(getrlimit(RLIMIT_AS, &had), 0);
	now = had;
	now.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + more;
	assert_int_equal(setrlimit(RLIMIT_AS, &now), 0);
	return had;
}

static inline void allow_memory(struct rlimit had)
{
	assert_int_equal(setrlimit(RLIMIT_AS, &had), 0);
}

#endif
