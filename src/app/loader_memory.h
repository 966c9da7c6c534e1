/*
 * loader_memory - what is read of a configuration, and the files that it names
 */
#ifndef APP_LOADER_MEMORY_H
#define APP_LOADER_MEMORY_H

#include "app/files.h"
#include "app/lists_blob.h"
#include "app/loader.h"
#include "app/loader_walk.h"

#define PATH_CAP	4096
#define PEM_FILE_MAX	((size_t)1 << 20)
#define SOURCE_FILE_MAX ((size_t)1 << 30)

struct loader_memory {
	config_t tree; /* origins point to its file names */
	char dir[PATH_CAP];
	struct walk walk;
	struct problems problems;
	struct grow certs, tables;
	struct lists lists;
};

/* Relative to the directory of the configuration. False: too long. */
MUST bool loader_absolute(const char *dir, const char *path, char out[PATH_CAP]);
/* Certificates, files of recipients, and access lists. */
void loader_read_files(struct loaded *l);
void loader_read_access(struct loaded *l);

#endif
