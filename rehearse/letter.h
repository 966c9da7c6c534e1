/*
 * letter - messages that canned was sent, each in a file of its own
 *
 * Small ones wait in memory until they are whole and are then written at once; what is larger
 * than LETTER_HELD, or comes when LETTERS_HELD are held already, goes to its file as it comes, and
 * until it is whole that file is called NAME.part.
 * Each file has the text as it was sent, without the end of data; dots are not taken away.
 */
#ifndef REHEARSE_LETTER_H
#define REHEARSE_LETTER_H

#include "base/attr.h"
#include "base/err.h"
#include "base/span.h"

#define LETTER_HELD  (64 * 1024)	/* bytes of one message in memory */
#define LETTERS_HELD (64 * 1024 * 1024) /* of all of a process */

/* One process's. */
struct letters {
	int dir; /* owned; -1: nothing is kept */
	uint64_t number;
	size_t held;
};

struct letter;

/* dir: where the files go; NULL: they are thrown away. */
MUST bool letters_open(struct letters *all, const char *dir, struct err *e);
void letters_close(struct letters *all);

/*
 * Append to *l, which is made at the first piece. A disk that fails is remembered in it and told by
 * letter_keep(). False if there is no memory for it: then the message must not be accepted.
 */
MUST bool letter_put(struct letters *all, struct letter **l, struct span piece);

/* True once it is on the disk (fsync). *l is NULL afterwards, either way. */
MUST bool letter_keep(struct letters *all, struct letter **l);

/* It was not to be: no file is left. NULL is fine. */
void letter_drop(struct letters *all, struct letter **l);

#endif
