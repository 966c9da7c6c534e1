#include "guard/access_blob.h"

#include <stdalign.h>

const uint8_t access_element[ACCESS_PARTS] = {
	[PART_LISTS] = sizeof(struct access_file),
	[PART_V4_INDEX] = sizeof(uint32_t),
	[PART_V4_KEYS] = sizeof(uint16_t),
	[PART_V4_VALUES] = sizeof(uint32_t),
	[PART_V6_KEYS] = sizeof(uint64_t),
	[PART_V6_VALUES] = sizeof(uint32_t),
	[PART_DEEP_KEYS] = sizeof(struct access_wide),
	[PART_DEEP_VALUES] = sizeof(uint32_t),
	[PART_INFOS] = sizeof(struct access_info),
	[PART_MORE] = sizeof(struct access_more),
	[PART_CHAINS] = sizeof(struct access_chain),
	[PART_SLOTS] = sizeof(uint32_t),
	[PART_NAMES] = sizeof(struct access_name),
	[PART_TEXT] = 1,
};

static bool counts_ok(const struct access_place *part)
{
	uint64_t slots = part[PART_SLOTS].count;

	return part[PART_LISTS].count <= ACCESS_LISTS_CEILING &&
	       part[PART_V4_INDEX].count == ACCESS_BUCKETS + 1 &&
	       part[PART_V4_KEYS].count == part[PART_V4_VALUES].count &&
	       part[PART_V6_KEYS].count == part[PART_V6_VALUES].count &&
	       part[PART_DEEP_KEYS].count == part[PART_DEEP_VALUES].count &&
	       part[PART_V6_KEYS].count % ACCESS_V6_BLOCK == 0 &&
	       part[PART_DEEP_KEYS].count % ACCESS_DEEP_BLOCK == 0 &&
	       part[PART_MORE].count <= part[PART_INFOS].count &&
	       (slots & (slots - 1)) == 0;
}

bool access_ok(const void *mem, size_t n)
{
	const struct access_head *h = mem;

	if (n < sizeof(*h) || (uintptr_t)mem % alignof(struct access_head) != 0 ||
	    h->magic != ACCESS_MAGIC || h->parts != ACCESS_PARTS || h->size != n)
		return false;
	for (size_t i = 0; i < ACCESS_PARTS; i++) {
		const struct access_place *p = &h->part[i];

		if (p->at % sizeof(uint64_t) != 0 || p->at < sizeof(*h) || p->at > n ||
		    p->count > (n - p->at) / access_element[i] || p->count >= UINT32_MAX)
			return false;
	}
	return counts_ok(h->part);
}

struct span access_text(const struct access_head *h, uint32_t at)
{
	const uint8_t *text = access_part(h, PART_TEXT);
	uint64_t n = h->part[PART_TEXT].count;
	size_t length;

	if (at + (uint64_t)2 > n)
		return SPAN_NONE;
	length = text[at] | (size_t)text[at + 1] << 8;
	return length > n - at - 2 ? SPAN_NONE : span_of(text + at + 2, length);
}

struct span access_file_name(const struct access_head *h, uint32_t list)
{
	const struct access_file *files = access_part(h, PART_LISTS);

	return list < h->part[PART_LISTS].count ? access_text(h, files[list].file)
						: SPAN_NONE;
}

bool access_list(const void *mem, size_t n, uint32_t list, struct access_list *out)
{
	const struct access_head *h = access_head_of(mem, n);
	const struct access_file *files;

	if (!h || list >= h->part[PART_LISTS].count)
		return false;
	files = access_part(h, PART_LISTS);
	if (files[list].of >= ACCESS_OF_COUNT)
		return false;
	*out = (struct access_list){ .of = (enum access_of)files[list].of,
				     .file = access_text(h, files[list].file),
				     .entries = files[list].entries };
	return true;
}

uint64_t access_entries(const void *mem, size_t n)
{
	const struct access_head *h = access_head_of(mem, n);

	return h ? h->entries : 0;
}
