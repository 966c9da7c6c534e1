/*
 * loader - the configuration file, read and judged
 *
 * libconfig reads, the tables in spec/ judge: every problem is reported, with its place,
 * not only the first. The loader role is a short-lived child: it compiles configuration,
 * certificates and recipient files into three sealed memfds, which the supervisor gives to
 * the roles. The command line uses the same code in its own process.
 *
 * Relative paths are relative to the directory of the configuration file.
 */
#ifndef APP_LOADER_H
#define APP_LOADER_H

#include "base/err.h"
#include "conf/check.h"

struct loader_request {
	const char *path;	/* the configuration file; NULL: all defaults */
	const char *const *set; /* "KEY=VALUE", after the file */
	size_t set_count;
	bool conf_only; /* leave certificates and recipient files alone */
	/* fatal: the configuration cannot be used. text begins with the place. */
	void (*on_problem)(void *arg, bool fatal, const char *text);
	void *arg;
};

struct loaded {
	struct conf conf;
	struct origins origins; /* where each value came from */
	struct span certs, tables;
	unsigned fatal, warnings;     /* how many */
	struct loader_memory *memory; /* what the spans and origins point into */
};

/* False if there was a fatal problem; *out is there (to be closed) in both cases. */
MUST bool loader_load(const struct loader_request *request, struct loaded **out);
void loader_close(struct loaded **loaded);

/* The role: reads, sends PROBLEM, then LOADED over LINK_FD; exit code 0 or 1. */
int loader_main(const char *path, const char *const *set, size_t set_count);

#endif
