/*
 * box_list - the list of a Maildir, as the store sends it (spec/box.h)
 */
#ifndef EDGE_BOX_LIST_H
#define EDGE_BOX_LIST_H

#include "base/attr.h"
#include "spec/box.h"

#define BOX_GONE UINT32_MAX

/*
 * Map it, if it is what it should be and cannot change under our hands. count: not 0. NULL: it
 * is not, or there is no memory.
 */
const struct box_item *box_list_map(int fd, uint32_t count);
void box_list_unmap(const struct box_item *items, uint32_t count);

/*
 * Where each of the old list is in the new one, by its UIDL, or BOX_GONE. To be freed; NULL:
 * out of memory.
 */
uint32_t *box_list_match(const struct box_item *old, uint32_t old_count,
			 const struct box_item *now, uint32_t now_count);

#endif
