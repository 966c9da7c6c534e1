/*
 * pulse_inner - what lies in the mapping of a pulse, for who writes and who reads it
 */
#ifndef LINK_PULSE_INNER_H
#define LINK_PULSE_INNER_H

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "link/pulse.h"

#define PULSE_MAGIC   0x48465031u /* "HFP1" */
#define WORD	      ((uint64_t)sizeof(uint64_t))
#define RING_WORDS    (PULSE_RING_BYTES / WORD)
#define BACKEND_WORDS (sizeof(struct pulse_backend) / WORD)

/*
 * What is in the mapping. Rows are only ever added at the end of their tables, so a
 * program of another version (during an upgrade) reads the counts that both know.
 *
 * The ring holds records one after another, whole: one that would not fit before the end
 * of the ring is preceded by a filler. Positions count bytes since the start and never
 * turn back. [oldest, end) is what can be read; the writer moves oldest, from record to
 * record, before it overwrites anything, so a reader that finds oldest still at or before
 * its place has read what was written.
 */
struct shape {
	uint32_t magic;
	uint32_t bytes;
	_Atomic uint64_t beats;
	_Atomic uint64_t events[128];
	_Atomic uint64_t ends[32];
	_Atomic uint64_t records[64];
	_Atomic int64_t gauges[32];
	_Atomic uint64_t oldest, end;
	_Atomic uint64_t ring[RING_WORDS];
	_Atomic uint64_t backends[BACKENDS_MAX][BACKEND_WORDS];
};

/* Before there were mailbox servers: one of such a program can still be read. */
#define BYTES_BEFORE offsetof(struct shape, backends)

_Static_assert(sizeof(struct pulse_backend) % 8 == 0, "rows are made of whole words");
_Static_assert(EVENT_COUNT <= 128 && END_COUNT <= 32 && RECORD_COUNT <= 64 &&
		       GAUGE_COUNT <= 32,
	       "tables fit into the pulse");

/* The first word of a record says how long it is and whether it is a filler. */
struct record_head {
	uint32_t bytes; /* all of it, a multiple of 8 */
	uint16_t kind;	/* LOG_NONE: a filler, of which there is nothing but its length */
	uint16_t has_from;
	uint64_t seq; /* counts records, so that a reader knows how many it lost */
	int64_t wall;
	uint8_t from[16];
	uint64_t fields; /* how many bytes of fields follow */
};

#define RECORD_WORDS ((sizeof(struct record_head) + LOG_RECORD_MAX) / WORD)

union record_mem {
	struct record_head head;
	uint64_t words[RECORD_WORDS];
	uint8_t bytes[RECORD_WORDS * WORD];
};

_Static_assert(LOG_RECORD_MAX % 8 == 0, "records are made of whole words");

static inline uint64_t pulse_word_at(const struct shape *s, uint64_t position)
{
	return atomic_load_explicit(&s->ring[position / WORD % RING_WORDS],
				    memory_order_relaxed);
}

static inline struct record_head pulse_first_word(const struct shape *s, uint64_t position)
{
	uint64_t word = pulse_word_at(s, position);
	struct record_head head = { 0 };

	memcpy(&head, &word, sizeof(word));
	return head;
}

/* ---- pulse.c ---- */

/* Map a pulse of at least so many bytes; the descriptor is the caller's. */
struct shape *pulse_map(int fd, int protection, size_t least, struct err *err);
/* Count a record and put it into the ring. head is the first of the words. */
void pulse_publish(struct pulse *p, struct record_head *head, const uint64_t *words);

#endif
