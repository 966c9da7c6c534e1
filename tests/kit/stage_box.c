#include "tests/kit/stage_box.h"

#include <stdlib.h>

#include "base/bug.h"

void stage_box_open(struct stage_box *b)
{
	*b = (struct stage_box){ .piece = 7 };
}

void stage_box_close(struct stage_box *b)
{
	for (uint32_t i = 0; i < b->count; i++)
		free(b->texts[i]);
	stage_box_open(b);
}

bool stage_box_add(struct stage_box *b, struct span uid, struct span text)
{
	struct box_item *item = &b->items[b->count];
	struct pop3_size size;

	if (b->count == STAGE_BOX_MAX || uid.n == 0 || uid.n > BOX_UID_MAX ||
	    text.n > STAGE_TEXT_MAX)
		return false;
	pop3_size_begin(&size);
	pop3_size_put(&size, text);
	*item = (struct box_item){ .size = pop3_size_end(&size), .uid_n = (uint8_t)uid.n };
	memcpy(item->uid, uid.p, uid.n);
	b->texts[b->count] = malloc(text.n + 1);
	BUG_IF(!b->texts[b->count]);
	memcpy(b->texts[b->count], text.p, text.n);
	b->text_n[b->count++] = text.n;
	return true;
}

void stage_box_begin(struct stage_box *b, struct session_backend *told)
{
	memset(b->removed, 0, sizeof(b->removed));
	b->reads = false;
	b->seen = (struct session_box){ .items = b->items, .removed = b->removed };
	told->count = b->count;
	for (uint32_t i = 0; i < b->count; i++)
		told->bytes += b->items[i].size;
}

const struct session_box *stage_box_see(struct stage_box *b)
{
	b->seen.text = SPAN_NONE;
	if (b->reads)
		b->seen.text = span_of(b->texts[b->number] + b->at, b->end - b->at);
	return b->seen.items ? &b->seen : NULL;
}

void stage_box_text(struct stage_box *b)
{
	size_t n = b->text_n[b->number];

	BUG_IF(b->at != b->end); /* it asks for more before it has taken that */
	b->end = n - b->at < b->piece ? n : b->at + b->piece;
	b->seen.text_ends = b->end == n;
	b->seen.text_gone = b->gone[b->number];
}

static void drop(struct stage_box *b)
{
	b->reads = false;
	b->at = b->end = 0;
	b->seen.text_ends = b->seen.text_gone = false;
}

void stage_box_settle(struct stage_box *b, const struct session *s,
		      const struct session_out *out)
{
	BUG_IF(out->text_used > b->end - b->at);
	b->at += out->text_used;
	if (out->text_done || !session_reads_text(s))
		drop(b);
	if (out->orders & DO_TEXT) {
		BUG_IF(out->number >= b->count);
		BUG_IF(b->reads && b->number != out->number);
		b->reads = true;
		b->number = out->number;
	}
	if (out->orders & DO_REMOVE) {
		memcpy(b->told, b->removed, sizeof(b->told));
		b->removals++;
	}
}
