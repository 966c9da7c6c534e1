#include "guard/access.h"

#include "guard/access_blob.h"

static const struct access_hit no_hit = { .until = INT64_MAX };

/* ---- addresses as numbers ---------------------------------------------------------------- */

/* The first byte counts most, whatever the machine thinks. */
static uint64_t in_order(uint64_t n)
{
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap64(n) : n;
}

static uint64_t eight(const uint8_t *p)
{
	uint64_t n;

	memcpy(&n, p, sizeof(n));
	return in_order(n);
}

static struct access_wide wide_of(const struct addr *a)
{
	return (struct access_wide){ eight(a->ip), eight(a->ip + 8) };
}

static bool wide_same(struct access_wide a, struct access_wide b, unsigned bits)
{
	return ((a.hi ^ b.hi) & access_upper(bits)) == 0 &&
	       (bits <= 64 || ((a.lo ^ b.lo) & access_upper(bits - 64)) == 0);
}

static struct net net_of(struct access_wide a, uint8_t bits)
{
	struct net out = { .bits = bits };
	uint64_t hi = in_order(a.hi & access_upper(bits));
	uint64_t lo = in_order(bits > 64 ? a.lo & access_upper(bits - 64u) : 0);

	memcpy(out.addr.ip, &hi, sizeof(hi));
	memcpy(out.addr.ip + sizeof(hi), &lo, sizeof(lo));
	return out;
}

/* IPv4 addresses are ::ffff:a.b.c.d, but prefixes of IPv6 mean no IPv4. */
static bool wide_is_v4(struct access_wide a)
{
	return a.hi == 0 && a.lo >> 32 == 0xffff;
}

/* ---- values ------------------------------------------------------------------------------- */

struct asked {
	const struct access_head *h;
	struct access_wide a;
	int64_t wall;
	bool covered; /* by an entry, if only by one that has run out */
};

/* Does this info cover the address, which lies in a segment that begins at start? */
static bool speaks(struct asked *q, struct access_wide start, uint32_t number,
		   struct access_hit *out)
{
	const struct access_head *h = q->h;
	const struct access_info *infos = access_part(h, PART_INFOS), *i;
	const struct access_more *more = access_part(h, PART_MORE);
	struct access_hit hit = no_hit;

	if (number >= h->part[PART_INFOS].count)
		return false;
	i = &infos[number];
	if (i->bits > 128 || i->answer > ACCESS_DENY || !wide_same(q->a, start, i->bits))
		return false;
	q->covered = true;
	if (number < h->part[PART_MORE].count) {
		hit.until = access_until(more[number].until);
		if (hit.until <= q->wall)
			return false;
		hit.why = access_text(h, more[number].why);
	}
	hit.answer = (enum access_answer)i->answer;
	hit.net = net_of(q->a, i->bits);
	if (hit.answer != ACCESS_SILENT) {
		hit.list = i->list;
		hit.line = i->line;
		hit.file = access_file_name(h, i->list);
	}
	*out = hit;
	return true;
}

/* False: nothing that the value stands for covers the address now. */
static bool resolve(struct asked *q, struct access_wide start, uint32_t value,
		    struct access_hit *out)
{
	const struct access_chain *chains = access_part(q->h, PART_CHAINS);
	uint32_t before = (uint32_t)q->h->part[PART_CHAINS].count;

	while (value & VALUE_CHAIN) {
		uint32_t c = value & VALUE_NUMBER;

		/* each leads to an earlier one, so this ends */
		if (c >= before)
			return false;
		before = c;
		value = chains[c].behind;
		if (!speaks(q, start, chains[c].info & ~CHAIN_PASSES, out))
			continue;
		if (!(chains[c].info & CHAIN_PASSES) || c == 0)
			return true;
		value = chains[c - 1].behind;
	}
	return speaks(q, start, value & VALUE_NUMBER, out);
}

/* ---- IPv4 ------------------------------------------------------------------------------------ */

struct bucket {
	size_t from, to;
};

static struct bucket bucket_at(const struct access_head *h, uint32_t number)
{
	const uint32_t *index = access_part(h, PART_V4_INDEX);
	struct bucket b = { index[number], index[number + 1] };

	if (b.from > b.to || b.to > h->part[PART_V4_KEYS].count)
		b.from = b.to = 0;
	return b;
}

/* How many keys of the bucket are not above the lower half of the address. */
static size_t keys_up_to(const uint16_t *key, size_t n, uint16_t low)
{
	const uint16_t *base = key;

	while (n > 1) {
		size_t half = n / 2;

		base = base[half - 1] <= low ? base + half : base;
		n -= half;
	}
	return (size_t)(base - key) + (n == 1 && *base <= low);
}

static struct access_wide wide_v4(uint32_t a)
{
	return (struct access_wide){ 0, (uint64_t)0xffff << 32 | a };
}

static bool find_v4(struct asked *q, struct access_hit *out)
{
	const uint16_t *keys = access_part(q->h, PART_V4_KEYS);
	const uint32_t *values = access_part(q->h, PART_V4_VALUES);
	uint32_t a = (uint32_t)q->a.lo, start, value;
	struct bucket b = bucket_at(q->h, a >> 16);
	size_t n = b.to - b.from, at;

	if (n == 0)
		return false;
	at = keys_up_to(keys + b.from, n, (uint16_t)a);
	if (at == 0)
		return false;
	at += b.from - 1;
	start = (a & 0xffff0000u) | keys[at];
	value = values[at];
	/* most are in no list: they are told from this alone */
	if (((a ^ start) & (uint32_t)(access_upper(value >> VALUE_SHIFT) >> 32)) != 0)
		return false;
	return resolve(q, wide_v4(start), value, out);
}

/* ---- IPv6 ------------------------------------------------------------------------------------- */

#define NOWHERE SIZE_MAX

/* The last key that is not above `hi`. */
static size_t last_v6(const uint64_t *keys, size_t blocks, uint64_t hi)
{
	size_t found = NOWHERE;

	for (size_t k = 0, i; k < blocks; k = k * (ACCESS_V6_BLOCK + 1) + i + 1) {
		const uint64_t *block = keys + k * ACCESS_V6_BLOCK;

		i = 0;
		for (size_t j = 0; j < ACCESS_V6_BLOCK; j++)
			i += block[j] <= hi;
		if (i)
			found = k * ACCESS_V6_BLOCK + i - 1;
	}
	return found;
}

/* The first key that is above `hi`. */
static size_t next_v6(const uint64_t *keys, size_t blocks, uint64_t hi)
{
	size_t found = NOWHERE;

	for (size_t k = 0, i; k < blocks; k = k * (ACCESS_V6_BLOCK + 1) + i + 1) {
		const uint64_t *block = keys + k * ACCESS_V6_BLOCK;

		i = 0;
		for (size_t j = 0; j < ACCESS_V6_BLOCK; j++)
			i += block[j] <= hi;
		if (i < ACCESS_V6_BLOCK)
			found = k * ACCESS_V6_BLOCK + i;
	}
	return found;
}

static bool wide_up_to(struct access_wide a, struct access_wide b)
{
	return a.hi < b.hi || (a.hi == b.hi && a.lo <= b.lo);
}

/* Both of the above for the keys inside of /64s: *last and *next may be NULL. */
static void around_deep(const struct access_head *h, struct access_wide a, size_t *last,
			size_t *next)
{
	const struct access_wide *keys = access_part(h, PART_DEEP_KEYS);
	size_t blocks = h->part[PART_DEEP_KEYS].count / ACCESS_DEEP_BLOCK;

	*last = *next = NOWHERE;
	for (size_t k = 0, i; k < blocks; k = k * (ACCESS_DEEP_BLOCK + 1) + i + 1) {
		const struct access_wide *block = keys + k * ACCESS_DEEP_BLOCK;

		i = 0;
		for (size_t j = 0; j < ACCESS_DEEP_BLOCK; j++)
			i += wide_up_to(block[j], a);
		if (i)
			*last = k * ACCESS_DEEP_BLOCK + i - 1;
		if (i < ACCESS_DEEP_BLOCK)
			*next = k * ACCESS_DEEP_BLOCK + i;
	}
}

/* False: the table of /64s has to say. */
static bool find_deep(struct asked *q, struct access_hit *out)
{
	const struct access_wide *keys = access_part(q->h, PART_DEEP_KEYS);
	const uint32_t *values = access_part(q->h, PART_DEEP_VALUES);
	size_t at, unused;

	around_deep(q->h, q->a, &at, &unused);
	if (at == NOWHERE || keys[at].hi != q->a.hi || values[at] == VALUE_NONE)
		return false;
	if (resolve(q, keys[at], values[at], out))
		return true;
	*out = no_hit;
	return q->covered;
}

static bool find_v6(struct asked *q, struct access_hit *out)
{
	const uint64_t *keys = access_part(q->h, PART_V6_KEYS);
	const uint32_t *values = access_part(q->h, PART_V6_VALUES);
	size_t at;

	if (q->h->part[PART_DEEP_KEYS].count && find_deep(q, out))
		return true;
	at = last_v6(keys, q->h->part[PART_V6_KEYS].count / ACCESS_V6_BLOCK, q->a.hi);
	return at != NOWHERE &&
	       resolve(q, (struct access_wide){ keys[at], 0 }, values[at], out);
}

static struct access_hit find(struct asked *q)
{
	struct access_hit hit;

	if (wide_is_v4(q->a) ? find_v4(q, &hit) : find_v6(q, &hit))
		return hit;
	return no_hit;
}

struct access_hit access_client(const void *mem, size_t n, const struct addr *a,
				int64_t wall)
{
	struct asked q = { .h = access_head_of(mem, n), .a = wide_of(a), .wall = wall };

	return q.h ? find(&q) : no_hit;
}

void access_expect(const void *mem, size_t n, const struct addr *a)
{
	const struct access_head *h = access_head_of(mem, n);
	struct access_wide w = wide_of(a);

	if (!h)
		return;
	if (wide_is_v4(w))
		__builtin_prefetch((const uint32_t *)access_part(h, PART_V4_INDEX) +
				   ((uint32_t)w.lo >> 16));
	else
		__builtin_prefetch(access_part(h, PART_V6_KEYS));
}

/* The keys of a bucket, and where the value will be if they are spread evenly. */
void access_expect_keys(const void *mem, size_t n, const struct addr *a)
{
	const struct access_head *h = access_head_of(mem, n);
	struct access_wide w = wide_of(a);
	uint32_t low = (uint32_t)w.lo & 0xffff;
	struct bucket b;

	if (!h || !wide_is_v4(w))
		return;
	b = bucket_at(h, (uint32_t)w.lo >> 16);
	if (b.from == b.to)
		return;
	__builtin_prefetch((const uint16_t *)access_part(h, PART_V4_KEYS) + b.from);
	__builtin_prefetch((const uint16_t *)access_part(h, PART_V4_KEYS) + b.to - 1);
	__builtin_prefetch((const uint32_t *)access_part(h, PART_V4_VALUES) + b.from +
			   ((b.to - b.from) * low >> 16));
}

/* ---- a whole block ------------------------------------------------------------------------------ */

static bool permitted(struct asked *q, struct access_wide a)
{
	q->a = a;
	q->covered = false;
	return find(q).answer == ACCESS_PERMIT;
}

/* What holds at its first address, and at each segment that begins inside. */
static bool permits_v4(struct asked *q, uint32_t first, uint32_t last)
{
	const uint16_t *keys = access_part(q->h, PART_V4_KEYS);

	if (permitted(q, wide_v4(first)))
		return true;
	for (uint32_t number = first >> 16; number <= last >> 16; number++) {
		struct bucket b = bucket_at(q->h, number);

		for (size_t at = b.from; at < b.to; at++) {
			uint32_t start = number << 16 | keys[at];

			if (start > first && start <= last && permitted(q, wide_v4(start)))
				return true;
		}
	}
	return false;
}

struct stretch {
	struct access_wide first, last;
};

static bool permits_at(struct asked *q, struct access_wide a, const struct stretch *in)
{
	return wide_up_to(in->first, a) && wide_up_to(a, in->last) && permitted(q, a);
}

/* Behind the ends of all prefixes that a value inside of a /64 stands for. */
static bool permits_ends(struct asked *q, struct access_wide start, uint32_t value,
			 uint32_t before, const struct stretch *in)
{
	const struct access_chain *chains = access_part(q->h, PART_CHAINS);
	const struct access_info *infos = access_part(q->h, PART_INFOS);
	uint32_t done = VALUE_NONE; /* what is behind a list, which comes once more */

	for (;;) {
		uint32_t number = value & VALUE_NUMBER, info = number;
		struct access_wide a = start;

		if (value & VALUE_CHAIN && number >= before)
			return false;
		if (value & VALUE_CHAIN)
			info = chains[number].info & ~CHAIN_PASSES;
		if (info >= q->h->part[PART_INFOS].count || infos[info].bits <= 64 ||
		    infos[info].bits > 128)
			return false;
		a.lo = (start.lo | ~access_upper(infos[info].bits - 64u)) + 1;
		if (a.lo && permits_at(q, a, in))
			return true;
		if (!(value & VALUE_CHAIN))
			return false;
		if (chains[number].info & CHAIN_PASSES && number > 0 &&
		    chains[number - 1].behind != done) {
			done = chains[number - 1].behind;
			if (permits_ends(q, start, done, number - 1, in))
				return true;
		}
		before = number;
		value = chains[number].behind;
		if (value == done)
			return false;
	}
}

/* Where a prefix inside of a /64 ends, what the table of /64s says goes on. */
static bool permits_behind(struct asked *q, size_t at, const struct stretch *in)
{
	const struct access_wide *keys = access_part(q->h, PART_DEEP_KEYS);
	const uint32_t *values = access_part(q->h, PART_DEEP_VALUES);
	struct access_wide a = { keys[at].hi + 1, 0 };

	if (a.hi && permits_at(q, a, in))
		return true;
	return permits_ends(q, keys[at], values[at],
			    (uint32_t)q->h->part[PART_CHAINS].count, in);
}

static bool permits_deep(struct asked *q, struct access_wide first,
			 struct access_wide last)
{
	const struct access_wide *keys = access_part(q->h, PART_DEEP_KEYS);
	const struct stretch in = { first, last };
	struct access_wide a = first;
	size_t at, next;

	around_deep(q->h, a, &at, &next);
	if (at != NOWHERE && permits_behind(q, at, &in))
		return true;
	while (next != NOWHERE && wide_up_to(keys[next], last) &&
	       !wide_up_to(keys[next], a)) {
		a = keys[next];
		if (permitted(q, a) || permits_behind(q, next, &in))
			return true;
		around_deep(q->h, a, &at, &next);
	}
	return false;
}

static bool permits_v6(struct asked *q, struct access_wide first, struct access_wide last)
{
	const uint64_t *keys = access_part(q->h, PART_V6_KEYS);
	size_t blocks = q->h->part[PART_V6_KEYS].count / ACCESS_V6_BLOCK, at;
	uint64_t hi = first.hi;

	if (permitted(q, first))
		return true;
	while ((at = next_v6(keys, blocks, hi)) != NOWHERE && keys[at] > hi &&
	       keys[at] <= last.hi) {
		hi = keys[at];
		if (permitted(q, (struct access_wide){ hi, 0 }))
			return true;
	}
	return permits_deep(q, first, last);
}

bool access_permits_any(const void *mem, size_t n, const struct net *block, int64_t wall)
{
	struct asked q = { .h = access_head_of(mem, n), .wall = wall };
	unsigned bits = block->bits > 128 ? 128 : block->bits;
	struct access_wide first = wide_of(&block->addr), last;

	if (!q.h)
		return false;
	first.hi &= access_upper(bits);
	first.lo &= bits > 64 ? access_upper(bits - 64) : 0;
	last.hi = first.hi | ~access_upper(bits);
	last.lo = first.lo | ~(bits > 64 ? access_upper(bits - 64) : 0);
	if (bits >= 96 && wide_is_v4(first))
		return permits_v4(&q, (uint32_t)first.lo, (uint32_t)last.lo);
	/* so wide that all of IPv4 is inside */
	if (wide_same(first, wide_v4(0), bits) && permits_v4(&q, 0, UINT32_MAX))
		return true;
	return permits_v6(&q, first, last);
}

/* ---- what is in it ---------------------------------------------------------------------------------- */

static bool step_v4(const struct access_head *h, struct access_wide *a)
{
	const uint16_t *keys = access_part(h, PART_V4_KEYS);
	uint32_t was = (uint32_t)a->lo;

	for (uint32_t number = was >> 16; number < ACCESS_BUCKETS; number++) {
		struct bucket b = bucket_at(h, number);
		size_t at = b.from;

		if (number == was >> 16)
			at += keys_up_to(keys + b.from, b.to - b.from, (uint16_t)was);
		if (at >= b.to)
			continue;
		*a = wide_v4(number << 16 | keys[at]);
		/* damaged keys could lead backwards */
		return (uint32_t)a->lo > was;
	}
	return false;
}

static void nearer(struct access_wide *best, bool *any, struct access_wide a)
{
	if (!*any || wide_up_to(a, *best))
		*best = a;
	*any = true;
}

static bool step_v6(const struct access_head *h, struct access_wide *a)
{
	const uint64_t *keys = access_part(h, PART_V6_KEYS);
	const struct access_wide *deep = access_part(h, PART_DEEP_KEYS);
	size_t next = next_v6(keys, h->part[PART_V6_KEYS].count / ACCESS_V6_BLOCK, a->hi);
	struct access_wide best = *a;
	size_t last, below;
	bool any = false;

	around_deep(h, *a, &last, &below);
	if (next != NOWHERE)
		nearer(&best, &any, (struct access_wide){ keys[next], 0 });
	if (below != NOWHERE)
		nearer(&best, &any, deep[below]);
	/* behind a /64 that has more inside, the other table goes on */
	if (last != NOWHERE && deep[last].hi == a->hi && a->hi != UINT64_MAX)
		nearer(&best, &any, (struct access_wide){ a->hi + 1, 0 });
	if (!any || wide_up_to(best, *a))
		return false;
	*a = best;
	return true;
}

bool access_step(const void *mem, size_t n, struct addr *at)
{
	const struct access_head *h = access_head_of(mem, n);
	struct access_wide a = wide_of(at);

	if (!h || !(wide_is_v4(a) ? step_v4(h, &a) : step_v6(h, &a)))
		return false;
	*at = net_of(a, 128).addr;
	return true;
}
