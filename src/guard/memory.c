#include "guard/inside.h"

#include "base/bug.h"
#include "base/siphash.h"

#define MAGIC	UINT64_C(0x31796d656d666c48) /* "Hlfmemy1" */
#define VERSION 5
#define PAGE	4096
#define ROW_BYTES                                                 \
	(sizeof(struct guard_hot) + sizeof(struct guard_detail) + \
	 sizeof(struct guard_cold))
#define ROWS_MAX      (UINT32_C(1) << 30)
#define SECONDS_SHIFT (INT64_C(1) << 30) /* guard seconds at the machine's start */

const char *const guard_step_word[STEP_COUNT] = {
	[STEP_NONE] = "none",	  [STEP_DELAY] = "delay", [STEP_LATE] = "late",
	[STEP_REFUSE] = "refuse", [STEP_DROP] = "drop",	  [STEP_KERNEL] = "kernel",
};

/* ---- how it is laid out ----------------------------------------------------------------- */

static uint32_t whole_rows(uint32_t n)
{
	uint32_t rows = BUCKET;

	while (rows < n && rows < ROWS_MAX)
		rows *= 2;
	return rows;
}

static struct memory_shape whole(const struct memory_shape *s)
{
	return (struct memory_shape){
		.hot = whole_rows(s->hot),
		.cold = whole_rows(s->cold),
		.workers = s->workers < 1	      ? 1
			   : s->workers > WORKERS_MAX ? WORKERS_MAX
						      : s->workers,
		.seats = s->seats < 1		? 1
			 : s->seats > SEATS_MAX ? SEATS_MAX
						: s->seats,
	};
}

static size_t page_after(size_t n)
{
	return (n + PAGE - 1) / PAGE * PAGE;
}

/* False: not a shape that memory_init() makes. */
bool memory_plan(const struct memory_shape *shape, struct memory_plan *out)
{
	struct memory_shape s = whole(shape);
	uint32_t hot = s.hot / BUCKET, cold = s.cold / BUCKET, shards = SHARDS_MAX;

	if (memcmp(&s, shape, sizeof(s)) != 0)
		return false;
	/* several hot buckets in each, so that a full one has another beside it */
	while (shards > 1 && (shards > hot / 4 || shards > cold))
		shards /= 2;
	out->shard_count = shards;
	out->shards = page_after(sizeof(struct memory_head));
	out->notes = page_after(out->shards + shards * sizeof(struct memory_shard));
	out->tags = page_after(out->notes + NOTES * sizeof(struct memory_note));
	out->hot = page_after(out->tags + hot * sizeof(struct memory_tags));
	out->detail = page_after(out->hot + s.hot * sizeof(struct guard_hot));
	out->cold = page_after(out->detail + s.hot * sizeof(struct guard_detail));
	out->seats = page_after(out->cold + s.cold * sizeof(struct guard_cold));
	out->full = page_after(out->seats + s.workers * sizeof(struct seats_head));
	out->seat = page_after(out->full + s.workers * sizeof(uint64_t) *
						   (size_t)seats_full_of(s.seats).all);
	out->end = page_after(out->seat +
			      (size_t)s.workers * s.seats * sizeof(struct seat_place));
	return true;
}

size_t memory_size(const struct memory_shape *shape)
{
	struct memory_shape s = whole(shape);
	struct memory_plan plan;

	BUG_IF(!memory_plan(&s, &plan));
	return plan.end;
}

void memory_init(void *mem, size_t n, const struct memory_shape *shape,
		 const uint64_t key[2], ms_t now)
{
	struct memory_head *head = mem;

	(void)now;
	BUG_IF(n != memory_size(shape));
	*head = (struct memory_head){
		.magic = MAGIC,
		.version = VERSION,
		.row_bytes = ROW_BYTES,
		.bytes = n,
		.shape = whole(shape),
		.key = { key[0], key[1] },
		.half_slow = 7 * MS_DAY,
	};
}

bool memory_open(struct memory *m, void *mem, size_t n, unsigned worker)
{
	struct memory_head *head = mem;
	struct memory_shape shape;
	struct memory_plan plan;
	uint8_t *base = mem;

	if (!mem || n < sizeof(*head) || (uintptr_t)mem % LINE)
		return false;
	shape = head->shape;
	if (head->magic != MAGIC || head->version != VERSION || head->bytes != n ||
	    head->row_bytes != ROW_BYTES || !memory_plan(&shape, &plan) || plan.end != n)
		return false;
	*m = (struct memory){
		.head = head,
		.bytes = n,
		.worker = worker,
		.shape = shape,
		.shards = plan.shard_count,
		.beside = shape.hot / BUCKET / plan.shard_count - 1,
		.key = { head->key[0], head->key[1] },
		.shard = (struct memory_shard *)(base + plan.shards),
		.notes = (struct memory_note *)(base + plan.notes),
		.tags = (struct memory_tags *)(base + plan.tags),
		.hot = (struct guard_hot *)(base + plan.hot),
		.detail = (struct guard_detail *)(base + plan.detail),
		.cold = (struct guard_cold *)(base + plan.cold),
		.seats = (struct seats_head *)(base + plan.seats),
		.seats_full = (uint64_t *)(base + plan.full),
		.seat = (struct seat_place *)(base + plan.seat),
	};
	if (m->beside > BESIDE_MAX)
		m->beside = BESIDE_MAX;
	while (shape.hot <= shape.cold >> (m->spread + 1))
		m->spread++;
	return true;
}

void memory_half_life(const struct memory *m, ms_t half_slow)
{
	if (half_slow > 0)
		__atomic_store_n(&m->head->half_slow, half_slow, __ATOMIC_RELAXED);
}

ms_t memory_half_slow(const struct memory *m)
{
	return __atomic_load_n(&m->head->half_slow, __ATOMIC_RELAXED);
}

gsec_t memory_second(ms_t now)
{
	int64_t s = now / MS_SECOND + SECONDS_SHIFT;

	return s < 1 ? 1 : s > UINT32_MAX ? UINT32_MAX : (gsec_t)s;
}

/* ---- hashes -------------------------------------------------------------------------------- */

uint64_t memory_hash(const struct memory *m, struct span what)
{
	return siphash(m->key, what);
}

uint64_t memory_life(const struct memory *m)
{
	return memory_hash(m, SPAN("life"));
}

/* Both halves of a product: each bit of the result depends on all bits of both. */
static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/*
 * What is beside each other here is in the same page with the default sizes, so that whoever
 * comes back and who makes room for it need one walk through the page tables and not two.
 */
uint32_t memory_cold_bucket(const struct memory *m, uint32_t bucket, uint16_t tag)
{
	uint32_t which = tag & ((UINT32_C(1) << m->spread) - 1);

	return (bucket << m->spread | which) & (m->shape.cold / BUCKET - 1);
}

/* docs/decisions/0009: why not siphash here. */
struct memory_place memory_place(const struct memory *m, struct guard_key k)
{
	uint64_t h = fold(k.prefix ^ m->key[0],
			  m->key[1] ^
				  (k.kind + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15));
	struct memory_place at;

	h = fold(h ^ m->key[1], m->key[0] ^ UINT64_C(0xd6e8feb86659fd93));
	at.bucket = (uint32_t)h & (m->shape.hot / BUCKET - 1);
	at.tag = (uint16_t)(h >> 48);
	at.tag = (uint16_t)(at.tag + (at.tag == 0));
	at.shard = at.bucket & (m->shards - 1);
	at.likely = at.bucket * BUCKET;
	at.leaves = 0;
	at.absent = false;
	return at;
}

/* How the words of seats are arranged; see inside.h. */
struct seats_full seats_full_of(uint32_t seats)
{
	struct seats_full f = { .low = (seats + 63) / 64, .top = 1 };

	f.middle = (f.low + 63) / 64;
	f.all = (f.low + f.middle + f.top + 7) / 8 * 8;
	return f;
}

struct memory_shard *memory_shard_of(const struct memory *m, uint32_t bucket)
{
	return &m->shard[bucket & (m->shards - 1)];
}

struct memory_shard *memory_shard_of_cold(const struct memory *m, uint32_t bucket)
{
	return memory_shard_of(m, bucket >> m->spread);
}

/* ---- locks ---------------------------------------------------------------------------------- */

static bool is_free(struct memory_lock *lock, unsigned worker)
{
	return __atomic_load_n(&lock->by, __ATOMIC_RELAXED) == GUARD_NOBODY &&
	       lock_try(lock, worker);
}

/* Whoever has it does a microsecond's work: for longer it has no processor, or is dead. */
static bool rest_for(const struct memory *m, struct memory_lock *lock)
{
	uint32_t held = __atomic_load_n(&lock->seq, __ATOMIC_RELAXED);

	if (!m->rest || __atomic_load_n(&lock->vain, __ATOMIC_RELAXED) == held)
		return false;
	for (unsigned i = 0; i < RESTS; i++) {
		m->rest();
		if (is_free(lock, m->worker))
			return true;
	}
	__atomic_store_n(&lock->vain, held, __ATOMIC_RELAXED);
	return false;
}

bool lock_wait(const struct memory *m, struct memory_lock *lock)
{
	for (unsigned i = 0; i < PATIENCE; i++) {
		spin_once();
		if (is_free(lock, m->worker))
			return true;
	}
	return rest_for(m, lock);
}

bool read_begins(const struct memory_lock *lock, uint32_t *seq)
{
	*seq = __atomic_load_n(&lock->seq, __ATOMIC_ACQUIRE);
	return (*seq & 1) == 0;
}

bool read_held(const struct memory_lock *lock, uint32_t seq)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&lock->seq, __ATOMIC_RELAXED) == seq;
}

/* ---- counts, and moods of the whole server ---------------------------------------------------- */

void memory_counts(const struct memory *m, struct memory_counts *out)
{
	*out = (struct memory_counts){ .hot_rows = m->shape.hot,
				       .cold_rows = m->shape.cold };
	for (uint32_t i = 0; i < m->shards; i++) {
		const struct memory_shard *s = &m->shard[i];

		out->hot_used += __atomic_load_n(&s->hot_used, __ATOMIC_RELAXED);
		out->cold_used += __atomic_load_n(&s->cold_used, __ATOMIC_RELAXED);
		out->evicted += __atomic_load_n(&s->evicted, __ATOMIC_RELAXED);
		out->forgotten += __atomic_load_n(&s->forgotten, __ATOMIC_RELAXED);
		out->contended += __atomic_load_n(&s->contended, __ATOMIC_RELAXED);
		out->mended += __atomic_load_n(&s->mended, __ATOMIC_RELAXED);
	}
}

static struct seats_head *own_head(const struct memory *m)
{
	BUG_IF(m->worker >= m->shape.workers);
	return &m->seats[m->worker];
}

uint32_t memory_sessions(const struct memory *m)
{
	uint32_t sum = 0;

	for (uint32_t w = 0; w < m->shape.workers; w++)
		sum += __atomic_load_n(&m->seats[w].taken, __ATOMIC_RELAXED);
	return sum;
}

int32_t memory_delayed(const struct memory *m, int32_t add)
{
	int64_t sum = 0;

	if (add)
		(void)__atomic_add_fetch(&own_head(m)->delayed, add, __ATOMIC_RELAXED);
	for (uint32_t w = 0; w < m->shape.workers; w++)
		sum += __atomic_load_n(&m->seats[w].delayed, __ATOMIC_RELAXED);
	return sum < 0 ? 0 : sum > INT32_MAX ? INT32_MAX : (int32_t)sum;
}

bool memory_handshake(const struct memory *m, int64_t per_second, ms_t now)
{
	uint64_t *all = &m->head->handshakes, was, is;
	uint64_t second = memory_second(now);

	was = __atomic_load_n(all, __ATOMIC_RELAXED);
	do {
		uint64_t used;

		/* clocks of edges are a little apart: who is late must not begin anew */
		if (was >> 32 > second && was >> 32 <= second + 2)
			second = was >> 32;
		used = was >> 32 == second ? was & UINT32_MAX : 0;
		if ((int64_t)used >= per_second || used == UINT32_MAX)
			return false;
		is = second << 32 | (used + 1);
	} while (!__atomic_compare_exchange_n(all, &was, is, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return true;
}
