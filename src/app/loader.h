/*
 * loader - the configuration file, read and judged
 *
 * libconfig reads, the tables in spec/ judge: every problem is reported, with its place,
 * not only the first. The loader role is a short-lived child: it compiles configuration,
 * certificates, recipient files and access lists into four sealed memfds, which the supervisor gives to
 * the roles. The command line uses the same code in its own process.
 *
 * Relative paths are relative to the directory of the configuration file.
 */
#ifndef APP_LOADER_H
#define APP_LOADER_H

#include "base/err.h"
#include "conf/check.h"
#include "guard/access.h"

struct loader_request {
	const char *path;	/* the configuration file; NULL: all defaults */
	const char *const *set; /* "KEY=VALUE", after the file */
	size_t set_count;
	bool conf_only;	  /* leave certificates, recipient files and access lists alone */
	bool access_only; /* of files, read access lists only */
	/* fatal: the configuration cannot be used. text begins with the place. */
	void (*on_problem)(void *arg, bool fatal, const char *text);
	void *arg;
};

/* One text of allow or deny. */
struct access_text {
	const char *text;
	struct origin at;
};

/* One group of the access section. */
struct access_source {
	const char *file; /* perhaps with a format in front */
	enum access_of of;
	enum access_answer action; /* of lines that do not say */
	struct origin at;
};

/* Where the lists come from, and what became of them. */
struct loaded_access {
	const struct access_text *allow, *deny;
	const struct access_source *files;
	size_t allow_count, deny_count, file_count;
	struct span blob;  /* guard/access.h */
	uint64_t repeated; /* entries that another of their list says as well */
	ms_t took;
};

struct loaded {
	struct conf conf;
	struct origins origins; /* where each value came from */
	struct span certs, tables;
	struct loaded_access access;
	unsigned fatal, warnings;     /* how many */
	struct loader_memory *memory; /* what the spans and origins point into */
};

/* False if there was a fatal problem; *out is there (to be closed) in both cases. */
MUST bool loader_load(const struct loader_request *request, struct loaded **out);
void loader_close(struct loaded **loaded);

/* The role: reads, sends PROBLEM, then LOADED over LINK_FD; exit code 0 or 1. */
int loader_main(const char *path, const char *const *set, size_t set_count);

#endif
