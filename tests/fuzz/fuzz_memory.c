/* Whatever another process writes into the memory: what is read of it is within bounds. */
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "guard/inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW 1000000

static const struct memory_shape shape = { 16, 64, 2, 100 };
static const uint64_t key[2] = { 1, 2 };

/* It is used again: getting so much memory anew takes most of the time. */
static void make(struct memory *m)
{
	static void *mem;
	size_t n = memory_size(&shape);

	if (!mem)
		mem = aligned_alloc(4096, n);
	BUG_IF(!mem);
	memset(mem, 0, n);
	memory_init(mem, n, &shape, key, NOW);
	BUG_IF(!memory_open(m, mem, n, 0));
}

static void row_ok(const struct guard_hot *row)
{
	BUG_IF(!guard_key_ok(row->key));
	BUG_IF(row->ban.step >= STEP_COUNT || row->ban.rule >= RULE_COUNT);
	BUG_IF(!(row->slow >= 0 && row->fast >= 0 && row->per_hour >= 0));
}

/* Every row of it, and those of some keys. */
static size_t walk(const struct memory *m)
{
	struct guard_detail did;
	struct guard_hot row;
	size_t at = 0, n = 0;

	for (; memory_next(m, &at, &row); n++)
		row_ok(&row);
	for (uint8_t i = 0; i < 32; i++) {
		struct addr a = addr_v4(192, 0, 2, i);

		for (int l = 0; l < LEVEL_COUNT; l++)
			if (memory_peek_all(m, guard_key_of(&a, (enum guard_level)l),
					    &row, &did)) {
				row_ok(&row);
				for (int v = 0; v < VARIETY_COUNT; v++)
					(void)distinct_count(&did.variety[v]);
			}
	}
	return n;
}

static void look(const struct memory *m)
{
	struct memory_counts counts;
	struct ban_note note;
	struct seat seat;
	uint64_t at = 0;
	bool lost;

	(void)walk(m);
	for (unsigned w = 0; w < 3; w++) {
		BUG_IF(seats_high(m, w) > seats_room(m));
		for (uint32_t i = 0; i < 101; i++)
			if (seat_read(m, w, i, &seat))
				BUG_IF(seat.state >= SEAT_STATES ||
				       seat.name_n > SEAT_NAME);
	}
	for (int i = 0; i < 10 && memory_next_note(m, &at, &note, &lost); i++)
		BUG_IF(!guard_key_ok(note.key));
	memory_counts(m, &counts);
	(void)memory_sessions(m);
	(void)memory_delayed(m, 0);
}

static void write(const struct memory *m)
{
	for (uint8_t i = 0; i < 40; i++) {
		struct addr a = addr_v4(192, 0, 2, i);
		struct guard_hot *row;

		row = memory_open_row(m, guard_key_of(&a, (enum guard_level)(i % 3)), NOW);
		if (!row)
			continue;
		for (int v = 0; v < VARIETY_COUNT; v++)
			(void)distinct_add(&memory_detail(m, row)->variety[v], i);
		memory_close_row(m, row);
	}
	BUG_IF(!memory_handshake(m, INT64_MAX, NOW) && !memory_handshake(m, INT64_MAX, 0));
	for (int i = 0; i < 3; i++) {
		uint32_t n = seat_take(m, &(struct seat){ .state = SEAT_TALKS });

		if (n != SEAT_NONE)
			seat_leave(m, n);
	}
	seats_mend(m, 1);
	memory_mend(m, 1);
}

/* Where pieces of the input go: the parts of the memory, but for the head and most notes. */
static uint8_t *part(const struct memory *m, unsigned which, size_t *n)
{
	switch (which) {
	case 0:
		*n = m->shards * sizeof(*m->shard);
		return (uint8_t *)m->shard;
	case 1:
		*n = m->shape.hot / BUCKET * sizeof(*m->tags);
		return (uint8_t *)m->tags;
	case 2:
		*n = m->shape.hot * sizeof(*m->hot);
		return (uint8_t *)m->hot;
	case 3:
		*n = m->shape.cold * sizeof(*m->cold);
		return (uint8_t *)m->cold;
	case 4:
		*n = 8 * sizeof(*m->notes);
		return (uint8_t *)m->notes;
	case 5:
		*n = m->shape.workers * sizeof(*m->seats);
		return (uint8_t *)m->seats;
	case 6:
		*n = m->shape.workers * sizeof(uint64_t) *
		     seats_full_of(m->shape.seats).all;
		return (uint8_t *)m->seats_full;
	default:
		*n = (size_t)m->shape.workers * m->shape.seats * sizeof(*m->seat);
		return (uint8_t *)m->seat;
	}
}

/* Each piece begins with its part, where in there (two bytes), and how long it is. */
static void damage(const struct memory *m, struct span in)
{
	while (in.n > 4) {
		struct span piece = span_head(span_skip(in, 4), in.p[3]);
		size_t n, at = (size_t)in.p[1] | (size_t)in.p[2] << 8;
		uint8_t *to = part(m, in.p[0] % 8, &n);

		at %= n;
		memcpy(to + at, piece.p, at + piece.n <= n ? piece.n : n - at);
		in = span_skip(in, 4 + piece.n);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory m;

	make(&m);
	write(&m);
	damage(&m, span_of(data, size));
	look(&m);
	write(&m);
	look(&m);
	return 0;
}
