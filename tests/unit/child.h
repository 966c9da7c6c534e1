/*
 * child - a fork for tests: a child that crashes dies of it
 *
 * cmocka answers a crash by going on with the next test, which is not for a child to do.
 */
#ifndef TESTS_UNIT_CHILD_H
#define TESTS_UNIT_CHILD_H

#include <signal.h>
#include <unistd.h>

#include "base/attr.h"

static inline pid_t fork_child(void)
{
	static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS };
	pid_t pid = fork();

	for (size_t i = 0; pid == 0 && i < COUNT_OF(crashes); i++)
		(void)signal(crashes[i], SIG_DFL);
	return pid;
}

#endif
