/*
 * list_writer - all that compiled lists say, as a list again
 *
 * Entries come in the order of addresses; those that are next to each other and of one
 * line are joined. Nothing that has run out is written.
 */
#ifndef CLI_LIST_WRITER_H
#define CLI_LIST_WRITER_H

#include <stdio.h>

#include "guard/access.h"

enum list_as { AS_PLAIN, AS_CIDR, AS_NFT };

struct list_writer {
	FILE *out;
	enum list_as as;
	struct span blob;
	int64_t now; /* wall ms */
	/* for entries that have none: INT64_MAX and NULL if there is none here either */
	int64_t until;
	const char *why;

	/* its own: addresses that are said the same of */
	bool pending;
	struct addr first, last;
	struct access_hit hit;
	/* nft: which set is being written */
	enum access_answer set;
	bool v4, any;
};

/* Clients as asked; names as AS_PLAIN only. Whether it could be written, `out` knows. */
void list_write(struct list_writer *w, enum access_of of);

/* "permit", "deny" or "none". */
const char *list_answer_word(enum access_answer answer);

#endif
