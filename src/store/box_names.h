/*
 * box_names - the names in a Maildir, sorted, and what they say
 *
 * Part of box_files; nobody else includes this.
 */
#ifndef STORE_BOX_NAMES_H
#define STORE_BOX_NAMES_H

#include "store/box_files.h"

/* "new" and "cur", by box_file.in_cur */
extern const char *const box_folders[2];

/* All of a Maildir that is open. False: errno says why. */
MUST bool box_names_read(int box, struct box_files *b);
/* What of a name never changes. */
struct span box_names_base(const struct box_files *b, const struct box_file *f);
/* The same mail in a later list; NULL: it is not in it. */
const struct box_file *box_names_find(const struct box_files *in, struct span base,
				      uint64_t when);

#endif
