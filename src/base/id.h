/*
 * id - queue ids: when, by whom, and the how-manieth
 *
 * 41 bits of milliseconds since 2020 (enough until 2089), 4 of the edge's number, 18 of a
 * counter. So ids sort by time, two edges never make the same one, and one edge makes
 * each once even if its clock steps back. The top bit stays free: a database keeps ids as
 * signed numbers.
 *
 * Printed: 13 characters of 0-9a-z without i, l, o and u, which people mix up.
 */
#ifndef BASE_ID_H
#define BASE_ID_H

#include "base/attr.h"
#include "base/buf.h"

#define ID_PRINTED 13
#define ID_NOBODY  0xffffffffu

struct id_maker {
	uint64_t ms; /* of the last id */
	uint32_t counter;
	uint8_t number; /* of the edge, 0 to 15 */
};

void id_maker_init(struct id_maker *m, unsigned number);
uint64_t id_next(struct id_maker *m, int64_t wall);
/* What id_next() would say, without using it up. */
uint64_t id_peek(const struct id_maker *m, int64_t wall);

/* The first id that can be made at that time of the wall clock. */
uint64_t id_at(int64_t wall);
/* When it was made, as wall clock milliseconds. */
int64_t id_wall(uint64_t id);
/* The number of the edge that made it; ID_NOBODY if no id_next() can have made it. */
unsigned id_number(uint64_t id);

void id_print(uint64_t id, struct buf *out);
/* In upper case too: people type them. */
MUST bool id_parse(struct span text, uint64_t *out);

#endif
