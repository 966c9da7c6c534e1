/*
 * lists_blob - access lists on their way to the blob of guard/access.h
 *
 *     lists_init(&l, key, wall, problems)
 *     lists_texts() for allow and deny, lists_file() for each of the access section
 *     lists_make(&l)
 *     lists_free(&l)
 *
 * Ten million prefixes take some 600 MB while they are being compiled, which is why this
 * is a process of its own (app/loader.c).
 */
#ifndef APP_LISTS_BLOB_H
#define APP_LISTS_BLOB_H

#include "app/files.h"
#include "app/lists.h"
#include "guard/access_build.h"

struct lists {
	int64_t wall;
	struct problems *problems;
	bool failed; /* out of memory or too many: said once */

	struct access_file list[ACCESS_MAX + 2];
	bool first_match[ACCESS_MAX + 2];
	size_t count;

	struct access_v4 *v4;
	struct access_v6 *v6;
	struct access_more *more;
	struct access_name *names;
	size_t v4_count, v4_room, v6_count, v6_room;
	size_t more_count, more_room, name_count, name_room;
	struct grow text;
	uint32_t recent[1024]; /* reasons are often the same: where they are */

	/* filled in by lists_make() */
	uint64_t key[2];
	void *blob;
	size_t blob_n;
	size_t repeated;
};

void lists_init(struct lists *l, const uint64_t key[2], int64_t wall,
		struct problems *problems);
void lists_free(struct lists *l);

/* Another list, named as in the configuration; entries go to it until the next. */
void lists_begin(struct lists *l, enum access_of of, enum list_format format,
		 const char *name);
/* One text of the allow or deny section, from that line of the configuration. */
void lists_text(struct lists *l, const char *text, enum access_answer answer,
		struct origin at);
/* A file; src->file is its path. */
void lists_file(struct lists *l, struct list_source *src);
/* What is in one; src->written is when it was. */
void lists_bytes(struct lists *l, struct list_source *src, struct span text);

/* False: out of memory, which was reported. The blob is then there, until lists_free(). */
MUST bool lists_make(struct lists *l);

#endif
