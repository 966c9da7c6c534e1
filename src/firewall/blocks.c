#include "firewall/blocks.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/siphash.h"
#include "firewall/judge.h"

#define ROOM_FIRST 1024

/* One whose time is up may live on in the kernel for a moment: its clock began later. */
#define LINGERS (10 * MS_SECOND)

struct block {
	ms_t until;
	ms_t told; /* until when, as the kernel heard it; 0: if it is wanted, it must hear it */
	struct net net;
	bool taken;   /* this place is */
	bool wanted;  /* it is to be blocked; otherwise it is to be taken out */
	bool unnamed; /* in the list that is coming: it is wanted until that is whole */
	bool known;   /* the kernel may have it */
	bool due;
};

void blocks_init(struct blocks *b, size_t max, const uint64_t key[2])
{
	*b = (struct blocks){ .max = max, .key = { key[0], key[1] } };
}

void blocks_close(struct blocks *b)
{
	free(b->rows);
	*b = (struct blocks){ 0 };
}

/* ---- places ------------------------------------------------------------------------------ */

static size_t home_of(const struct blocks *b, const struct net *n)
{
	uint8_t mem[sizeof(n->addr.ip) + 1];

	memcpy(mem, n->addr.ip, sizeof(n->addr.ip));
	mem[sizeof(n->addr.ip)] = n->bits;
	return (size_t)siphash(b->key, span_of(mem, sizeof(mem))) & (b->room - 1);
}

/* Its place, or the open one where it would be. There is always an open one. */
static struct block *place_of(const struct blocks *b, const struct net *n)
{
	size_t i = home_of(b, n);

	while (b->rows[i].taken && !net_eq(&b->rows[i].net, n))
		i = (i + 1) & (b->room - 1);
	return &b->rows[i];
}

static struct block *find(const struct blocks *b, const struct net *n)
{
	struct block *row = b->rows ? place_of(b, n) : NULL;

	return row && row->taken ? row : NULL;
}

static size_t *length_of(struct blocks *b, const struct net *n)
{
	size_t at = net_length(n) + (net_is_v4(n) ? 0 : 33);

	BUG_IF(at >= BATCH_LENGTHS);
	return &b->lengths[at];
}

static bool grow(struct blocks *b)
{
	struct blocks old = *b;

	b->room = old.room ? 2 * old.room : ROOM_FIRST;
	b->rows = calloc(b->room, sizeof(*b->rows));
	if (!b->rows) {
		*b = old;
		return false;
	}
	for (size_t i = 0; i < old.room; i++)
		if (old.rows[i].taken)
			*place_of(b, &old.rows[i].net) = old.rows[i];
	b->cursor = 0;
	free(old.rows);
	return true;
}

static void set_due(struct blocks *b, struct block *row, bool due)
{
	if (row->due == due)
		return;
	row->due = due;
	if (due)
		b->due++;
	else
		b->due--;
}

/* Open a place; those behind it that would no longer be found move up. */
static void forget(struct blocks *b, struct block *row)
{
	size_t open = (size_t)(row - b->rows), mask = b->room - 1;

	set_due(b, row, false);
	b->count--;
	(*length_of(b, &row->net))--;
	for (size_t i = (open + 1) & mask; b->rows[i].taken; i = (i + 1) & mask) {
		size_t home = home_of(b, &b->rows[i].net);

		if (((i - home) & mask) < ((i - open) & mask))
			continue;
		b->rows[open] = b->rows[i];
		open = i;
	}
	b->rows[open] = (struct block){ 0 };
}

static bool same_time(ms_t a, ms_t b)
{
	if (a == MS_NEVER || b == MS_NEVER)
		return a == b;
	return (a > b ? a - b : b - a) < 2 * MS_SECOND;
}

/* ---- what is wanted ---------------------------------------------------------------------- */

bool blocks_put(struct blocks *b, const struct net *n, ms_t until)
{
	struct block *row = find(b, n);

	if (!row) {
		if (*length_of(b, n) >= b->max)
			return false;
		if (2 * (b->count + 1) > b->room && !grow(b))
			return false;
		row = place_of(b, n);
		*row = (struct block){ .net = *n, .taken = true };
		b->count++;
		(*length_of(b, n))++;
	}
	row->wanted = true;
	row->unnamed = false;
	row->until = until;
	set_due(b, row, !row->known || !same_time(row->told, until));
	return true;
}

/* False: the place is open now, and may hold the next one. */
static bool unwant(struct blocks *b, struct block *row)
{
	if (!row->known) {
		forget(b, row);
		return false;
	}
	row->wanted = false;
	set_due(b, row, true);
	return true;
}

void blocks_drop(struct blocks *b, const struct net *n)
{
	struct block *row = find(b, n);

	if (row && row->wanted)
		(void)unwant(b, row);
}

/*
 * In the walks below places open: what moves up into the one that is looked at is looked at
 * next, and what comes around the end of the table is looked at once more.
 */

void blocks_list_begins(struct blocks *b)
{
	b->in_list = true;
	for (size_t i = 0; i < b->room; i++)
		b->rows[i].unnamed = true;
}

void blocks_list_ends(struct blocks *b)
{
	if (!b->in_list)
		return;
	b->in_list = false;
	for (size_t i = 0; i < b->room; i++)
		while (b->rows[i].taken && b->rows[i].wanted && b->rows[i].unnamed &&
		       !unwant(b, &b->rows[i]))
			;
}

void blocks_judge(struct blocks *b, bool (*may)(void *arg, const struct net *n), void *arg)
{
	for (size_t i = 0; i < b->room; i++)
		while (b->rows[i].taken && b->rows[i].wanted &&
		       !may(arg, &b->rows[i].net) && !unwant(b, &b->rows[i]))
			;
}

void blocks_again(struct blocks *b)
{
	for (size_t i = 0; i < b->room; i++) {
		b->rows[i].known = false;
		while (b->rows[i].taken && !b->rows[i].wanted) {
			forget(b, &b->rows[i]);
			b->rows[i].known = false;
		}
		if (b->rows[i].taken)
			set_due(b, &b->rows[i], true);
	}
}

void blocks_expire(struct blocks *b, ms_t now)
{
	for (size_t i = 0; i < b->room; i++)
		while (b->rows[i].taken && b->rows[i].until != MS_NEVER &&
		       now >= b->rows[i].until &&
		       (!b->rows[i].known || now - b->rows[i].until >= LINGERS))
			forget(b, &b->rows[i]);
}

/* ---- batches ----------------------------------------------------------------------------- */

static struct batch_item item_of(const struct block *row, ms_t now)
{
	struct batch_item item = { .net = row->net };
	ms_t left = row->until - now;

	item.op = !row->wanted ? BATCH_DROP : row->known ? BATCH_RENEW : BATCH_ADD;
	if (row->until != MS_NEVER)
		item.seconds = left <= MS_SECOND
				       ? 1
				       : (uint32_t)((left + MS_SECOND - 1) / MS_SECOND);
	return item;
}

/* Once around, beginning where the last one ended. */
static size_t take_some(struct blocks *b, bool wanted, struct batch_item *out, size_t n,
			size_t max, ms_t now)
{
	for (size_t steps = 0; steps < b->room && n < max && b->due > 0; steps++) {
		struct block *row = &b->rows[b->cursor];

		if (row->due && row->wanted == wanted) {
			out[n++] = item_of(row, now);
			row->known = true;
			row->told = row->wanted ? row->until : 0;
			set_due(b, row, false);
		}
		b->cursor = (b->cursor + 1) & (b->room - 1);
	}
	return n;
}

size_t blocks_take(struct blocks *b, struct batch_item *out, size_t max, ms_t now)
{
	size_t n = take_some(b, true, out, 0, max, now);

	return take_some(b, false, out, n, max, now);
}

void blocks_done(struct blocks *b, const struct batch_item *items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct block *row = find(b, &items[i].net);

		if (!row || items[i].op != BATCH_DROP)
			continue;
		if (!row->wanted && !row->due)
			forget(b, row);
	}
}

void blocks_undo(struct blocks *b, const struct batch_item *items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct block *row = find(b, &items[i].net);

		if (!row)
			continue;
		row->told = 0;
		set_due(b, row, true);
	}
}

void blocks_forget(struct blocks *b, const struct net *n)
{
	struct block *row = find(b, n);

	if (row)
		forget(b, row);
}

size_t blocks_held(const struct blocks *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->room; i++)
		n += b->rows[i].taken && b->rows[i].wanted && b->rows[i].known;
	return n;
}
