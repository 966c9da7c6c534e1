/*
 * logs - how much has been written to some log files
 *
 * Rotation (another file has the name), truncation, and files that appear later are noticed. What
 * is written to a file after its rotation counts too. What was written and truncated away between
 * two looks cannot be seen.
 */
#ifndef REHEARSE_LOGS_H
#define REHEARSE_LOGS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"
#include "rehearse/limits.h"

#define LOG_OLD 4 /* rotated files of one name that are still followed */

/* One file, by what it was when last looked at. */
struct log_inode {
	int fd; /* owned, O_PATH: keeps the inode from being used again; -1: none */
	uint64_t size;
};

struct log_file {
	char *path; /* owned */
	struct log_inode now, old[LOG_OLD];
};

struct logs {
	struct log_file files[LOGS_MAX];
	unsigned n;
	int64_t opened; /* seconds since 1970: what was born later counts whole */
	uint64_t grown; /* bytes */
};

/* Follow these. One that is not there yet counts from its first byte. e names what is no file. */
MUST bool logs_open(struct logs *l, const char *const *paths, unsigned n, struct err *e);
void logs_close(struct logs *l);

/*
 * Also follow what this process has open for writing and what is a log by its name: regular files
 * whose name contains "log", or that lie in a directory `log` or `logs`. Only its first few
 * descriptors are looked at.
 */
void logs_find(struct logs *l, pid_t pid);

/* Bytes written since logs_open(). */
uint64_t logs_look(struct logs *l);

/* Is there any file, or was there one? */
bool logs_any(const struct logs *l);

#endif
