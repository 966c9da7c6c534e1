#include "guard/account_inside.h"

#include "base/bug.h"
#include "base/siphash.h"

#define MAGIC	   UINT64_C(0x3173746363416c48) /* "HlAccts1" */
#define VERSION	   3
#define PAGE	   4096
#define ROWS_MAX   (UINT32_C(1) << 24)
#define READ_TRIES 100

/* ---- what is worth keeping ------------------------------------------------------------------ */

static uint64_t worth(unsigned rank, gsec_t last)
{
	return (uint64_t)rank << 32 | last;
}

static uint64_t worth_user(const void *p, gsec_t at)
{
	const struct account_user *u = p;

	if ((u->flags & USER_GUARDED) && u->guarded_until > at)
		return worth(4, u->row.last);
	if (u->flags & (USER_STALE | USER_HELD))
		return worth(3, u->row.last);
	return worth(u->successes ? 2 : (u->flags & USER_EXISTS) || u->failures > 2,
		     u->row.last);
}

static uint64_t worth_pair(const void *p, gsec_t at)
{
	const struct account_pair *r = p;

	if (r->busy_since && account_age(r->busy_since, at) < 60)
		return worth(3, r->row.last);
	if (r->flags & PAIR_TOLD || r->storm[STORM_OVER].told || r->storm[STORM_SAME].told)
		return worth(2, r->row.last);
	return worth(r->level > 0 || r->over_level > 0, r->row.last);
}

static uint64_t worth_device(const void *p, gsec_t at)
{
	const struct account_known *d = p;

	(void)at;
	return d->seen > 0 ? (uint64_t)d->seen : 0;
}

static uint64_t worth_prefix(const void *p, gsec_t at)
{
	const struct account_prefix *n = p;

	if (n->until > at)
		return worth(3, n->row.last);
	return worth(distinct_count(&n->good) ? 2 : n->level > 0, n->row.last);
}

static uint64_t worth_secret(const void *p, gsec_t at)
{
	const struct account_secret *s = p;
	uint32_t users = distinct_count(&s->users);

	(void)at;
	return worth(s->sprayed ? 1000 : users < 1000 ? users : 999, s->row.last);
}

static uint64_t worth_campaign(const void *p, gsec_t at)
{
	const struct account_campaign *c = p;
	uint32_t members = distinct_count(&c->addrs);

	(void)at;
	return worth(c->number ? 1000 : members < 1000 ? members : 999, c->row.last);
}

static const struct kind {
	size_t bytes;
	uint64_t (*worth)(const void *row, gsec_t at);
} kinds[AT_COUNT] = {
	[AT_USERS] = { sizeof(struct account_user), worth_user },
	[AT_PAIRS] = { sizeof(struct account_pair), worth_pair },
	[AT_DEVICES] = { sizeof(struct account_known), worth_device },
	[AT_PREFIXES] = { sizeof(struct account_prefix), worth_prefix },
	[AT_SECRETS] = { sizeof(struct account_secret), worth_secret },
	[AT_CAMPAIGNS] = { sizeof(struct account_campaign), worth_campaign },
};

/* ---- how it is laid out ------------------------------------------------------------------ */

static uint32_t whole_rows(uint32_t n)
{
	uint32_t rows = ACCOUNT_BUCKET;

	while (rows < n && rows < ROWS_MAX)
		rows *= 2;
	return rows;
}

static struct accounts_shape whole(const struct accounts_shape *s)
{
	return (struct accounts_shape){
		.users = whole_rows(s->users),
		.pairs = whole_rows(s->pairs),
		.devices = whole_rows(s->devices),
		.prefixes = whole_rows(s->prefixes),
		.secrets = whole_rows(s->secrets),
		.campaigns = whole_rows(s->campaigns),
	};
}

static uint32_t rows_of(const struct accounts_shape *s, enum account_table table)
{
	const uint32_t rows[AT_COUNT] = { s->users,    s->pairs,   s->devices,
					  s->prefixes, s->secrets, s->campaigns };

	return rows[table];
}

static size_t page_after(size_t n)
{
	return (n + PAGE - 1) / PAGE * PAGE;
}

/* Where each table begins; the end. */
static size_t plan(const struct accounts_shape *s, size_t table[AT_COUNT])
{
	size_t at = page_after(sizeof(struct account_head));

	for (enum account_table t = 0; t < AT_COUNT; t++) {
		table[t] = at;
		at = page_after(at + rows_of(s, t) * kinds[t].bytes);
	}
	return at;
}

static uint32_t all_row_bytes(void)
{
	size_t sum = 0;

	for (enum account_table t = 0; t < AT_COUNT; t++)
		sum = sum * 3 + kinds[t].bytes;
	return (uint32_t)sum;
}

size_t accounts_size(const struct accounts_shape *shape)
{
	struct accounts_shape s = whole(shape);
	size_t table[AT_COUNT];

	return plan(&s, table);
}

void accounts_init(void *mem, size_t n, const struct accounts_shape *shape,
		   const uint64_t key[2], ms_t now)
{
	struct account_head *head = mem;

	(void)now;
	BUG_IF(n != accounts_size(shape));
	*head = (struct account_head){
		.magic = MAGIC,
		.version = VERSION,
		.row_bytes = all_row_bytes(),
		.bytes = n,
		.shape = whole(shape),
		.key = { key[0], key[1] },
	};
}

bool accounts_open(struct accounts *a, void *mem, size_t n)
{
	const struct account_head *head = mem;
	struct accounts_shape shape, s;
	struct accounts view = { .mem = mem, .n = n };

	if (!mem || n < sizeof(*head) || (uintptr_t)mem % sizeof(uint64_t))
		return false;
	shape = head->shape;
	s = whole(&shape);
	if (head->magic != MAGIC || head->version != VERSION || head->bytes != n ||
	    head->row_bytes != all_row_bytes() || memcmp(&s, &shape, sizeof(s)) != 0 ||
	    plan(&shape, view.table) != n)
		return false;
	view.shape = shape;
	*a = view;
	return true;
}

/* ---- rows ---------------------------------------------------------------------------------- */

size_t rows_count(const struct accounts *a, enum account_table table)
{
	return rows_of(&a->shape, table);
}

size_t rows_bytes(enum account_table table)
{
	return kinds[table].bytes;
}

void *rows_at(const struct accounts *a, enum account_table table, size_t i)
{
	BUG_IF(i >= rows_count(a, table));
	return (uint8_t *)a->mem + a->table[table] + i * kinds[table].bytes;
}

static size_t bucket_of(const struct accounts *a, enum account_table table, uint64_t key)
{
	return (size_t)key % (rows_count(a, table) / ACCOUNT_BUCKET) * ACCOUNT_BUCKET;
}

/* The rows of its bucket are one behind the other, so many bytes each. */
static uint8_t *bucket(const struct accounts *a, enum account_table table, uint64_t key)
{
	return rows_at(a, table, bucket_of(a, table, key));
}

void rows_expect(const struct accounts *a, enum account_table table, uint64_t key)
{
	size_t bytes = kinds[table].bytes;
	const uint8_t *row = bucket(a, table, key);

	for (size_t i = 0; i < ACCOUNT_BUCKET; i++)
		__builtin_prefetch(row + i * bytes, 1);
}

void *rows_find(const struct accounts *a, enum account_table table, uint64_t key)
{
	size_t bytes = kinds[table].bytes;
	uint8_t *p = bucket(a, table, key);

	for (size_t i = 0; i < ACCOUNT_BUCKET; i++, p += bytes) {
		struct account_row *row = (struct account_row *)(void *)p;

		if (row->key == key && key != 0)
			return row;
	}
	return NULL;
}

/* Of the bucket: a free place, or what is worth least. */
static struct account_row *least_of(const struct accounts *a, enum account_table table,
				    uint64_t key, gsec_t at, uint64_t *worth_of_it)
{
	size_t bytes = kinds[table].bytes;
	uint8_t *p = bucket(a, table, key);
	struct account_row *least = NULL;

	for (size_t i = 0; i < ACCOUNT_BUCKET; i++, p += bytes) {
		struct account_row *r = (struct account_row *)(void *)p;
		uint64_t is = r->key ? kinds[table].worth(r, at) : 0;

		if (least && is >= *worth_of_it)
			continue;
		least = r;
		*worth_of_it = is;
	}
	return least;
}

bool rows_would_take(const struct accounts *a, enum account_table table, uint64_t key,
		     uint64_t worth, gsec_t at)
{
	uint64_t least = 0;

	return rows_find(a, table, key) || !least_of(a, table, key, at, &least)->key ||
	       least < worth;
}

void *rows_get(struct accounts *a, enum account_table table, uint64_t key, gsec_t at)
{
	struct account_row *row = rows_find(a, table, key);
	uint64_t least;

	BUG_IF(key == 0);
	if (!row) {
		row = least_of(a, table, key, at, &least);
		memset(row, 0, kinds[table].bytes);
		row->key = key;
	}
	if (table != AT_DEVICES)
		row->last = at;
	return row;
}

/* ---- for readers ----------------------------------------------------------------------------- */

/*
 * What was met half written again and again (its writer waits for a processor) is told as it
 * is, as all of it is checked; *whole says so.
 */
static bool peek(const struct accounts *a, enum account_table table, size_t i, void *out,
		 bool *whole)
{
	const uint32_t *seq = &account_head(a)->seq;
	struct account_row row;

	*whole = false;
	for (unsigned n = 0; n < READ_TRIES; n++) {
		uint32_t before = __atomic_load_n(seq, __ATOMIC_ACQUIRE);

		memcpy(out, rows_at(a, table, i), kinds[table].bytes);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		*whole = (before & 1) == 0 &&
			 __atomic_load_n(seq, __ATOMIC_RELAXED) == before;
		if (*whole)
			break;
	}
	memcpy(&row, out, sizeof(row));
	return row.key != 0;
}

bool rows_peek(const struct accounts *a, enum account_table table, size_t i, void *out)
{
	bool whole;

	return peek(a, table, i, out, &whole);
}

bool rows_peek_key(const struct accounts *a, enum account_table table, uint64_t key,
		   void *out, bool *whole)
{
	size_t at = bucket_of(a, table, key);
	struct account_row row;

	for (size_t i = at; i < at + ACCOUNT_BUCKET; i++) {
		if (!peek(a, table, i, out, whole))
			continue;
		memcpy(&row, out, sizeof(row));
		if (row.key == key)
			return true;
	}
	return false;
}

/* ---- hashes ------------------------------------------------------------------------------------ */

uint64_t accounts_hash(const struct accounts *a, struct span what)
{
	const struct account_head *head = account_head(a);
	uint64_t key[2] = { head->key[0], head->key[1] };
	uint64_t h = siphash(key, what);

	return h ? h : 1;
}

uint64_t rows_hash(const struct accounts *a, const void *p, size_t n)
{
	return accounts_hash(a, span_of(p, n));
}
