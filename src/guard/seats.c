#include "guard/seats.h"

#include "base/bug.h"
#include "guard/inside.h"

/* clang-format off */
const char *const seat_state_word[SEAT_STATES] = {
	[SEAT_FREE] = "free",   [SEAT_OPENED] = "opened", [SEAT_WAITS] = "waits",
	[SEAT_TLS] = "tls",     [SEAT_TALKS] = "talks",   [SEAT_MAIL] = "mail",
	[SEAT_BODY] = "body",   [SEAT_ASKS] = "asks",     [SEAT_DELAYED] = "delayed",
	[SEAT_READS] = "reads", [SEAT_LEAVES] = "leaves",
};
/* clang-format on */

/* ---- which are taken --------------------------------------------------------------------- */

struct map {
	uint64_t *low, *middle, *top;
	uint32_t seats;
	uint32_t words;
};

static struct map map_of(const struct memory *m, unsigned worker)
{
	struct seats_full f = seats_full_of(m->shape.seats);
	uint64_t *words = m->seats_full + (size_t)worker * f.all;

	return (struct map){
		.low = words,
		.middle = words + f.low,
		.top = words + f.low + f.middle,
		.seats = m->shape.seats,
		.words = f.low,
	};
}

/* The lowest bit that is zero; 64 if there is none. */
static uint32_t lowest(uint64_t word)
{
	return ~word ? (uint32_t)__builtin_ctzll(~word) : 64;
}

/*
 * The lowest free seat, so that few pages are in use however many seats there could be.
 * Bits behind the end are never set: whoever ends up there has found all taken.
 */
static uint32_t map_lowest(const struct map *map)
{
	uint32_t i = lowest(*map->top);

	if (i * 64u >= map->words)
		return SEAT_NONE;
	i = i * 64 + lowest(map->middle[i]);
	if (i >= map->words)
		return SEAT_NONE;
	i = i * 64 + lowest(map->low[i]);
	return i < map->seats ? i : SEAT_NONE;
}

static void map_set(const struct map *map, uint32_t n)
{
	uint64_t all = UINT64_MAX;

	map->low[n / 64] |= UINT64_C(1) << n % 64;
	if (map->low[n / 64] != all)
		return;
	n /= 64;
	map->middle[n / 64] |= UINT64_C(1) << n % 64;
	if (map->middle[n / 64] == all)
		*map->top |= UINT64_C(1) << n / 64;
}

static void map_clear(const struct map *map, uint32_t n)
{
	map->low[n / 64] &= ~(UINT64_C(1) << n % 64);
	n /= 64;
	map->middle[n / 64] &= ~(UINT64_C(1) << n % 64);
	*map->top &= ~(UINT64_C(1) << n / 64);
}

static bool map_has(const struct map *map, uint32_t n)
{
	return map->low[n / 64] >> n % 64 & 1;
}

/* ---- one's own ----------------------------------------------------------------------------- */

static struct seat_place *place_of(const struct memory *m, unsigned worker, uint32_t n)
{
	BUG_IF(worker >= m->shape.workers || n >= m->shape.seats);
	return m->seat + (size_t)worker * m->shape.seats + n;
}

static void put(struct seat_place *p, const struct seat *s)
{
	uint32_t seq = p->seq | 1;

	__atomic_store_n(&p->seq, seq, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	p->seat = *s;
	__atomic_store_n(&p->seq, seq + 1, __ATOMIC_RELEASE);
}

uint32_t seat_take(const struct memory *m, const struct seat *s)
{
	struct map map;
	struct seats_head *head;
	uint32_t n;

	BUG_IF(m->worker >= m->shape.workers || s->state == SEAT_FREE);
	map = map_of(m, m->worker);
	head = &m->seats[m->worker];
	n = map_lowest(&map);
	if (n == SEAT_NONE)
		return n;
	map_set(&map, n);
	if (n >= head->high)
		__atomic_store_n(&head->high, n + 1, __ATOMIC_RELEASE);
	put(place_of(m, m->worker, n), s);
	__atomic_add_fetch(&head->taken, 1, __ATOMIC_RELAXED);
	return n;
}

void seat_write(const struct memory *m, uint32_t n, const struct seat *s)
{
	BUG_IF(s->state == SEAT_FREE);
	put(place_of(m, m->worker, n), s);
}

void seat_leave(const struct memory *m, uint32_t n)
{
	struct seat_place *p = place_of(m, m->worker, n);
	struct map map = map_of(m, m->worker);
	struct seats_head *head = &m->seats[m->worker];

	put(p, &(struct seat){ .state = SEAT_FREE });
	if (!map_has(&map, n))
		return;
	map_clear(&map, n);
	if (head->taken)
		__atomic_sub_fetch(&head->taken, 1, __ATOMIC_RELAXED);
}

const struct seat *seat_own(const struct memory *m, uint32_t n)
{
	return &place_of(m, m->worker, n)->seat;
}

/* ---- anybody's -------------------------------------------------------------------------------- */

/* Whoever wrote it may have been broken into. */
static bool seat_ok(const struct seat *s)
{
	return s->state > SEAT_FREE && s->state < SEAT_STATES && s->name_n <= SEAT_NAME;
}

bool seat_read(const struct memory *m, unsigned worker, uint32_t n, struct seat *out)
{
	const struct seat_place *p;

	if (worker >= m->shape.workers || n >= m->shape.seats)
		return false;
	p = place_of(m, worker, n);
	for (unsigned i = 0; i < READ_TRIES; i++) {
		uint32_t seq = __atomic_load_n(&p->seq, __ATOMIC_ACQUIRE);
		struct seat s;

		if (seq & 1) {
			spin_once();
			continue;
		}
		s = p->seat;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&p->seq, __ATOMIC_RELAXED) != seq)
			continue;
		if (!seat_ok(&s))
			return false;
		*out = s;
		return true;
	}
	return false;
}

uint32_t seats_high(const struct memory *m, unsigned worker)
{
	uint32_t high;

	if (worker >= m->shape.workers)
		return 0;
	high = __atomic_load_n(&m->seats[worker].high, __ATOMIC_ACQUIRE);
	return high < m->shape.seats ? high : m->shape.seats;
}

unsigned seats_workers(const struct memory *m)
{
	return m->shape.workers;
}

uint32_t seats_room(const struct memory *m)
{
	return m->shape.seats;
}

/* ---- owed to others ------------------------------------------------------------------------------- */

static uint32_t owed_by(const struct memory *m, unsigned worker)
{
	uint32_t owed = __atomic_load_n(&m->seats[worker].owed, __ATOMIC_RELAXED);

	return owed < OWED_MAX ? owed : OWED_MAX;
}

bool seats_claim(const struct memory *m, unsigned worker)
{
	if (worker >= m->shape.workers || owed_by(m, worker) == OWED_MAX)
		return false;
	__atomic_add_fetch(&m->seats[worker].owed, 1, __ATOMIC_RELAXED);
	return true;
}

uint32_t seats_owed(const struct memory *m)
{
	BUG_IF(m->worker >= m->shape.workers);
	return owed_by(m, m->worker);
}

void seats_settle(const struct memory *m, uint32_t owed)
{
	uint32_t *at = &m->seats[m->worker].owed;
	uint32_t was = __atomic_load_n(at, __ATOMIC_RELAXED);

	/* never below none, whatever was written there */
	while (!__atomic_compare_exchange_n(at, &was, was > owed ? was - owed : 0, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

uint32_t seats_staying(const struct memory *m)
{
	uint32_t all = 0, owed = 0;

	for (unsigned w = 0; w < m->shape.workers; w++) {
		all += __atomic_load_n(&m->seats[w].taken, __ATOMIC_RELAXED);
		owed += owed_by(m, w);
	}
	return all > owed ? all - owed : 0;
}

/* ---- of the dead --------------------------------------------------------------------------------- */

/* So often, for all of them, a lock may be waited for that is not to be had. */
#define PATIENCE_ALL 4000

static void take_back(const struct memory *m, const struct addr *peer, unsigned *patience)
{
	for (int level = 0; level < LEVEL_COUNT; level++) {
		struct guard_key k = guard_key_of(peer, (enum guard_level)level);

		while (!memory_left(m, k, 1, 0, 0) && *patience)
			--*patience;
	}
}

void seats_mend(const struct memory *m, unsigned dead)
{
	unsigned patience = PATIENCE_ALL;
	struct seats_head *head;
	struct map map;

	if (dead >= m->shape.workers)
		return;
	head = &m->seats[dead];
	if (!lock_take(m, &head->mending))
		return;
	map = map_of(m, dead);
	for (uint32_t n = 0, high = seats_high(m, dead); n < high; n++) {
		struct seat_place *p = place_of(m, dead, n);
		struct seat was = p->seat;

		if (was.state == SEAT_FREE)
			continue;
		/* first free, then taken back: once at most, should we die now */
		put(p, &(struct seat){ .state = SEAT_FREE });
		if (!was.apart)
			take_back(m, &was.peer, &patience);
	}
	memset(map.low, 0, seats_full_of(m->shape.seats).all * sizeof(*map.low));
	__atomic_store_n(&head->high, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&head->taken, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&head->delayed, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&head->owed, 0, __ATOMIC_RELAXED);
	lock_free(&head->mending);
}
