#include "conf/tables.h"

#include "base/list.h"

#define MAGIC SPAN("HFT1")
#define HEAD  7 /* kind, 16 bits of key length, 32 bits of targets length */

size_t tables_room(const struct table_entry *e)
{
	return HEAD + e->key.n + e->targets.n;
}

void tables_begin(struct buf *out)
{
	buf_put(out, MAGIC);
}

void tables_put(struct buf *out, const struct table_entry *e)
{
	size_t k = e->key.n, t = e->targets.n;
	const uint8_t head[HEAD] = {
		(uint8_t)e->kind,  (uint8_t)k,	       (uint8_t)(k >> 8),  (uint8_t)t,
		(uint8_t)(t >> 8), (uint8_t)(t >> 16), (uint8_t)(t >> 24),
	};

	if (k > UINT16_MAX || t > UINT32_MAX || buf_room(out) < tables_room(e)) {
		out->full = true;
		return;
	}
	buf_put(out, span_of(head, HEAD));
	buf_put(out, e->key);
	buf_put(out, e->targets);
}

bool tables_next(struct span *left, struct table_entry *out)
{
	struct table_entry e = { 0 };
	const uint8_t *p = left->p;
	struct span rest;
	size_t k, t;

	if (left->n < HEAD || p[0] >= TABLE_KINDS)
		return false;
	k = p[1] | (size_t)p[2] << 8;
	t = p[3] | (size_t)p[4] << 8 | (size_t)p[5] << 16 | (size_t)p[6] << 24;
	rest = span_skip(*left, HEAD);
	if (k == 0 || k > rest.n || t > rest.n - k)
		return false;
	e.kind = (enum table_kind)p[0];
	e.key = span_head(rest, k);
	e.targets = span_head(span_skip(rest, k), t);
	if (!list_ok(e.targets))
		return false;
	*out = e;
	*left = span_skip(rest, k + t);
	return true;
}

bool tables_open(struct span blob, struct span *left)
{
	struct span rest = span_skip(blob, MAGIC.n);
	struct table_entry e;

	if (!span_starts(blob, MAGIC))
		return false;
	while (tables_next(&rest, &e))
		;
	if (rest.n != 0)
		return false;
	*left = span_skip(blob, MAGIC.n);
	return true;
}
