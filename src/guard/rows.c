#include "guard/inside.h"

#include "base/attr.h"
#include "base/bug.h"

/* ---- places -------------------------------------------------------------------------------- */

#define NOWHERE UINT32_MAX

/* Eight comparisons at once, where the processor can. */
typedef uint16_t eight __attribute__((vector_size(16)));
typedef uint64_t halves __attribute__((vector_size(16)));

/*
 * A bit for each place of the bucket that has the tag. Nobody can foretell which place that
 * is, so this has no branch for each of them: one that goes the other way costs more than
 * all of it.
 */
static unsigned tagged(const struct memory_tags *t, uint16_t tag)
{
	const eight bits = { 1, 2, 4, 8, 16, 32, 64, 128 };
	eight tags, want = { tag, tag, tag, tag, tag, tag, tag, tag };
	halves same;
	uint64_t all;

	memcpy(&tags, t->tag, sizeof(tags));
	same = (halves)((eight)(tags == want) & bits);
	all = same[0] | same[1];
	all |= all >> 32;
	return (unsigned)(all | all >> 16) & UINT8_MAX;
}

static unsigned lowest(unsigned bits)
{
	return (unsigned)__builtin_ctz(bits);
}

static uint32_t find_in(const struct memory *m, uint32_t bucket, uint16_t tag,
			struct guard_key k)
{
	for (unsigned in = tagged(&m->tags[bucket], tag); in; in &= in - 1) {
		uint32_t i = bucket * BUCKET + lowest(in);

		if (guard_key_eq(m->hot[i].key, k))
			return i;
	}
	return NOWHERE;
}

APART static uint32_t search(const struct memory *m, const struct memory_place *at,
			     struct guard_key k)
{
	uint32_t i = find_in(m, at->bucket, at->tag, k);

	if (i != NOWHERE || !m->shard[at->shard].strays)
		return i;
	for (uint32_t j = 1; i == NOWHERE && j <= m->beside; j++)
		i = find_in(m, place_bucket(m, at, j), at->tag, k);
	return i;
}

/* Mostly it is where it was a moment ago, before the shard was locked. */
static uint32_t find(const struct memory *m, const struct memory_place *at,
		     struct guard_key k)
{
	uint32_t i = at->likely;

	if (m->tags[i / BUCKET].tag[i % BUCKET] == at->tag &&
	    guard_key_eq(m->hot[i].key, k))
		return i;
	return search(m, at, k);
}

/* The free place, or what matters least of the bucket. */
static unsigned least_in(const struct memory_tags *t, gsec_t now)
{
	unsigned at = 0, none = tagged(t, 0);
	uint64_t low = UINT64_MAX;

	if (none)
		return lowest(none);
	for (unsigned i = 0; i < BUCKET; i++) {
		uint64_t w = tags_order(t, i, now);

		at = w < low ? i : at;
		low = w < low ? w : low;
	}
	return at;
}

/*
 * Free, or what may be forgotten; NOWHERE if all have open sessions. The tags are only a
 * summary: the row itself says whether it has sessions.
 */
static uint32_t room_in(const struct memory *m, uint32_t bucket, gsec_t now)
{
	struct memory_tags *t = &m->tags[bucket];

	for (unsigned tries = 0; tries < BUCKET; tries++) {
		unsigned i = least_in(t, now);

		if (!t->tag[i])
			return bucket * BUCKET + i;
		if (t->rank[i] == RANK_OPEN)
			return NOWHERE;
		if (m->hot[bucket * BUCKET + i].sessions == 0)
			return bucket * BUCKET + i;
		t->rank[i] = RANK_OPEN;
		t->time[i] = OPEN_TIME;
	}
	return NOWHERE;
}

/* ---- bringing it on its way --------------------------------------------------------------- */

static void fetch(const void *p, size_t n)
{
	for (size_t i = 0; i < n; i += LINE)
		__builtin_prefetch((const uint8_t *)p + i, 1);
}

static void fetch_cold(const struct memory *m, uint32_t bucket)
{
	fetch(m->cold + (size_t)bucket * BUCKET, BUCKET * sizeof(*m->cold));
}

/*
 * With the tags there: the row that has one's tag, or what may have it else and what will
 * make room for it. Only so many lines can be under way at once.
 */
static void fetch_row(const struct memory *m, struct memory_place *at)
{
	const struct memory_tags *t = &m->tags[at->bucket];
	unsigned in = tagged(t, at->tag), i;

	if (in) {
		at->likely = at->bucket * BUCKET + lowest(in);
		fetch(&m->hot[at->likely], sizeof(*m->hot));
		return;
	}
	fetch_cold(m, memory_cold_bucket(m, at->bucket, at->tag));
	i = least_in(t, __atomic_load_n(&m->head->second, __ATOMIC_RELAXED));
	at->absent = true;
	at->likely = at->bucket * BUCKET + i;
	at->leaves = t->tag[i];
	if (t->tag[i])
		fetch_cold(m, memory_cold_bucket(m, at->bucket, t->tag[i]));
	fetch(&m->hot[at->likely], sizeof(*m->hot));
}

/*
 * The rows of a bucket are in one page. Finding out where that is takes as long as fetching
 * a line, so it is begun while the tags, which say which row of them, are on their way.
 */
_Static_assert(4096 % (BUCKET * sizeof(struct guard_hot)) == 0, "a bucket is in a page");

void memory_expect(const struct memory *m, const struct memory_place *places, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		__builtin_prefetch(&m->tags[places[i].bucket], 1);
		__builtin_prefetch(&m->hot[places[i].bucket * BUCKET]);
		__builtin_prefetch(&m->shard[places[i].shard], 1);
	}
}

void memory_expect_rows(const struct memory *m, struct memory_place *places, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fetch_row(m, &places[i]);
}

/* ---- making room ---------------------------------------------------------------------------- */

/* In halves: of a whole one gcc makes a string instruction, which takes long to begin. */
static void clear(struct guard_hot *row)
{
	uint8_t *p = (uint8_t *)row;

	_Static_assert(sizeof(*row) == 2 * LINE, "a row is two lines");
	memset(p, 0, LINE);
	memset(p + LINE, 0, LINE);
}

/* The row is empty from here on; what was known is in cold memory, if that has room. */
static void empty(const struct memory *m, struct memory_shard *s, uint32_t i)
{
	struct memory_tags *t = &m->tags[i / BUCKET];

	if (t->after[i % BUCKET] & STRAY && s->strays)
		s->strays--;
	if (s->hot_used)
		s->hot_used--;
	t->tag[i % BUCKET] = 0;
	clear(&m->hot[i]);
}

static void evict(const struct memory *m, struct memory_shard *s, uint32_t i, gsec_t now)
{
	struct guard_hot *row = &m->hot[i];
	struct guard_cold cold;
	struct memory_place at;

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

/* Is what was chosen beforehand still what can be had? To choose anew takes 30 ns. */
static bool was_chosen(const struct memory *m, const struct memory_place *at)
{
	const struct memory_tags *t = &m->tags[at->bucket];
	uint32_t in = at->likely % BUCKET;

	return at->absent && at->likely / BUCKET == at->bucket &&
	       t->tag[in] == at->leaves && (!at->leaves || t->rank[in] != RANK_OPEN) &&
	       m->hot[at->likely].sessions == 0;
}

/* A place for a new row, empty and named as open, or NOWHERE. */
static uint32_t make(const struct memory *m, const struct memory_place *at, gsec_t now)
{
	struct memory_shard *s = &m->shard[at->shard];
	uint32_t i = was_chosen(m, at) ? at->likely : room_in(m, at->bucket, now);
	bool stray = i == NOWHERE;
	struct memory_tags *t;

	for (uint32_t j = 1; i == NOWHERE && j <= m->beside; j++)
		i = room_in(m, place_bucket(m, at, j), now);
	if (i == NOWHERE)
		return i;
	if (__atomic_load_n(&m->head->second, __ATOMIC_RELAXED) != now)
		__atomic_store_n(&m->head->second, now, __ATOMIC_RELAXED);
	__atomic_store_n(&s->open, i + 1, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	t = &m->tags[i / BUCKET];
	if (t->tag[i % BUCKET])
		evict(m, s, i, now);
	s->hot_used++;
	s->strays += stray;
	t->rank[i % BUCKET] = RANK_PASSER_BY;
	t->after[i % BUCKET] = stray ? STRAY : 0;
	t->time[i % BUCKET] = now;
	t->tag[i % BUCKET] = at->tag;
	return i;
}

/* A hot row for one who has none. The shard is locked, and free again if there is none. */
APART static struct guard_hot *come_back(const struct memory *m,
					 const struct memory_place *at,
					 struct guard_key k, gsec_t now, bool only_known)
{
	struct guard_cold *cold = cold_find(m, at, k), was;
	struct guard_hot *row;
	uint32_t i;

	if (cold)
		was = *cold;
	if ((!cold && only_known) || (i = make(m, at, now)) == NOWHERE) {
		lock_free(&m->shard[at->shard].lock);
		return NULL;
	}
	row = &m->hot[i];
	row->key = k;
	if (cold) {
		hot_of_cold(&was, row);
		/* it may have been forgotten by now, for what made room */
		if ((cold = cold_find(m, at, k)))
			cold_drop(m, at, cold);
	}
	return row;
}

struct guard_hot *memory_open_at(const struct memory *m, const struct memory_place *at,
				 struct guard_key k, ms_t now, bool only_known)
{
	struct memory_shard *s = &m->shard[at->shard];
	uint32_t i;

	BUG_IF(m->worker >= m->shape.workers);
	if (!lock_take(m, &s->lock)) {
		__atomic_add_fetch(&s->contended, 1, __ATOMIC_RELAXED);
		return NULL;
	}
	i = find(m, at, k);
	if (i == NOWHERE)
		return come_back(m, at, k, memory_second(now), only_known);
	__atomic_store_n(&s->open, i + 1, __ATOMIC_RELAXED);
	hot_tidy(&m->hot[i]);
	return &m->hot[i];
}

struct guard_hot *memory_open_row(const struct memory *m, struct guard_key k, ms_t now)
{
	struct memory_place at = memory_place(m, k);

	BUG_IF(!guard_key_ok(k));
	return memory_open_at(m, &at, k, now, false);
}

struct guard_detail *memory_detail(const struct memory *m, const struct guard_hot *row)
{
	size_t i = (size_t)(row - m->hot);

	BUG_IF(row < m->hot || i >= m->shape.hot);
	if (!(row->flags & HOT_DETAIL))
		memset(&m->detail[i], 0, sizeof(m->detail[i]));
	return &m->detail[i];
}

static void sum_up(struct memory_tags *t, size_t in, struct brief b)
{
	t->rank[in] = b.rank;
	t->after[in] = (uint8_t)(b.after | (t->after[in] & STRAY));
	t->time[in] = b.time;
}

void memory_close_row(const struct memory *m, struct guard_hot *row)
{
	size_t i = (size_t)(row - m->hot);
	struct memory_tags *t = &m->tags[i / BUCKET];
	struct memory_shard *s;

	BUG_IF(row < m->hot || i >= m->shape.hot);
	s = memory_shard_of(m, (uint32_t)i / BUCKET);
	BUG_IF(__atomic_load_n(&s->lock.by, __ATOMIC_RELAXED) != m->worker + 1);
	/* what it will be worth is reckoned when the last of its sessions has gone */
	if (row->sessions) {
		t->rank[i % BUCKET] = RANK_OPEN;
		t->time[i % BUCKET] = OPEN_TIME;
	} else {
		sum_up(t, i % BUCKET, brief_of(row));
	}
	__atomic_store_n(&s->open, 0, __ATOMIC_RELAXED);
	lock_free(&s->lock);
}

/* A row with sessions is never moved to cold memory: if it is not here, it was torn. */
bool memory_left(const struct memory *m, struct guard_key k, uint32_t sessions,
		 uint64_t bytes, uint64_t busy_us)
{
	struct memory_place at = memory_place(m, k);
	struct memory_shard *s = &m->shard[at.shard];
	struct guard_hot *row;
	uint32_t i;

	BUG_IF(m->worker >= m->shape.workers);
	if (!lock_take(m, &s->lock)) {
		__atomic_add_fetch(&s->contended, 1, __ATOMIC_RELAXED);
		return false;
	}
	i = find(m, &at, k);
	if (i == NOWHERE) {
		lock_free(&s->lock);
		return true;
	}
	__atomic_store_n(&s->open, i + 1, __ATOMIC_RELAXED);
	row = &m->hot[i];
	row->sessions -= row->sessions < sessions ? row->sessions : sessions;
	row->bytes += bytes;
	row->busy_us += busy_us;
	memory_close_row(m, row);
	return true;
}

bool memory_adopt(const struct memory *m, const struct guard_cold *c, ms_t now)
{
	struct guard_key k = cold_key(c);
	struct memory_place at = memory_place(m, k);
	struct memory_shard *s = &m->shard[at.shard];
	uint32_t i;
	bool unknown;

	if (!lock_take(m, &s->lock)) {
		__atomic_add_fetch(&s->contended, 1, __ATOMIC_RELAXED);
		return false;
	}
	i = find(m, &at, k);
	if (i != NOWHERE) {
		__atomic_store_n(&s->open, i + 1, __ATOMIC_RELAXED);
		hot_tidy(&m->hot[i]);
		hot_join(&m->hot[i], c);
		memory_close_row(m, &m->hot[i]);
		return false;
	}
	unknown = !cold_find(m, &at, k);
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
	uint32_t hot = 0, strays = 0, cold = 0, each = (uint32_t)BUCKET << m->spread;

	for (uint32_t b = shard; b < m->shape.hot / BUCKET; b += m->shards)
		for (uint32_t i = b * BUCKET; i < (b + 1) * BUCKET; i++) {
			const struct memory_tags *t = &m->tags[b];

			hot += t->tag[i % BUCKET] != 0;
			strays += t->tag[i % BUCKET] && t->after[i % BUCKET] & STRAY;
		}
	for (uint32_t b = shard; b < m->shape.cold / BUCKET >> m->spread; b += m->shards)
		for (uint32_t i = b * each; i < (b + 1) * each; i++) {
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
		m->tags[(open - 1) / BUCKET].tag[(open - 1) % BUCKET] = 0;
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

void memory_mend(const struct memory *m, unsigned dead)
{
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
