/*
 * part - one row of an explanation; the field `part` says what it is about
 */
#ifndef WATCH_PART_H
#define WATCH_PART_H

#include "base/buf.h"
#include "spec/limits.h"

/* Who gets the rows. */
struct explain_to {
	void (*row)(void *arg, const struct buf *fields);
	void *arg;
};

struct part {
	const struct explain_to *to;
	uint8_t mem[ROW_MAX];
	struct buf out;
};

/* Then fields are put into out. name: NULL where all rows are alike. */
void part_begin(struct part *p, const char *name);
void part_put(struct part *p, const char *name, const char *text);
void part_end(struct part *p);

#endif
