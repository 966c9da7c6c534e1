#include "base/list.h"

#define LENGTH 2

void list_put(struct buf *out, struct span item)
{
	uint8_t le[LENGTH] = { (uint8_t)item.n, (uint8_t)(item.n >> 8) };

	/* all or nothing: what is in the buffer stays a whole list */
	if (item.n > UINT16_MAX || buf_room(out) < LENGTH + item.n) {
		out->full = true;
		return;
	}
	buf_put(out, span_of(le, LENGTH));
	buf_put(out, item);
}

bool list_next(struct span *list, struct span *item)
{
	size_t n;

	if (list->n < LENGTH)
		return false;
	n = list->p[0] | (size_t)list->p[1] << 8;
	if (n > list->n - LENGTH)
		return false;
	*item = span_of(list->p + LENGTH, n);
	*list = span_skip(*list, LENGTH + n);
	return true;
}

bool list_ok(struct span list)
{
	struct span item;

	while (list_next(&list, &item))
		;
	return list.n == 0;
}

size_t list_count(struct span list)
{
	struct span item;
	size_t count = 0;

	while (list_next(&list, &item))
		count++;
	return count;
}
