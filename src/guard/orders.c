#include "guard/orders.h"

#include <stdatomic.h>

#define MAGIC	     UINT64_C(0x32536b72644f6648) /* HfOrdkS2 */
#define INDEX	     4096			  /* twice ORDERS_MAX, a power of two */
#define GONE	     UINT16_MAX /* of the index: was in use; look further */
#define LENGTHS	     129	/* of prefixes: 0 to 128 */
#define BITS	     ((LENGTHS + 63) / 64)
#define TRIES	     64 /* a reader that meets the writer so often takes what it gets */
#define WORDS	     (sizeof(struct order) / 8)
#define KICK_WORDS   (sizeof(struct kick) / 8)
#define DRAIN_WORDS  (sizeof(struct drained) / 8)
#define FIRST_SERIAL 1 /* so that a reader's 0 means that it knows of none yet */

_Static_assert(sizeof(struct order) % 8 == 0, "orders are copied word by word");
_Static_assert(sizeof(struct kick) % 8 == 0, "kicks are copied word by word");
_Static_assert(sizeof(struct drained) % 8 == 0, "names are copied word by word");
_Static_assert(ORDERS_MAX * 2 <= INDEX && ORDERS_MAX < GONE, "the index has room");

/* How many orders there are of each prefix length, and a bit for each length in use. */
struct lengths {
	_Atomic uint64_t used[BITS];
	uint16_t count[LENGTHS]; /* the writer's */
};

/*
 * Whatever a reader looks at is a word that is read at once. While the writer is at work
 * `turn` is odd; it grows by two with every change.
 */
struct orders {
	uint64_t magic, size;
	_Atomic uint64_t turn;
	_Atomic int64_t lockdown;
	_Atomic uint64_t serial; /* of the last kick */
	struct lengths found, pardons;
	uint32_t n, gone;	       /* the writer's: orders; marks in the index */
	_Atomic uint16_t index[INDEX]; /* slot + 1; 0: free */
	_Atomic uint64_t slots[ORDERS_MAX][WORDS];
	_Atomic uint64_t kicks[KICKS_MAX][KICK_WORDS];
	_Atomic uint64_t drained[BACKENDS_MAX][DRAIN_WORDS]; /* all zero: free */
};

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

/* ---- words ---------------------------------------------------------------------------- */

static void copy_out(const _Atomic uint64_t *from, void *to, size_t words)
{
	uint64_t w;

	for (size_t i = 0; i < words; i++) {
		w = atomic_load_explicit(&from[i], memory_order_relaxed);
		memcpy((uint8_t *)to + 8 * i, &w, 8);
	}
}

static void copy_in(_Atomic uint64_t *to, const void *from, size_t words)
{
	uint64_t w;

	for (size_t i = 0; i < words; i++) {
		memcpy(&w, (const uint8_t *)from + 8 * i, 8);
		atomic_store_explicit(&to[i], w, memory_order_relaxed);
	}
}

/* The writer's turn. A writer that died in its turn left it odd: then it stays odd. */
static void begin(struct orders *o)
{
	uint64_t turn = atomic_load_explicit(&o->turn, memory_order_relaxed);

	atomic_store_explicit(&o->turn, turn | 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static void end(struct orders *o)
{
	uint64_t turn = atomic_load_explicit(&o->turn, memory_order_relaxed);

	atomic_store_explicit(&o->turn, turn + 1, memory_order_release);
}

static uint64_t look(const struct orders *o)
{
	return atomic_load_explicit(&o->turn, memory_order_acquire);
}

/* Was nothing written since look()? */
static bool still(const struct orders *o, uint64_t turn)
{
	atomic_thread_fence(memory_order_acquire);
	return !(turn & 1) && atomic_load_explicit(&o->turn, memory_order_relaxed) == turn;
}

/* ---- nets ------------------------------------------------------------------------------ */

static struct net cut(const struct addr *a, unsigned bits)
{
	struct net n = { .addr = *a, .bits = (uint8_t)bits };
	size_t whole = bits / 8;

	if (bits % 8) {
		n.addr.ip[whole] &= (uint8_t)(0xff00u >> bits % 8);
		whole++;
	}
	memset(n.addr.ip + whole, 0, sizeof(n.addr.ip) - whole);
	return n;
}

static bool same(const struct net *a, const struct net *b)
{
	return a->bits == b->bits && addr_eq(&a->addr, &b->addr);
}

/* Only an administrator makes entries, so nobody needs to be kept from choosing them. */
static uint32_t home_of(const struct net *n)
{
	uint64_t half[2], h;

	memcpy(half, n->addr.ip, sizeof(half));
	h = half[0] * UINT64_C(0x9e3779b97f4a7c15) ^ half[1] ^ n->bits;
	h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return (uint32_t)(h >> 32);
}

/* ---- finding ----------------------------------------------------------------------------- */

/*
 * The place in the index of exactly this net. Also right about what it finds when the
 * writer is at work, so that the worst is to miss one that moves.
 */
static bool find(const struct orders *o, const struct net *n, uint32_t *place,
		 struct order *out)
{
	uint32_t at = home_of(n);

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

		if (!find(o, &n, &place, &each) || each.kind == ORDER_PARDON ||
		    each.until <= wall)
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

		if (find(o, &wider, &place, &each) && each.kind == ORDER_PARDON &&
		    each.since > newest)
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

/* ---- writing ------------------------------------------------------------------------------ */

static struct lengths *lengths_of(struct orders *o, uint8_t kind)
{
	return kind == ORDER_PARDON ? &o->pardons : &o->found;
}

static void count(struct orders *o, const struct order *order, int by)
{
	struct lengths *l = lengths_of(o, order->kind);
	unsigned bits = order->net.bits;
	uint64_t bit = UINT64_C(1) << bits % 64;
	uint64_t used = atomic_load_explicit(&l->used[bits / 64], memory_order_relaxed);

	l->count[bits] = (uint16_t)(l->count[bits] + by);
	used = l->count[bits] ? used | bit : used & ~bit;
	atomic_store_explicit(&l->used[bits / 64], used, memory_order_relaxed);
}

static void enter(struct orders *o, const struct net *n, size_t slot)
{
	uint32_t at = home_of(n);
	uint16_t there;

	for (uint32_t i = 0; i < INDEX; i++, at++) {
		there = atomic_load_explicit(&o->index[at % INDEX], memory_order_relaxed);
		if (there != 0 && there != GONE)
			continue;
		o->gone -= there == GONE;
		atomic_store_explicit(&o->index[at % INDEX], (uint16_t)(slot + 1),
				      memory_order_relaxed);
		return;
	}
}

/*
 * Make all that is derived from the slots anew: when there are many marks in the index,
 * and when the writer before us died at work, so that nothing but the slots can be
 * believed. A slot that is torn is dropped.
 */
static void rebuild(struct orders *o)
{
	struct order each, twin;
	uint32_t place;

	memset(&o->found, 0, sizeof(o->found));
	memset(&o->pardons, 0, sizeof(o->pardons));
	for (size_t i = 0; i < INDEX; i++)
		atomic_store_explicit(&o->index[i], 0, memory_order_relaxed);
	o->n = o->gone = 0;
	for (size_t slot = 0; slot < ORDERS_MAX; slot++) {
		copy_out(o->slots[slot], &each, WORDS);
		if (each.kind == ORDER_NONE)
			continue;
		if (each.kind >= ORDER_KINDS || each.net.bits > 128 ||
		    find(o, &each.net, &place, &twin)) {
			each = (struct order){ 0 };
			copy_in(o->slots[slot], &each, WORDS);
			continue;
		}
		enter(o, &each.net, slot);
		count(o, &each, 1);
		o->n++;
	}
}

static void mend(struct orders *o)
{
	if (!(look(o) & 1))
		return;
	begin(o);
	rebuild(o);
	end(o);
}

static size_t free_slot(const struct orders *o)
{
	struct order each;

	for (size_t slot = 0; slot < ORDERS_MAX; slot++) {
		copy_out(o->slots[slot], &each, WORDS);
		if (each.kind == ORDER_NONE)
			return slot;
	}
	return ORDERS_MAX;
}

static void drop(struct orders *o, uint32_t place, const struct order *order)
{
	size_t slot = atomic_load_explicit(&o->index[place], memory_order_relaxed) - 1u;
	struct order none = { 0 };

	begin(o);
	atomic_store_explicit(&o->index[place], GONE, memory_order_relaxed);
	copy_in(o->slots[slot], &none, WORDS);
	count(o, order, -1);
	o->n--;
	if (++o->gone > INDEX / 4)
		rebuild(o);
	end(o);
}

bool orders_put(struct orders *o, const struct order *order, int64_t wall)
{
	struct order now_there, neat = { 0 };
	uint32_t place;
	size_t slot;

	if (order->kind == ORDER_NONE || order->kind >= ORDER_KINDS ||
	    order->net.bits > 128)
		return false;
	mend(o);
	neat.kind = order->kind;
	neat.net = cut(&order->net.addr, order->net.bits);
	neat.since = order->since;
	neat.until = order->until;
	memcpy(neat.why, order->why, sizeof(neat.why) - 1);

	if (find(o, &neat.net, &place, &now_there)) {
		slot = atomic_load_explicit(&o->index[place], memory_order_relaxed) - 1u;
		begin(o);
		count(o, &now_there, -1);
		copy_in(o->slots[slot], &neat, WORDS);
		count(o, &neat, 1);
		end(o);
		return true;
	}
	if (o->n >= ORDERS_MAX && orders_expire(o, wall) == 0)
		return false;
	slot = free_slot(o);
	if (slot == ORDERS_MAX)
		return false;
	begin(o);
	copy_in(o->slots[slot], &neat, WORDS);
	enter(o, &neat.net, slot);
	count(o, &neat, 1);
	o->n++;
	end(o);
	return true;
}

bool orders_drop(struct orders *o, const struct net *net)
{
	struct order there;
	struct net neat;
	uint32_t place;

	if (net->bits > 128)
		return false;
	mend(o);
	neat = cut(&net->addr, net->bits);
	if (!find(o, &neat, &place, &there))
		return false;
	drop(o, place, &there);
	return true;
}

size_t orders_expire(struct orders *o, int64_t wall)
{
	struct order each;
	size_t n = 0;

	mend(o);
	for (size_t slot = 0; slot < ORDERS_MAX; slot++) {
		copy_out(o->slots[slot], &each, WORDS);
		if (each.kind == ORDER_NONE || each.until > wall)
			continue;
		if (orders_drop(o, &each.net))
			n++;
	}
	return n;
}

void orders_lockdown(struct orders *o, bool on, int64_t wall)
{
	mend(o);
	begin(o);
	atomic_store_explicit(&o->lockdown,
			      !on    ? 0
			      : wall ? wall
				     : 1,
			      memory_order_relaxed);
	end(o);
}

bool orders_drain(struct orders *o, struct span name, bool on)
{
	struct drained each, neat = { 0 };
	size_t place = BACKENDS_MAX;

	if (name.n == 0 || name.n >= sizeof(neat.name) || orders_is_drained(o, name) == on)
		return false;
	mend(o);
	if (on)
		memcpy(neat.name, name.p, name.n);
	for (size_t i = 0; i < BACKENDS_MAX; i++) {
		copy_out(o->drained[i], &each, DRAIN_WORDS);
		each.name[sizeof(each.name) - 1] = '\0';
		if (on ? !each.name[0] : span_eq(span_str(each.name), name))
			place = i;
	}
	if (place == BACKENDS_MAX)
		return false;
	begin(o);
	copy_in(o->drained[place], &neat, DRAIN_WORDS);
	end(o);
	return true;
}

void orders_kick(struct orders *o, const struct kick *kick)
{
	uint64_t serial;
	struct kick neat = { .session = kick->session, .user = kick->user };

	if (kick->net.bits > 128)
		return;
	mend(o);
	neat.net = cut(&kick->net.addr, kick->net.bits);
	serial = atomic_load_explicit(&o->serial, memory_order_relaxed) + 1;
	neat.serial = serial;
	begin(o);
	copy_in(o->kicks[serial % KICKS_MAX], &neat, KICK_WORDS);
	atomic_store_explicit(&o->serial, serial, memory_order_release);
	end(o);
}

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
