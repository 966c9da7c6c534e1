/*
 * box_files - a Maildir as POP3 sees it: what was there at one moment
 *
 * Mails are in the order of their names, which begin with the time of their delivery, so
 * numbers are the same from session to session. A mail is known by the part of its name
 * that never changes: other readers move files from new to cur and write flags behind the
 * colon while we look. That part is the UIDL, too.
 *
 * What is no mail is passed over: directories, links, pipes, names with a dot in front.
 *
 * All of this blocks: for threads, one at a time for one box.
 */
#ifndef STORE_BOX_FILES_H
#define STORE_BOX_FILES_H

#include "spec/box.h"
#include "store/maildir.h"

struct box_file {
	uint64_t when; /* the number that the name begins with */
	uint64_t size; /* with CRLF, by the name; 0: it does not say */
	uint32_t at;   /* where the name begins in box_files.names; a NUL ends it */
	uint16_t base; /* how much of it never changes */
	bool in_cur;
};

struct box_files {
	size_t count, room;
	struct box_file *files;
	size_t names_n, names_room;
	char *names;
};

void box_files_close(struct box_files *b);

/*
 * Read the list, and put it into a sealed file (struct box_item); *bytes: their size
 * together. A mailbox that does not exist is errno ENOENT. A box with more than
 * BOX_MESSAGES_MAX has the others next time.
 */
MUST bool box_files_list(struct maildirs *m, struct span path, struct box_files *out,
			 int *fd, uint64_t *bytes, struct err *err);

/* Open one for reading. -1: it is gone. */
int box_files_open(struct maildirs *m, struct span path, struct box_files *b, size_t i);

/*
 * Remove those whose bit is set, and have the disk know it. One that is gone already is
 * fine. Returns how many are still there, or may come back after a power cut.
 */
size_t box_files_remove(struct maildirs *m, struct span path, struct box_files *b,
			struct span bits);

#endif
