/*
 * What watch writes to the mapping of orders, which everybody reads.
 */
#include "guard/orders_inner.h"

/* ---- words ----------------------------------------------------------------------------- */

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

/* ---- orders ---------------------------------------------------------------------------- */

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
	uint32_t at = orders_home_of(n);
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
		    orders_find_place(o, &each.net, &place, &twin)) {
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

	if (orders_find_place(o, &neat.net, &place, &now_there)) {
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
	if (!orders_find_place(o, &neat, &place, &there))
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

/* ---- lockdown, backends, kicks --------------------------------------------------------- */

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
