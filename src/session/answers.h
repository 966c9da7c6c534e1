/*
 * answers - what a next hop said about each recipient of a delivery
 *
 * One slot per recipient, in order, all of the same width, so that whatever the hop says,
 * the answers fit into one message to the store. An answer is three digits, a space and
 * text; it is final once it is SETTLED.
 */
#ifndef SESSION_ANSWERS_H
#define SESSION_ANSWERS_H

#include "base/buf.h"

enum answer_state {
	ANSWER_UNTRIED, /* not asked about; with a text: to be asked again */
	ANSWER_ASKED,
	ANSWER_ACCEPTED, /* by RCPT: nothing is promised yet */
	ANSWER_SETTLED,
};

struct answers {
	uint8_t *mem; /* borrowed */
	size_t count;
};

/* Can so many be answered in one message? */
bool answers_possible(size_t count);
/* How much memory they take: at most LIST_FRAME_MAX. */
size_t answers_room(size_t count);
void answers_init(struct answers *a, void *mem, size_t count);

enum answer_state answers_get(const struct answers *a, size_t i);
/* Without changing the text. */
void answers_mark(struct answers *a, size_t i, enum answer_state state);
/* The text is copied, as far as it fits. */
void answers_put(struct answers *a, size_t i, enum answer_state state, int code,
		 struct span text);

/* This is the answer for all in that state. */
void answers_settle_all(struct answers *a, enum answer_state which, int code,
			struct span text);
/* And this for all that have none yet: those who were to be asked again keep theirs. */
void answers_settle_rest(struct answers *a, int code, struct span text);

/* The first at or behind `from` in that state, or count. */
size_t answers_find(const struct answers *a, size_t from, enum answer_state state);

/* One of them, as it is now. */
void answers_print_one(const struct answers *a, size_t i, struct buf *out);
/* As a list; all must be settled. */
void answers_print(const struct answers *a, struct buf *out);

#endif
