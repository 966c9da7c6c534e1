#include "base/id.h"

#include "base/bug.h"

#define COUNTER_BITS 18
#define NUMBER_BITS  4
#define MS_BITS	     41
#define EPOCH	     1577836800000 /* 2020-01-01T00:00:00Z */

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

void id_maker_init(struct id_maker *m, unsigned number)
{
	BUG_IF(number >= 1u << NUMBER_BITS);
	*m = (struct id_maker){ .number = (uint8_t)number };
}

/* A clock before 2020 is wrong; one after 2089 has reached our end. */
static uint64_t ms_of(int64_t wall)
{
	uint64_t last = ((uint64_t)1 << MS_BITS) - 1;
	uint64_t ms = wall > EPOCH ? (uint64_t)(wall - EPOCH) : 0;

	return ms < last ? ms : last;
}

uint64_t id_at(int64_t wall)
{
	return ms_of(wall) << (COUNTER_BITS + NUMBER_BITS);
}

uint64_t id_next(struct id_maker *m, int64_t wall)
{
	uint64_t ms = ms_of(wall);

	if (ms > m->ms) {
		m->ms = ms;
		m->counter = 0;
	} else if (++m->counter >> COUNTER_BITS) {
		m->ms++;
		m->counter = 0;
	}
	return m->ms << (COUNTER_BITS + NUMBER_BITS) |
	       (uint64_t)m->number << COUNTER_BITS | m->counter;
}

uint64_t id_peek(const struct id_maker *m, int64_t wall)
{
	struct id_maker copy = *m;

	return id_next(&copy, wall);
}

int64_t id_wall(uint64_t id)
{
	return (int64_t)(id >> (COUNTER_BITS + NUMBER_BITS)) + EPOCH;
}

unsigned id_number(uint64_t id)
{
	if (id >> (MS_BITS + NUMBER_BITS + COUNTER_BITS))
		return ID_NOBODY;
	return (unsigned)(id >> COUNTER_BITS) & ((1u << NUMBER_BITS) - 1);
}

void id_print(uint64_t id, struct buf *out)
{
	char text[ID_PRINTED];

	for (size_t i = ID_PRINTED; i > 0; i--) {
		text[i - 1] = alphabet[id & 31];
		id >>= 5;
	}
	buf_put(out, span_of(text, sizeof(text)));
}

bool id_parse(struct span text, uint64_t *out)
{
	struct span letters = span_of(alphabet, 32);
	uint64_t id = 0;

	if (text.n != ID_PRINTED)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		size_t v = span_find(letters, byte_lower(text.p[i]));

		/* 13 characters hold 65 bits: one too many */
		if (v == letters.n || id >> 59)
			return false;
		id = id << 5 | v;
	}
	*out = id;
	return true;
}
