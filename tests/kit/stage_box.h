/*
 * stage_box - a Maildir on the stage, for POP3 sessions that are told of one
 *
 * One for all peers: locks are the store's. Texts come in pieces, as from a thread.
 */
#ifndef TESTS_KIT_STAGE_BOX_H
#define TESTS_KIT_STAGE_BOX_H

#include "session/session.h"

#define STAGE_BOX_MAX  64
#define STAGE_TEXT_MAX 8192

struct stage_box {
	uint32_t count;
	struct box_item items[STAGE_BOX_MAX];
	uint8_t *texts[STAGE_BOX_MAX];
	size_t text_n[STAGE_BOX_MAX];
	bool gone[STAGE_BOX_MAX];
	size_t piece; /* how much of a text comes at once */
	int left;     /* so many cannot be removed, or STAGE_NO_ANSWER */
	uint8_t removed[STAGE_BOX_MAX / 8];
	uint8_t told[STAGE_BOX_MAX / 8]; /* what was to be removed at last */
	unsigned removals;		 /* how often DO_REMOVE came */

	bool reads;
	uint32_t number;
	size_t at, end; /* what the session may see of it */
	struct session_box seen;
};

void stage_box_open(struct stage_box *b);
void stage_box_close(struct stage_box *b);
/* False: there is no room for it. The size is what a client will count. */
MUST bool stage_box_add(struct stage_box *b, struct span uid, struct span text);

/* A session is told that it has it: nothing is marked. */
void stage_box_begin(struct stage_box *b, struct session_backend *told);
const struct session_box *stage_box_see(struct stage_box *b);
/* DO_TEXT: the next piece. */
void stage_box_text(struct stage_box *b);
/* After a step: what it took, and what it orders. */
void stage_box_settle(struct stage_box *b, const struct session *s,
		      const struct session_out *out);

#endif
