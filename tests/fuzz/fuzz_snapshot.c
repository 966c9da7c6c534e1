/* Whatever is on the disk is read, row by row, and what was read is written as it was. */
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "guard/code.h"
#include "guard/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW 1000000

static const struct memory_shape shape = { 16, 64, 2, 100 };
static const uint64_t key[2] = { 1, 2 };

/* Two of them, that are used again: getting so much memory anew takes most of the time. */
static void make(struct memory *m, unsigned which)
{
	static void *mem[2];
	size_t n = memory_size(&shape);

	if (!mem[which])
		mem[which] = aligned_alloc(4096, n);
	BUG_IF(!mem[which]);
	memset(mem[which], 0, n);
	memory_init(mem[which], n, &shape, key, NOW);
	BUG_IF(!memory_open(m, mem[which], n, 0));
}

static void row_ok(const struct guard_hot *row)
{
	BUG_IF(!guard_key_ok(row->key));
	BUG_IF(row->ban.step >= STEP_COUNT || row->ban.rule >= RULE_COUNT);
	BUG_IF(!(row->slow >= 0 && row->fast >= 0 && row->per_hour >= 0));
	BUG_IF(!row->first || row->first > row->last);
}

/* Every row of it, and those of some keys. */
static size_t walk(const struct memory *m)
{
	struct guard_hot row;
	size_t at = 0, n = 0;

	for (; memory_next(m, &at, &row); n++)
		row_ok(&row);
	for (uint8_t i = 0; i < 32; i++) {
		struct addr a = addr_v4(192, 0, 2, i);

		for (int l = 0; l < LEVEL_COUNT; l++)
			if (memory_peek(m, guard_key_of(&a, (enum guard_level)l), &row))
				row_ok(&row);
	}
	return n;
}

/* Once it was rounded, the mean pause stays what it is. */
static void same_pauses(const struct memory *m, const struct memory *again)
{
	struct guard_hot a, b;

	for (size_t at = 0; memory_next(m, &at, &a);)
		if (memory_peek(again, a.key, &b) && b.last == a.last)
			BUG_IF(b.connects != a.connects || b.first != a.first);
}

/* What was read can be written, and read again into as many rows. */
static void snapshot(struct span in)
{
	struct memory m, again;
	size_t torn, taken;
	void *disk;
	struct buf out;

	make(&m, 0);
	make(&again, 1);
	taken = snapshot_read(&m, in, NOW, 1000 + (int64_t)in.n, &torn);
	BUG_IF(taken * SNAPSHOT_ROW > in.n);
	BUG_IF(walk(&m) > taken);
	disk = malloc(snapshot_room(&m));
	BUG_IF(!disk);
	buf_init(&out, disk, snapshot_room(&m));
	BUG_IF(!snapshot_write(&m, NOW, 5, &out));
	taken = (out.len - SNAPSHOT_HEAD) / SNAPSHOT_ROW;
	BUG_IF(snapshot_read(&again, buf_span(&out), NOW, 5, &torn) != taken || torn);
	same_pauses(&m, &again);
	free(disk);
}

static void code(struct span in)
{
	enum rule rule;
	uint32_t hash;

	if (code_parse(in, &rule, &hash))
		BUG_IF(rule == RULE_NONE || rule >= RULE_COUNT || hash >> 30);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	code(span_of(data, size));
	snapshot(span_of(data, size));
	return 0;
}
