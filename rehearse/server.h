/*
 * server - what the attacked server costs: CPU, memory, descriptors, log
 *
 * For the process trees below some pids, as /proc tells, and for log files.
 */
#ifndef REHEARSE_SERVER_H
#define REHEARSE_SERVER_H

#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/time.h"
#include "rehearse/limits.h"

/* What a look could read. */
enum {
	SERVER_HAS_CPU = 1u << 0, /* and how many processes: each look has these */
	SERVER_HAS_PSS = 1u << 1, /* only if asked for */
	SERVER_HAS_KERNEL = 1u << 2,
	SERVER_HAS_FDS = 1u << 3,
	SERVER_HAS_LOG = 1u << 4, /* there is a log file, or was one */
	SERVER_HAS_WRITTEN = 1u << 5,
};

/* One look. All sums over the trees; what could not be read is 0 and its `has` bit is missing. */
struct server_look {
	unsigned has;
	double cpu; /* CPU-seconds since the server was opened, ended children included */
	uint64_t pss, pss_anon; /* bytes; only if asked for, it is costly */
	uint64_t kernel;	/* bytes of kernel memory, see kernel_from */
	uint32_t fds, processes;
	uint64_t log;	  /* bytes written to the logs since the server was opened */
	uint64_t written; /* bytes passed to write() by the trees (wchar): an upper bound */
};

struct server {
	pid_t pids[SERVER_PIDS_MAX];
	uint64_t started[SERVER_PIDS_MAX]; /* clock ticks: makes a pid the same process */
	unsigned pids_n;
	char kernel_from[80]; /* "its control group", "growth of the whole machine's ...", ... */
	char cpu_from[80];	    /* "its control group", "/proc" */
	struct server_inner *inner; /* owned */
};

/*
 * To a tree belong the descendants of a pid, also those that have lost their parents since, and
 * who is in its session or process group if it leads that. e names a pid that is not there, or
 * that we descend from.
 *
 * logs: files whose growth counts (rotation and truncation are noticed). With none, regular files
 * that the trees have open for writing and that are logs by their name are taken.
 */
MUST bool server_open(struct server *s, const pid_t *pids, unsigned pids_n,
		      const char *const *logs, unsigned logs_n, struct err *e);
void server_close(struct server *s);

/*
 * memory: also PSS, and log files that were opened since. Never fails: the CPU, the log and the
 * writes of what is gone count as they last were, so these never become less.
 */
void server_look(struct server *s, bool memory, struct server_look *out);

/* Are all its root processes still the ones they were, and alive (not zombies)? */
bool server_alive(const struct server *s);

#endif
