#include "edge/box_list.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/siphash.h"

static bool is_item_ok(const struct box_item *item)
{
	if (item->uid_n == 0 || item->uid_n > BOX_UID_MAX || item->size > INT64_MAX)
		return false;
	for (size_t i = 0; i < item->uid_n; i++)
		if (item->uid[i] < 0x21 || item->uid[i] > 0x7e)
			return false;
	return true;
}

void box_list_unmap(const struct box_item *items, uint32_t count)
{
	if (items)
		munmap((void *)(uintptr_t)items, count * sizeof(*items));
}

const struct box_item *box_list_map(int fd, uint32_t count)
{
	int seals = fcntl(fd, F_GET_SEALS), wanted = F_SEAL_SHRINK | F_SEAL_WRITE;
	size_t n = count * sizeof(struct box_item);
	const struct box_item *items;
	struct stat st;

	if (seals < 0 || (seals & wanted) != wanted || fstat(fd, &st) != 0 ||
	    (size_t)st.st_size != n)
		return NULL;
	items = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0);
	if (items == MAP_FAILED)
		return NULL;
	for (uint32_t i = 0; i < count; i++)
		if (!is_item_ok(&items[i])) {
			box_list_unmap(items, count);
			return NULL;
		}
	return items;
}

/* ---- two lists of the same box ------------------------------------------------------------ */

struct places {
	uint32_t *slots; /* of the new list, from 1; 0: free */
	uint32_t mask;
};

static struct span uid_of(const struct box_item *item)
{
	return span_of(item->uid, item->uid_n);
}

/* Its slot, or the free one where it would be. Names are those of files: nobody chooses them. */
static uint32_t *place(const struct places *p, const struct box_item *now, struct span uid)
{
	static const uint64_t key[2] = { UINT64_C(0x626f78), UINT64_C(0x6c697374) };
	uint32_t at = (uint32_t)siphash(key, uid) & p->mask;

	while (p->slots[at] && !span_eq(uid_of(&now[p->slots[at] - 1]), uid))
		at = (at + 1) & p->mask;
	return &p->slots[at];
}

uint32_t *box_list_match(const struct box_item *old, uint32_t old_count,
			 const struct box_item *now, uint32_t now_count)
{
	uint32_t *numbers = calloc(old_count + 1, sizeof(*numbers)), room = 16;
	struct places p;

	while (room < 2 * now_count)
		room *= 2;
	p = (struct places){ calloc(room, sizeof(uint32_t)), room - 1 };
	if (!numbers || !p.slots) {
		free(p.slots);
		free(numbers);
		return NULL;
	}
	for (uint32_t i = 0; i < now_count; i++)
		*place(&p, now, uid_of(&now[i])) = i + 1;
	for (uint32_t i = 0; i < old_count; i++) {
		uint32_t at = *place(&p, now, uid_of(&old[i]));

		numbers[i] = at ? at - 1 : BOX_GONE;
	}
	free(p.slots);
	return numbers;
}
