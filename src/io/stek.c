#include "io/stek.h"

#include <stdatomic.h>
#include <string.h>

#define MAGIC UINT32_C(0x314b5453) /* "STK1" */
/* Two are good; the third is where the next one is written while edges read those. */
#define KEYS 3

struct stek {
	_Atomic uint32_t magic;
	_Atomic uint32_t added; /* how many there were; the newest is key[(added - 1) % KEYS] */
	_Atomic ms_t at;	/* when the newest came */
	struct stek_key key[KEYS];
};

size_t stek_size(void)
{
	return sizeof(struct stek);
}

bool stek_ok(const void *mem, size_t n)
{
	const struct stek *s = mem;

	return s && n == sizeof(*s) && atomic_load(&s->magic) == MAGIC;
}

void stek_add(struct stek *s, const struct stek_key *fresh, ms_t now)
{
	uint32_t added = atomic_load(&s->added);

	s->key[added % KEYS] = *fresh;
	atomic_store(&s->at, now);
	atomic_store(&s->added, added + 1);
	atomic_store(&s->magic, MAGIC);
	/* who began to read the one before last sees that another came, and tries again */
	explicit_bzero(&s->key[(added + 1) % KEYS], sizeof(s->key[0]));
}

ms_t stek_due(const struct stek *s)
{
	return atomic_load(&s->at) + STEK_PERIOD;
}

/* The key that is `back` before the newest, whole: none is added meanwhile. */
static bool copy(const struct stek *s, uint32_t back, struct stek_key *out)
{
	uint32_t added;

	do {
		added = atomic_load(&s->added);
		if (added <= back)
			return false;
		*out = s->key[(added - 1 - back) % KEYS];
		atomic_thread_fence(memory_order_acquire);
	} while (atomic_load(&s->added) != added);
	return true;
}

bool stek_newest(const struct stek *s, struct stek_key *out)
{
	return copy(s, 0, out);
}

enum stek_found stek_find(const struct stek *s, const uint8_t name[STEK_NAME],
			  struct stek_key *out)
{
	for (uint32_t back = 0; back < KEYS - 1 && copy(s, back, out); back++)
		if (memcmp(out->name, name, STEK_NAME) == 0)
			return back == 0 ? STEK_NEWEST : STEK_BEFORE;
	explicit_bzero(out, sizeof(*out));
	return STEK_NONE;
}
