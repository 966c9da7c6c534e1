#include "guard/orders_inner.h"

#define MAGIC	     UINT64_C(0x32536b72644f6648) /* HfOrdkS2 */
#define TRIES	     64 /* a reader that meets the writer so often takes what it gets */
#define FIRST_SERIAL 1	/* so that a reader's 0 means that it knows of none yet */

size_t orders_size(void)
{
	return sizeof(struct orders);
}

void orders_init(void *mem)
{
	struct orders *o = mem;

	memset(o, 0, sizeof(*o));
	o->size = sizeof(*o);
	atomic_init(&o->serial, FIRST_SERIAL);
	o->magic = MAGIC;
}

bool orders_ok(const void *mem, size_t n)
{
	const struct orders *o = mem;

	return mem && n >= sizeof(*o) && o->magic == MAGIC && o->size == sizeof(*o);
}

/* ---- finding ----------------------------------------------------------------------------- */

static bool same(const struct net *a, const struct net *b)
{
	return a->bits == b->bits && addr_eq(&a->addr, &b->addr);
}

/* Only an administrator makes entries, so nobody needs to be kept from choosing them. */
uint32_t orders_home_of(const struct net *n)
{
	uint64_t half[2], h;

	memcpy(half, n->addr.ip, sizeof(half));
	h = half[0] * UINT64_C(0x9e3779b97f4a7c15) ^ half[1] ^ n->bits;
	h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return (uint32_t)(h >> 32);
}

bool orders_find_place(const struct orders *o, const struct net *n, uint32_t *place,
		       struct order *out)
{
	uint32_t at = orders_home_of(n);

	for (uint32_t i = 0; i < INDEX; i++, at++) {
		uint16_t slot = atomic_load_explicit(&o->index[at % INDEX],
						     memory_order_relaxed);

		if (slot == 0)
			return false;
		if (slot == GONE || slot > ORDERS_MAX)
			continue;
		copy_out(o->slots[slot - 1], out, WORDS);
		if (out->kind == ORDER_NONE || out->kind >= ORDER_KINDS ||
		    !same(&out->net, n))
			continue;
		out->why[sizeof(out->why) - 1] = 0;
		*place = at % INDEX;
		return true;
	}
	return false;
}

static bool any(const struct lengths *l)
{
	uint64_t used = 0;

	for (size_t i = 0; i < BITS; i++)
		used |= atomic_load_explicit(&l->used[i], memory_order_relaxed);
	return used != 0;
}

/* The longest length in use that is at most `bits`; -1: none. */
static int longest(const struct lengths *l, int bits)
{
	for (int i = bits / 64; bits >= 0 && i >= 0; i--) {
		uint64_t used = atomic_load_explicit(&l->used[i], memory_order_relaxed);

		if (bits / 64 == i && bits % 64 < 63)
			used &= (UINT64_C(2) << bits % 64) - 1;
		if (used)
			return 64 * i + 63 - __builtin_clzll(used);
	}
	return -1;
}

static bool search(const struct orders *o, const struct addr *a, int64_t wall,
		   struct order *out)
{
	struct order each;
	bool found = false;
	uint32_t place;

	for (int bits = longest(&o->found, 128); bits >= 0;
	     bits = longest(&o->found, bits - 1)) {
		struct net n = cut(a, (unsigned)bits);

		if (!orders_find_place(o, &n, &place, &each) ||
		    each.kind == ORDER_PARDON || each.until <= wall)
			continue;
		if (!found || each.kind == ORDER_ALLOW)
			*out = each;
		found = true;
		if (each.kind == ORDER_ALLOW)
			break;
	}
	return found;
}

bool orders_any(const struct orders *o)
{
	return any(&o->found);
}

bool orders_find(const struct orders *o, const struct addr *a, int64_t wall,
		 struct order *out)
{
	struct order got;
	bool found = false;

	for (int i = 0; i < TRIES; i++) {
		uint64_t turn = look(o);

		found = search(o, a, wall, &got);
		if (still(o, turn))
			break;
	}
	if (found)
		*out = got;
	return found;
}

static int64_t newest_pardon(const struct orders *o, const struct net *n)
{
	struct order each;
	int64_t newest = 0;
	uint32_t place;

	for (int bits = longest(&o->pardons, n->bits); bits >= 0;
	     bits = longest(&o->pardons, bits - 1)) {
		struct net wider = cut(&n->addr, (unsigned)bits);

		if (orders_find_place(o, &wider, &place, &each) &&
		    each.kind == ORDER_PARDON && each.since > newest)
			newest = each.since;
	}
	return newest;
}

bool orders_any_pardon(const struct orders *o)
{
	return any(&o->pardons);
}

int64_t orders_pardoned(const struct orders *o, const struct net *n)
{
	int64_t newest = 0;

	if (!any(&o->pardons) || n->bits > 128)
		return 0;
	for (int i = 0; i < TRIES; i++) {
		uint64_t turn = look(o);

		newest = newest_pardon(o, n);
		if (still(o, turn))
			break;
	}
	return newest;
}

int64_t orders_in_lockdown(const struct orders *o)
{
	return atomic_load_explicit(&o->lockdown, memory_order_relaxed);
}

bool orders_next_drained(const struct orders *o, size_t *at, struct drained *out)
{
	struct drained got = { 0 };

	while (*at < BACKENDS_MAX) {
		for (int i = 0; i < TRIES; i++) {
			uint64_t turn = look(o);

			copy_out(o->drained[*at], &got, DRAIN_WORDS);
			if (still(o, turn))
				break;
		}
		++*at;
		got.name[sizeof(got.name) - 1] = '\0';
		if (!got.name[0])
			continue;
		*out = got;
		return true;
	}
	return false;
}

bool orders_is_drained(const struct orders *o, struct span name)
{
	struct drained each;

	for (size_t at = 0; orders_next_drained(o, &at, &each);)
		if (span_eq(span_str(each.name), name))
			return true;
	return false;
}

uint64_t orders_version(const struct orders *o)
{
	return look(o) >> 1;
}

bool orders_next(const struct orders *o, size_t *at, struct order *out)
{
	struct order got;

	while (*at < ORDERS_MAX) {
		for (int i = 0; i < TRIES; i++) {
			uint64_t turn = look(o);

			copy_out(o->slots[*at], &got, WORDS);
			if (still(o, turn))
				break;
		}
		++*at;
		if (got.kind == ORDER_NONE || got.kind >= ORDER_KINDS ||
		    got.net.bits > 128)
			continue;
		got.why[sizeof(got.why) - 1] = 0;
		*out = got;
		return true;
	}
	return false;
}

/* ---- kicks ------------------------------------------------------------------------------- */

bool orders_next_kick(const struct orders *o, uint64_t *serial, struct kick *out)
{
	uint64_t last = atomic_load_explicit(&o->serial, memory_order_acquire);
	struct kick got;

	if (*serial == 0 || *serial > last) {
		*serial = last;
		return false;
	}
	if (last - *serial > KICKS_MAX)
		*serial = last - KICKS_MAX;
	while (*serial < last) {
		++*serial;
		copy_out(o->kicks[*serial % KICKS_MAX], &got, KICK_WORDS);
		/* another serial: the writer has come round meanwhile; the next is newer */
		if (got.serial != *serial || got.net.bits > 128)
			continue;
		*out = got;
		return true;
	}
	return false;
}
