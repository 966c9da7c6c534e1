/*
 * group - what the kernel's control groups count for some processes
 *
 * A group counts what /proc cannot: CPU of children that came and went between two looks, and
 * kernel memory. It is of use only if nobody else is in it.
 */
#ifndef REHEARSE_GROUP_H
#define REHEARSE_GROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"

enum group_kind { GROUP_CPU, GROUP_MEMORY };

struct group {
	char dir[PATH_MAX]; /* where its files are; "" if there is no such group */
	bool v2;
};

/*
 * The lowest group, version 1 or 2, that all of these processes are in, if it is not the root of
 * its hierarchy and no other process is in it. pids ascend.
 */
MUST bool group_own(struct group *g, enum group_kind kind, const pid_t *pids, size_t n);

/* CPU-seconds used in it so far, by whoever was in it. */
MUST bool group_cpu(const struct group *g, double *out);

/* Bytes of kernel memory, buffers of sockets included if *sockets. */
MUST bool group_kernel(const struct group *g, uint64_t *out, bool *sockets);

/*
 * Without a group: what kernel memory the whole machine uses for slabs (sockets, files, ...),
 * buffers of sockets, kernel stacks and page tables.
 */
MUST bool group_machine_kernel(uint64_t *out);

#endif
