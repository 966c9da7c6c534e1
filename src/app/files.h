/*
 * files - whole files into memory, and memory into sealed descriptors
 */
#ifndef APP_FILES_H
#define APP_FILES_H

#include "base/buf.h"
#include "base/err.h"

/* A buf that gets more memory when it needs it, up to a ceiling. */
struct grow {
	struct buf buf;
	size_t max;
};

void grow_init(struct grow *g, size_t max);
void grow_free(struct grow *g);
/* Make room for n more bytes. False: over the ceiling, or out of memory. */
MUST bool grow_room(struct grow *g, size_t n);

/* Append a regular file of at most max bytes. world: may everybody read it? NULL: no matter. */
MUST bool file_read(const char *path, size_t max, struct grow *out, bool *world,
		    struct err *err);

/* A memfd with these bytes that nobody can change any more; -1 on failure. */
MUST int file_seal(const char *name, struct span bytes, struct err *err);

#endif
