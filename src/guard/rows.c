#include "guard/inside.h"

#include "base/bug.h"

/* ---- bringing it on its way --------------------------------------------------------------- */

/* First what every key needs; then, with the tags there, the row that has one's tag. */
void memory_expect(const struct memory *m, const struct guard_key *keys, size_t n)
{
	struct place at[LEVEL_COUNT];

	if (n > LEVEL_COUNT)
		n = LEVEL_COUNT;
	for (size_t i = 0; i < n; i++) {
		at[i] = memory_place(m, keys[i]);
		__builtin_prefetch(&m->tags[at[i].bucket], 1);
		__builtin_prefetch(&m->shard[at[i].shard], 1);
	}
	for (size_t i = 0; i < n; i++) {
		const uint8_t *cold = (const uint8_t *)(m->cold +
							(size_t)at[i].cold * BUCKET);

		for (size_t at_byte = 0; at_byte < BUCKET * sizeof(*m->cold);
		     at_byte += LINE)
			__builtin_prefetch(cold + at_byte, 1);
	}
	for (size_t i = 0; i < n; i++) {
		const brief_t *brief = m->tags[at[i].bucket].brief;
		const struct guard_hot *row = m->hot + (size_t)at[i].bucket * BUCKET;

		for (unsigned j = 0; j < BUCKET; j++) {
			brief_t b = __atomic_load_n(&brief[j], __ATOMIC_RELAXED);

			if (b & BRIEF_USED && (b & BRIEF_TAG) == at[i].tag) {
				__builtin_prefetch(&row[j], 1);
				__builtin_prefetch((const uint8_t *)&row[j] + LINE, 1);
			}
		}
	}
}

/* ---- places -------------------------------------------------------------------------------- */

static void set_brief(const struct memory *m, uint32_t index, brief_t b)
{
	__atomic_store_n(&m->tags[index / BUCKET].brief[index % BUCKET], b,
			 __ATOMIC_RELAXED);
}

static brief_t get_brief(const struct memory *m, uint32_t index)
{
	return __atomic_load_n(&m->tags[index / BUCKET].brief[index % BUCKET],
			       __ATOMIC_RELAXED);
}

#define NOWHERE UINT32_MAX

static uint32_t find_in(const struct memory *m, uint32_t bucket, brief_t tag,
			struct guard_key k)
{
	for (uint32_t i = bucket * BUCKET; i < (bucket + 1) * BUCKET; i++) {
		brief_t b = get_brief(m, i);

		if (b & BRIEF_USED && (b & BRIEF_TAG) == tag &&
		    guard_key_eq(m->hot[i].key, k))
			return i;
	}
	return NOWHERE;
}

static uint32_t find(const struct memory *m, const struct place *at, struct guard_key k)
{
	uint32_t i = find_in(m, at->bucket, at->tag, k);

	if (i == NOWHERE && m->shard[at->shard].strays && at->other != at->bucket)
		i = find_in(m, at->other, at->tag, k);
	return i;
}

/* Free, or what matters least; NOWHERE if all have open sessions. */
static uint32_t least_in(const struct memory *m, uint32_t bucket, gsec_t now)
{
	uint32_t least = NOWHERE, low = UINT32_MAX;

	for (uint32_t i = bucket * BUCKET; i < (bucket + 1) * BUCKET; i++) {
		brief_t b = get_brief(m, i);
		uint32_t w = b & BRIEF_USED ? brief_worth(b, now) : 0;

		if (!(b & BRIEF_USED))
			return i;
		if (w < low) {
			least = i;
			low = w;
		}
	}
	return least;
}

/* The tags are only a summary: the row itself says whether it has sessions. */
static uint32_t room_in(const struct memory *m, uint32_t bucket, gsec_t now)
{
	for (unsigned tries = 0; tries < BUCKET; tries++) {
		uint32_t i = least_in(m, bucket, now);
		brief_t b = i == NOWHERE ? 0 : get_brief(m, i);

		if (!(b & BRIEF_USED) || m->hot[i].sessions == 0)
			return i;
		set_brief(m, i, b | BRIEF_OPEN);
	}
	return NOWHERE;
}

/* The row is empty from here on; what was known is in cold memory, if that has room. */
static void empty(const struct memory *m, struct memory_shard *s, uint32_t i)
{
	if (get_brief(m, i) & BRIEF_STRAY && s->strays)
		s->strays--;
	if (s->hot_used)
		s->hot_used--;
	set_brief(m, i, 0);
	memset(&m->hot[i], 0, sizeof(m->hot[i]));
}

static void evict(const struct memory *m, struct memory_shard *s, uint32_t i, gsec_t now)
{
	struct guard_hot *row = &m->hot[i];
	struct guard_cold cold;
	struct place at;

	hot_tidy(row);
	if (guard_key_ok(row->key)) {
		at = memory_place(m, row->key);
		if (at.shard == memory_shard_of(m, i / BUCKET) - m->shard) {
			cold_of_hot(row, memory_half_slow(m), &cold);
			cold_put(m, &at, &cold, now);
			s->evicted++;
		}
	}
	empty(m, s, i);
}

/* ---- opening ---------------------------------------------------------------------------------- */

/* A place for a new row, empty and named as open, or NOWHERE. */
static uint32_t make(const struct memory *m, const struct place *at, gsec_t now)
{
	struct memory_shard *s = &m->shard[at->shard];
	brief_t stray = 0;
	uint32_t i = room_in(m, at->bucket, now);

	if (i == NOWHERE && at->other != at->bucket) {
		i = room_in(m, at->other, now);
		stray = BRIEF_STRAY;
	}
	if (i == NOWHERE)
		return i;
	__atomic_store_n(&s->open, i + 1, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (get_brief(m, i) & BRIEF_USED)
		evict(m, s, i, now);
	s->hot_used++;
	s->strays += stray != 0;
	set_brief(m, i, at->tag | BRIEF_USED | stray | (brief_t)now << BRIEF_TIME);
	return i;
}

static struct guard_hot *open_row(const struct memory *m, struct guard_key k, ms_t now,
				  bool only_known)
{
	struct place at = memory_place(m, k);
	struct memory_shard *s = &m->shard[at.shard];
	struct guard_cold *cold = NULL, was;
	struct guard_hot *row;
	uint32_t i;

	BUG_IF(!guard_key_ok(k) || m->worker >= m->shape.workers);
	if (!lock_take(&s->lock, m->worker)) {
		__atomic_add_fetch(&s->contended, 1, __ATOMIC_RELAXED);
		return NULL;
	}
	i = find(m, &at, k);
	if (i != NOWHERE) {
		__atomic_store_n(&s->open, i + 1, __ATOMIC_RELAXED);
		hot_tidy(&m->hot[i]);
		return &m->hot[i];
	}
	cold = cold_find(m, &at, k);
	if (cold)
		was = *cold;
	if ((!cold && only_known) || (i = make(m, &at, memory_second(now))) == NOWHERE) {
		lock_free(&s->lock);
		return NULL;
	}
	row = &m->hot[i];
	row->key = k;
	if (cold) {
		hot_of_cold(&was, row);
		/* it may have been forgotten by now, for what made room */
		if ((cold = cold_find(m, &at, k)))
			cold_drop(m, &at, cold);
	}
	return row;
}

struct guard_hot *memory_open_row(const struct memory *m, struct guard_key k, ms_t now)
{
	return open_row(m, k, now, false);
}

struct guard_hot *memory_open_known(const struct memory *m, struct guard_key k, ms_t now)
{
	return open_row(m, k, now, true);
}

void memory_close_row(const struct memory *m, struct guard_hot *row)
{
	size_t i = (size_t)(row - m->hot);
	struct memory_shard *s;
	brief_t was;

	BUG_IF(row < m->hot || i >= m->shape.hot);
	s = memory_shard_of(m, (uint32_t)i / BUCKET);
	BUG_IF(__atomic_load_n(&s->lock.by, __ATOMIC_RELAXED) != m->worker + 1);
	was = get_brief(m, (uint32_t)i);
	set_brief(m, (uint32_t)i, brief_of(row) | (was & (BRIEF_TAG | BRIEF_STRAY)));
	__atomic_store_n(&s->open, 0, __ATOMIC_RELAXED);
	lock_free(&s->lock);
}

bool memory_adopt(const struct memory *m, const struct guard_cold *c, ms_t now)
{
	struct guard_key k = cold_key(c);
	struct place at = memory_place(m, k);
	struct memory_shard *s = &m->shard[at.shard];
	bool unknown;

	if (!lock_take(&s->lock, m->worker)) {
		__atomic_add_fetch(&s->contended, 1, __ATOMIC_RELAXED);
		return false;
	}
	unknown = find(m, &at, k) == NOWHERE && !cold_find(m, &at, k);
	if (unknown)
		cold_put(m, &at, c, memory_second(now));
	lock_free(&s->lock);
	return unknown;
}

/* ---- mending ----------------------------------------------------------------------------------- */

/* Count anew what the shard's buckets hold, and free what is no row. */
static void recount(const struct memory *m, uint32_t shard)
{
	struct memory_shard *s = &m->shard[shard];
	uint32_t hot = 0, strays = 0, cold = 0;

	for (uint32_t b = shard; b < m->shape.hot / BUCKET; b += m->shards)
		for (uint32_t i = b * BUCKET; i < (b + 1) * BUCKET; i++) {
			brief_t brief = get_brief(m, i);

			hot += (brief & BRIEF_USED) != 0;
			strays += (brief & BRIEF_STRAY) != 0;
		}
	for (uint32_t b = shard; b < m->shape.cold / BUCKET; b += m->shards)
		for (uint32_t i = b * BUCKET; i < (b + 1) * BUCKET; i++) {
			if (m->cold[i].kind && !cold_ok(&m->cold[i])) {
				m->cold[i] = (struct guard_cold){ 0 };
				s->mended++;
			}
			cold += m->cold[i].kind != 0;
		}
	s->hot_used = hot;
	s->strays = strays;
	s->cold_used = cold;
}

static void mend_shard(const struct memory *m, uint32_t shard)
{
	struct memory_shard *s = &m->shard[shard];
	uint32_t open = s->open;

	if (open && open <= m->shape.hot && memory_shard_of(m, (open - 1) / BUCKET) == s) {
		set_brief(m, open - 1, 0);
		memset(&m->hot[open - 1], 0, sizeof(m->hot[open - 1]));
		s->mended++;
	}
	s->open = 0;
	recount(m, shard);
}

/* Hand the lock of the dead over to ourselves: two who mend at once do not meet. */
static bool inherit(const struct memory *m, struct memory_lock *lock, unsigned dead)
{
	uint32_t by = dead + 1;

	return __atomic_compare_exchange_n(&lock->by, &by, m->worker + 1, false,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void memory_mend(const struct memory *m, unsigned dead, ms_t now)
{
	(void)now;
	for (uint32_t i = 0; i < m->shards; i++)
		if (inherit(m, &m->shard[i].lock, dead)) {
			mend_shard(m, i);
			lock_free(&m->shard[i].lock);
		}
	if (inherit(m, &m->head->notes_lock, dead))
		lock_free(&m->head->notes_lock);
	for (uint32_t w = 0; w < m->shape.workers; w++)
		if (inherit(m, &m->seats[w].mending, dead))
			lock_free(&m->seats[w].mending);
}
