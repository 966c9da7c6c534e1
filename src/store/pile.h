/*
 * pile - memory that grows in chunks and goes all at once
 *
 * What belongs to one batch lies on its pile. Nothing moves: pointers into it are good
 * until pile_close().
 */
#ifndef STORE_PILE_H
#define STORE_PILE_H

#include "base/attr.h"
#include "base/span.h"

struct pile_chunk;

struct pile {
	struct pile_chunk *last;
	size_t bytes; /* taken from the system */
};

void pile_init(struct pile *p);
void pile_close(struct pile *p);

/* n zeroed bytes, aligned for any type, or NULL: out of memory. */
void *pile_take(struct pile *p, size_t n);
/* The same, not zeroed. */
void *pile_raw(struct pile *p, size_t n);
/* A copy of s; false: out of memory. */
MUST bool pile_keep(struct pile *p, struct span s, struct span *out);

#endif
