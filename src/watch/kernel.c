#include "watch/kernel.h"

#include <stdlib.h>

#include "base/list.h"
#include "watch/asked.h"
#include "watch/sight.h"

#define WAITING_MAX    (1u << 20)
#define REFRESH_WITHIN (20 * MS_SECOND)
#define ROWS_A_STEP    256
#define MANUAL_LEAST   MS_MINUTE /* shorter bans are not worth the way */

const char *const kernel_state_word[FIREWALL_STATES] = {
	[FIREWALL_OFF] = "off",
	[FIREWALL_WORKS] = "works",
	[FIREWALL_MISSING] = "missing",
	[FIREWALL_FAILS] = "fails",
};

struct waiting {
	struct net net;
	bool blocks;
	uint32_t seconds;
};

/* What waits, in order. */
struct waits {
	struct waiting *one;
	size_t n, cap;
};

struct kernel {
	struct sight *sight;
	struct kernel_state state;
	struct waits waits;
	bool all;	  /* the next BLOCK begins anew */
	size_t list_left; /* how many of what waits belong to the list that has begun */
	bool wants;	  /* everything, as soon as the walk under way is over */
	struct refresh *refresh;
	uint64_t allows_of; /* orders_version() of what follows */
	size_t allow_count;
	struct net allows[ORDERS_MAX];
	uint8_t items_mem[LIST_FRAME_MAX];
};

/* All that holds, gathered. */
struct refresh {
	struct walk walk;
	struct kernel *kernel;
	struct waits found;
	size_t at;
};

static bool put(struct waits *w, const struct waiting *one)
{
	size_t cap = w->cap ? 2 * w->cap : 256;
	struct waiting *mem;

	if (w->n == w->cap) {
		mem = w->n < WAITING_MAX ? realloc(w->one, cap * sizeof(*mem)) : NULL;
		if (!mem)
			return false;
		w->one = mem;
		w->cap = cap;
	}
	w->one[w->n++] = *one;
	return true;
}

static void drop(struct waits *w)
{
	free(w->one);
	*w = (struct waits){ 0 };
}

static bool narrow_enough(const struct kernel *k, const struct net *n)
{
	const struct settings *set = &k->sight->conf->set;

	if (n->bits >= 96 && addr_is_v4(&n->addr))
		return n->bits - 96 >= set->firewall_v4;
	return n->bits >= set->firewall_v6;
}

static void read_allows(struct kernel *k)
{
	const struct orders *orders = k->sight->view.orders;
	uint64_t version = orders ? orders_version(orders) : 0;
	struct order o;

	if (version == k->allows_of)
		return;
	k->allows_of = version;
	k->allow_count = 0;
	for (size_t at = 0; orders_next(orders, &at, &o);)
		if (o.kind == ORDER_ALLOW && k->allow_count < ORDERS_MAX)
			k->allows[k->allow_count++] = o.net;
}

/* Is somebody in it who is let in whatever happens? The kernel could not spare them. */
static bool allowed_inside(struct kernel *k, const struct net *net)
{
	read_allows(k);
	for (size_t i = 0; i < k->allow_count; i++)
		if (net_inside(&k->allows[i], net) || net_inside(net, &k->allows[i]))
			return true;
	return false;
}

static uint32_t seconds_of(ms_t within)
{
	ms_t seconds = (within + MS_SECOND - 1) / MS_SECOND;

	return seconds > 0 && seconds < UINT32_MAX ? (uint32_t)seconds : 0;
}

bool kernel_open(struct kernel **out, struct sight *s, struct err *err)
{
	struct kernel *k = calloc(1, sizeof(*k));

	if (!k)
		return err_set(err, "kernel: out of memory");
	k->sight = s;
	*out = k;
	return true;
}

void kernel_close(struct kernel **kernel)
{
	struct kernel *k = *kernel;

	*kernel = NULL;
	if (!k)
		return;
	drop(&k->waits);
	free(k);
}

static bool is_there(const struct kernel *k)
{
	return k->state.there && k->sight->firewall.link;
}

/* Too much waits, or memory is short: what holds is gathered again instead. */
static void add(struct kernel *k, const struct waiting *one)
{
	if (!is_there(k))
		return; /* it asks for everything when it comes */
	if (put(&k->waits, one))
		return;
	drop(&k->waits);
	k->list_left = 0;
	kernel_refresh(k);
}

void kernel_block(struct kernel *k, const struct net *net, ms_t within)
{
	struct waiting one = { .net = *net, .blocks = true, .seconds = seconds_of(within) };

	if (narrow_enough(k, net) && !allowed_inside(k, net))
		add(k, &one);
}

void kernel_unblock(struct kernel *k, const struct net *net)
{
	struct waiting one = { .net = *net };

	add(k, &one);
}

/* ---- sending ----------------------------------------------------------------------- */

/* The next batch: items of the same kind. How many. */
static size_t pack_items(const struct kernel *k, size_t from, struct buf *items)
{
	const struct waits *w = &k->waits;
	size_t n = 0;

	while (from + n < w->n && n < FIREWALL_BATCH) {
		const struct waiting *one = &w->one[from + n];
		uint8_t mem[80];
		struct buf item;

		if (one->blocks != w->one[from].blocks)
			break;
		buf_init(&item, mem, sizeof(mem));
		net_print(&one->net, &item);
		if (one->blocks)
			buf_fmt(&item, " %u", (unsigned)one->seconds);
		if (buf_room(items) < item.len + 2)
			break;
		list_put(items, buf_span(&item));
		n++;
	}
	return n;
}

static bool send_batch(struct kernel *k, bool blocks, struct span items, size_t n)
{
	struct sight_peer *to = &k->sight->firewall;
	struct msg_BLOCK m = { .all = k->all, .more = k->list_left > n, .items = items };
	struct buf *out = link_begin(to->link);

	if (blocks)
		msg_BLOCK_pack(&m, out);
	else
		msg_UNBLOCK_pack(&(struct msg_UNBLOCK){ .items = items }, out);
	if (!sight_send(to))
		return false;
	if (blocks)
		k->all = false;
	k->list_left -= k->list_left < n ? k->list_left : n;
	return true;
}

void kernel_flush(struct kernel *k)
{
	size_t sent = 0;

	if (!is_there(k)) {
		drop(&k->waits);
		k->list_left = 0;
		return;
	}
	/* what is being gathered may not know of it, and would have it taken out again */
	if (k->refresh)
		return;
	while ((k->all || sent < k->waits.n) && !link_full(k->sight->firewall.link)) {
		bool blocks = k->all || k->waits.one[sent].blocks;
		struct buf items;
		size_t n = 0;

		buf_init(&items, k->items_mem, sizeof(k->items_mem));
		if (sent < k->waits.n && k->waits.one[sent].blocks == blocks)
			n = pack_items(k, sent, &items);
		if (!send_batch(k, blocks, buf_span(&items), n))
			break;
		sent += n;
	}
	if (sent == 0)
		return;
	k->waits.n -= sent;
	memmove(k->waits.one, k->waits.one + sent, k->waits.n * sizeof(k->waits.one[0]));
	if (k->waits.n == 0)
		drop(&k->waits);
}

/* ---- everything -------------------------------------------------------------------- */

static void find(struct refresh *r, const struct net *net, ms_t within)
{
	struct waiting one = { .net = *net, .blocks = true, .seconds = seconds_of(within) };

	if (narrow_enough(r->kernel, net) && !allowed_inside(r->kernel, net))
		(void)put(&r->found, &one); /* the rest are refused at connect */
}

static bool on_step(struct walk *w)
{
	struct refresh *r = (struct refresh *)w;
	struct sight *s = r->kernel->sight;
	ms_t now = loop_now(s->loop);
	int64_t wall = loop_wall(s->loop);
	struct guard_hot row;

	if (!s->view.has_memory)
		return false;
	for (int i = 0; i < ROWS_A_STEP; i++) {
		if (!memory_at(&s->view.guard.memory, r->at++, &row) ||
		    row.ban.step != STEP_KERNEL || row.ban.observed ||
		    !view_banned(&s->view, &row, now, wall) ||
		    !view_enforces(&s->view, (enum rule)row.ban.rule))
			continue;
		struct net net = guard_key_net(row.key);

		find(r, &net,
		     ((ms_t)row.ban.until - (ms_t)memory_second(now)) * MS_SECOND);
	}
	return r->at < memory_places(&s->view.guard.memory);
}

static void on_end(struct walk *w, enum walk_end how)
{
	struct refresh *r = (struct refresh *)w;
	struct kernel *k = r->kernel;

	k->refresh = NULL;
	if (how == WALK_DROPPED || k->wants) {
		drop(&r->found);
	} else {
		k->list_left = r->found.n;
		/* what waited was decided before or during the walk, and comes behind it */
		for (size_t i = 0; i < k->waits.n; i++)
			(void)put(&r->found, &k->waits.one[i]);
		drop(&k->waits);
		k->waits = r->found;
		k->all = true;
	}
	free(r);
	if (how == WALK_DROPPED)
		return;
	if (k->wants)
		kernel_refresh(k);
	else
		kernel_flush(k);
}

/* Manual bans. */
static void find_orders(struct refresh *r)
{
	struct sight *s = r->kernel->sight;
	int64_t wall = loop_wall(s->loop);
	struct order o;

	if (!s->view.orders || !view_enforces(&s->view, RULE_ORDER))
		return;
	for (size_t at = 0; orders_next(s->view.orders, &at, &o);)
		if (o.kind == ORDER_BAN && o.until > wall + MANUAL_LEAST)
			find(r, &o.net, o.until == INT64_MAX ? 0 : o.until - wall);
}

void kernel_refresh(struct kernel *k)
{
	struct refresh *r;

	if (!is_there(k))
		return;
	k->wants = k->refresh != NULL;
	if (k->wants)
		return;
	r = calloc(1, sizeof(*r));
	if (!r)
		return; /* refused at connect it is all the same */
	r->kernel = k;
	r->walk.step = on_step;
	r->walk.on_end = on_end;
	k->refresh = r;
	find_orders(r);
	walk_start(&r->walk, &k->sight->walks, k->sight->loop, REFRESH_WITHIN);
}

/* ---- what it says ------------------------------------------------------------------ */

void kernel_told(struct kernel *k, const struct msg_BLOCKED *m)
{
	struct kernel_state *to = &k->state;
	struct span why = span_head(m->why, sizeof(to->why) - 1);

	to->there = true;
	to->state = m->state < FIREWALL_STATES ? (enum firewall_state)m->state
					       : FIREWALL_FAILS;
	to->held = m->held;
	to->refused = m->refused;
	to->packets = m->packets;
	memset(to->why, 0, sizeof(to->why));
	if (why.n)
		memcpy(to->why, why.p, why.n);
	if (m->again)
		kernel_refresh(k);
}

void kernel_lost(struct kernel *k)
{
	k->state = (struct kernel_state){ .state = FIREWALL_MISSING };
	k->all = false;
	k->list_left = 0;
	drop(&k->waits);
}

void kernel_state(const struct kernel *k, struct kernel_state *out)
{
	*out = k->state;
	if (!k->sight->conf->set.firewall)
		out->state = FIREWALL_OFF;
	else if (!k->state.there)
		out->state = FIREWALL_MISSING;
}
