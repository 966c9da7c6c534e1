/*
 * locate - whose mail is on which mailbox server, as the administrator said it
 *
 * `mailboxes` of the configuration goes before it. It is about names that people log in
 * with, so it need not be about users of ours: mail of theirs may go elsewhere, and their
 * passwords may be known elsewhere.
 */
#ifndef STORE_LOCATE_H
#define STORE_LOCATE_H

#include "store/edges.h"

/* LOCATE of an edge. */
MUST bool locate_asked(struct store *s, struct edge_link *e, struct frame *f,
		       struct err *err);
/* `holdfast user backend [ADDRESS [NAME | --remove]]`: the words behind "backend". */
void control_backend(struct store *s, uint32_t ask, struct span words);

#endif
