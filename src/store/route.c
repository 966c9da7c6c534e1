#include "store/route.h"

#include "db/queue_route.h"
#include "store/inner.h"
#include "store/sign.h"

#define ROUTE_AT_ONCE 100
#define PAGE	      500

static void done_nothing(struct op *op, struct batch *batch)
{
	(void)op;
	(void)batch;
}

/* ---- those without a destination ----------------------------------------------------------- */

/*
 * They are notices of ours, and signed here: as long as they have no destination, nobody
 * delivers them, and after a crash they are found, and signed, again.
 */
struct unrouted {
	struct unrouted *next;
	struct op_unrouted *of;
	uint64_t message;
	uint32_t number;
	struct span address, body;
};

/* It lives, with its batch, until each of them is signed, or will not be. */
struct op_unrouted {
	struct op op;
	struct store *store;
	struct pile *pile;
	struct batch *batch;
	struct unrouted *first;
	size_t count, signing;
	bool sign; /* there are keys */
	bool failed;
	bool all; /* of them are routed */
};

struct op_route {
	struct op op;
	struct store *store;
	uint64_t message;
	uint32_t number;
	struct span prefix;
	struct queue_to *to;
	size_t count, cap;
};

static bool run_route(struct op *op, struct tools *t, struct err *err)
{
	struct op_route *o = (struct op_route *)op;

	if (o->prefix.n && !queue_set_prefix(t->queue, o->message, o->prefix, err))
		return false;
	return queue_route(t->queue, o->message, o->number, o->to, o->count, t->wall, err);
}

static bool on_target(void *arg, const struct target *t)
{
	struct op_route *o = arg;
	struct store *s = o->store;
	struct pile *pile = writer_pile(s->writer);
	struct destination *d;
	struct queue_to *to;
	int64_t id;

	if (o->count == o->cap) {
		size_t cap = o->cap ? o->cap * 4 : 1;
		struct queue_to *more = pile_raw(pile, cap * sizeof(*more));

		if (!more)
			return false;
		if (o->count)
			memcpy(more, o->to, o->count * sizeof(*more));
		o->to = more;
		o->cap = cap;
	}
	if (!deliver_to(s, t->hop, t->hop_target, &id, &d))
		return false;
	to = &o->to[o->count++];
	*to = (struct queue_to){
		.address = t->address,
		.mailbox = t->mailbox,
		.destination = id,
		.due = loop_wall(s->loop),
	};
	if (d)
		destination_due(&s->schedule, d, to->due);
	return true;
}

/*
 * What we made goes to people of ours, and where their aliases lead: never to an address
 * elsewhere that somebody gave as a sender.
 */
static bool route_one(struct store *s, const struct unrouted *u, struct span prefix)
{
	struct op_route *o = writer_take(s->writer, sizeof(*o));

	if (!o || !pile_keep(writer_pile(s->writer), prefix, &o->prefix))
		return false;
	o->op = (struct op){ .on = OP_QUEUE, .run = run_route, .done = done_nothing };
	o->store = s;
	o->message = u->message;
	o->number = u->number;
	if (recipients_expand(&s->recipients, u->address, false, writer_pile(s->writer),
			      on_target, o) == EXPANDED_MEMORY)
		return false;
	writer_put(s->writer, &o->op);
	return true;
}

static void on_unrouted(void *arg, const struct queue_routed *r)
{
	struct op_unrouted *o = arg;
	struct unrouted *u = pile_take(o->pile, sizeof(*u));

	if (!u || !pile_keep(o->pile, r->address, &u->address)) {
		o->failed = true;
		return;
	}
	u->of = o;
	u->message = r->message;
	u->number = r->number;
	u->next = o->first;
	o->first = u;
	o->count++;
}

static void on_body(void *arg, struct span body)
{
	struct unrouted *u = arg;

	u->of->failed |= !pile_keep(u->of->pile, body, &u->body);
}

static bool read_bodies(struct op_unrouted *o, struct tools *t, struct err *err)
{
	for (struct unrouted *u = o->sign ? o->first : NULL; u; u = u->next)
		if (!queue_with_body(t->queue, u->message, on_body, u, err))
			return false;
	return true;
}

static bool run_unrouted(struct op *op, struct tools *t, struct err *err)
{
	struct op_unrouted *o = (struct op_unrouted *)op;

	o->pile = t->pile;
	o->first = NULL;
	o->count = 0;
	return queue_unrouted(t->queue, t->wall, ROUTE_AT_ONCE, on_unrouted, o, err) &&
	       read_bodies(o, t, err) && (!o->failed || err_set(err, "out of memory"));
}

static void one_less(struct op_unrouted *o)
{
	struct store *s = o->store;
	bool again = o->all && (o->count == ROUTE_AT_ONCE || s->route_again);

	if (--o->signing > 0)
		return;
	s->routing = s->route_again = false;
	/* behind the others in the same line: it finds what they left */
	if (again)
		route_soon(s);
	batch_release(o->batch);
}

static void on_signed(void *arg, struct span prefix)
{
	struct unrouted *u = arg;

	u->of->all &= route_one(u->of->store, u, prefix);
	one_less(u->of);
}

static void sign_one(struct unrouted *u)
{
	const struct sign_wish wish = { .id = u->message,
					.flags = MAIL_OURS,
					.body = u->body };
	struct op_unrouted *o = u->of;

	if (u->body.n && sign_start(o->store, &wish, on_signed, u))
		o->signing++;
	else
		o->all &= route_one(o->store, u, SPAN_NONE);
}

static void done_unrouted(struct op *op, struct batch *batch)
{
	struct op_unrouted *o = (struct op_unrouted *)op;

	batch_hold(batch);
	o->batch = batch;
	o->signing = 1;
	o->all = op->committed;
	for (struct unrouted *u = o->all ? o->first : NULL; u && o->all; u = u->next)
		sign_one(u);
	one_less(o);
}

void route_soon(struct store *s)
{
	struct op_unrouted *o = s->routing ? NULL : writer_take(s->writer, sizeof(*o));

	s->route_again |= s->routing;
	if (!o)
		return;
	o->op = (struct op){
		.on = OP_QUEUE, .lazy = true, .run = run_unrouted, .done = done_unrouted
	};
	o->store = s;
	o->sign = s->conf->dkim_count > 0;
	s->routing = true;
	writer_put(s->writer, &o->op);
}

/* ---- those that go elsewhere now ------------------------------------------------------------- */

struct moved {
	struct moved *next;
	struct queue_routed from;
};

struct op_page {
	struct op op;
	struct store *store;
	struct pile *pile;
	struct moved *first;
	struct queue_routed after, next;
	bool failed;
};

struct op_move {
	struct op op;
	struct store *store;
	struct queue_routed from;
	int64_t destination;
};

static bool run_move(struct op *op, struct tools *t, struct err *err)
{
	struct op_move *o = (struct op_move *)op;

	return queue_move(t->queue, &o->from, o->destination, err);
}

static void done_move(struct op *op, struct batch *batch)
{
	(void)batch;
	((struct op_move *)op)->store->reroute_later |= !op->committed;
}

/* Where that mailbox gets its mail; false: nowhere, so it stays what it was. */
static bool way_of(const struct store *s, struct span mailbox, enum hop *hop,
		   struct span *target)
{
	struct span domain = span_skip(mailbox, span_find_last(mailbox, '@') + 1);
	const struct our_domain *ours = (const struct our_domain *)names_find(
		&s->recipients.domains, domain);
	struct way w;

	if (!ours) {
		w = recipients_way_out(s->conf, domain);
		*hop = w.hop;
		*target = w.target;
		return w.hop != HOP_COUNT;
	}
	*hop = ours->route ? ours->route->hop : s->conf->deliver_hop;
	*target = span_str(ours->route ? ours->route->target : s->conf->deliver_target);
	return true;
}

static void move_one(struct store *s, const struct queue_routed *r)
{
	struct destination *d;
	struct op_move *o;
	struct span target;
	enum hop hop;
	int64_t id;

	if (!way_of(s, r->address, &hop, &target))
		return;
	d = schedule_find(&s->schedule, hop, target);
	if (d && d->id == r->destination)
		return;
	o = writer_take(s->writer, sizeof(*o));
	if (!o || !deliver_to(s, hop, target, &id, &d) || id == r->destination)
		return;
	o->op = (struct op){
		.on = OP_QUEUE, .lazy = true, .run = run_move, .done = done_move
	};
	o->store = s;
	o->from = *r;
	o->destination = id;
	writer_put(s->writer, &o->op);
	if (d)
		destination_due(&s->schedule, d, loop_wall(s->loop));
}

static void on_row(void *arg, const struct queue_routed *r)
{
	struct op_page *o = arg;
	struct moved *m = pile_take(o->pile, sizeof(*m));

	if (!m || !pile_keep(o->pile, r->address, &m->from.address)) {
		o->failed = true;
		return;
	}
	m->from.message = r->message;
	m->from.number = r->number;
	m->from.destination = r->destination;
	m->next = o->first;
	o->first = m;
}

static bool run_page(struct op *op, struct tools *t, struct err *err)
{
	struct op_page *o = (struct op_page *)op;

	o->pile = t->pile;
	o->first = NULL;
	if (!queue_page(t->queue, &o->after, PAGE, on_row, o, &o->next, err))
		return false;
	return !o->failed || err_set(err, "out of memory");
}

static void page_from(struct store *s, struct queue_routed after);

static void done_page(struct op *op, struct batch *batch)
{
	struct op_page *o = (struct op_page *)op;
	struct store *s = o->store;

	(void)batch;
	s->rerouting = false;
	if (!op->committed) {
		s->reroute_later = true;
		return;
	}
	for (struct moved *m = o->first; m; m = m->next)
		move_one(s, &m->from);
	if (s->reroute_again) {
		s->reroute_again = false;
		page_from(s, (struct queue_routed){ 0 });
	} else if (o->next.message) {
		page_from(s, o->next);
	}
}

static void page_from(struct store *s, struct queue_routed after)
{
	struct op_page *o = writer_take(s->writer, sizeof(*o));

	if (!o) {
		s->reroute_later = true;
		return;
	}
	o->op = (struct op){
		.on = OP_QUEUE, .lazy = true, .run = run_page, .done = done_page
	};
	o->store = s;
	o->after = after;
	s->rerouting = true;
	writer_put(s->writer, &o->op);
}

static void look_again(struct store *s)
{
	if (s->rerouting)
		s->reroute_again = true;
	else
		page_from(s, (struct queue_routed){ 0 });
}

void route_retry(struct store *s)
{
	if (s->rerouting || !s->reroute_later)
		return;
	s->reroute_later = false;
	look_again(s);
}

void route_changed(struct store *s, const struct conf *old)
{
	const struct conf *new = s->conf;

	if (old->deliver_hop != new->deliver_hop || old->relay_hop != new->relay_hop ||
	    strcmp(old->deliver_target, new->deliver_target) != 0 ||
	    strcmp(old->relay_target, new->relay_target) != 0 ||
	    old->route_count != new->route_count || old->relay_count != new->relay_count ||
	    old->domain_count != new->domain_count ||
	    memcmp(old->routes, new->routes, sizeof(new->routes)) != 0 ||
	    memcmp(old->relays, new->relays, sizeof(new->relays)) != 0 ||
	    memcmp(old->domains, new->domains, sizeof(new->domains)) != 0)
		look_again(s);
}

/* Could mail go there, as the configuration is now? */
static bool is_way(const struct conf *c, const struct destination *d)
{
	struct span target = span_str(d->target);

	if (d->hop == HOP_MX)
		return recipients_way_out(c, target).hop == HOP_MX;
	if ((d->hop == c->deliver_hop && strcmp(d->target, c->deliver_target) == 0) ||
	    (d->hop == c->relay_hop && strcmp(d->target, c->relay_target) == 0))
		return true;
	for (size_t i = 0; i < c->route_count; i++)
		if (d->hop == c->routes[i].hop &&
		    strcmp(d->target, c->routes[i].target) == 0)
			return true;
	for (size_t i = 0; i < c->relay_count; i++)
		if (d->hop == c->relays[i].hop &&
		    strcmp(d->target, c->relays[i].target) == 0)
			return true;
	return false;
}

void route_check(struct store *s)
{
	struct destination *d;
	size_t i = 0;

	while ((d = schedule_each(&s->schedule, &i)))
		if (d->next_due != MS_NEVER && !is_way(s->conf, d)) {
			look_again(s);
			return;
		}
}
