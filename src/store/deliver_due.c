/*
 * What is due is taken in hand, destination by destination; and where destinations that
 * are in the database only come from.
 */
#include "db/queue_route.h"
#include "store/inner.h"
#include "store/route.h"

#define TAKE_AT_ONCE	64
#define TAKE_BYTES	((size_t)4 << 20)
#define REFRESH_AT_ONCE 1000

/* ---- taking what is due ---- */

struct op_take {
	struct op op;
	struct store *store;
	struct destination *to;
	struct tools *tools; /* while it runs */
	unsigned promised;
	int64_t wall, next;
	struct parcel *first, **last;
	struct parcel *rest; /* what did not fit into those: due again */
	bool failed;	     /* out of memory */
};

static bool keep_rcpt(struct pile *pile, const struct queue_to *from, struct parcel_to *to)
{
	to->number = from->number;
	to->attempts = from->attempts;
	return pile_keep(pile, from->address, &to->address) &&
	       pile_keep(pile, from->mailbox, &to->mailbox) &&
	       pile_keep(pile, from->notify, &to->notify) &&
	       pile_keep(pile, from->origin, &to->origin);
}

/* One more of that kind, with room for so many recipients. */
static struct parcel *like(struct pile *pile, const struct parcel *model, size_t count)
{
	struct parcel *p = pile_take(pile, sizeof(*p));

	if (!p)
		return NULL;
	*p = *model;
	p->rcpts = pile_take(pile, count * sizeof(*p->rcpts));
	return p->rcpts ? p : NULL;
}

/* Into one parcel with those that can travel together, and one with the others. */
static bool sort_rcpts(struct pile *pile, const struct queue_to *to, size_t count,
		       struct parcel *p, struct parcel *rest)
{
	for (size_t i = 0; i < count; i++) {
		struct parcel_to one;
		struct parcel *into;

		if (!keep_rcpt(pile, &to[i], &one))
			return false;
		into = parcel_fits(p, &one) ? p : rest;
		into->rcpts[into->count++] = one;
		into->bytes += one.address.n + one.notify.n + 3;
	}
	return true;
}

static void on_taken(void *arg, const struct queue_message *m, const struct queue_to *to,
		     size_t count)
{
	struct op_take *o = arg;
	struct pile *pile = o->tools->pile;
	struct parcel model = {
		.to = o->to,
		.id = m->id,
		.nonce = m->nonce,
		.flags = m->flags,
		.size = m->size,
		.wall = m->wall,
		.since = m->since,
		.spooled = m->spooled,
		.again = m->id <= o->store->newest_at_start || to[0].attempts > 0,
	};
	struct parcel *p, *rest;

	if (!pile_keep(pile, m->sender, &model.sender) ||
	    !pile_keep(pile, m->envid, &model.envid) ||
	    !pile_keep(pile, m->prefix, &model.prefix) ||
	    !pile_keep(pile, m->body, &model.body) || !(p = like(pile, &model, count)) ||
	    !(rest = like(pile, &model, count)) || !sort_rcpts(pile, to, count, p, rest)) {
		o->failed = true;
		return;
	}
	p->whole = m->rcpt_total == p->count;
	*o->last = p;
	o->last = &p->next;
	if (rest->count == 0)
		return;
	rest->next = o->rest;
	o->rest = rest;
}

static bool run_take(struct op *op, struct tools *t, struct err *err)
{
	struct op_take *o = (struct op_take *)op;
	struct queue_want want = {
		.destination = o->to->id,
		.wall = o->wall,
		.messages = o->promised,
		.recipients = PARCEL_TO_MAX,
		.bytes = TAKE_BYTES,
	};

	o->first = o->rest = NULL;
	o->last = &o->first;
	o->tools = t;
	o->failed = false;
	return queue_take(t->queue, &want, on_taken, o, err) &&
	       (!o->failed || err_set(err, "out of memory")) &&
	       queue_next(t->queue, o->to->id, &o->next, err);
}

/* What has no room beside the others goes back, and comes alone the next time. */
static void put_back(struct store *s, struct parcel *p)
{
	for (struct parcel *next; p; p = next) {
		next = p->next;
		parcel_outcome(s, p, OUTCOME_BACK, SPAN_NONE, SPAN_NONE);
	}
}

static void done_take(struct op *op, struct batch *batch)
{
	struct op_take *o = (struct op_take *)op;
	struct store *s = o->store;
	struct parcel *p = o->first, *next;

	if (!op->committed) {
		p = o->rest = NULL;
		o->next = loop_wall(s->loop) + MS_SECOND;
	}
	destination_taken(&s->schedule, o->to, o->next);
	put_back(s, o->rest);
	for (; p; p = next) {
		next = p->next;
		o->promised--;
		batch_hold(batch);
		p->batch = batch;
		parcel_start(s, p);
	}
	while (o->promised-- > 0)
		deliver_over(s, o->to);
}

static bool take(struct store *s, struct destination *d, unsigned count)
{
	struct op_take *o = writer_take(s->writer, sizeof(*o));

	if (!o)
		return false;
	o->op = (struct op){ .on = OP_QUEUE, .run = run_take, .done = done_take };
	o->store = s;
	o->to = d;
	o->wall = loop_wall(s->loop);
	o->last = &o->first;
	while (o->promised < count && deliver_promise(s, d))
		o->promised++;
	if (o->promised == 0)
		return false;
	destination_taking(&s->schedule, d);
	writer_put(s->writer, &o->op);
	return true;
}

static void set_clock(struct store *s)
{
	schedule_clock(&s->schedule, loop_now(s->loop), loop_wall(s->loop));
	schedule_limit(&s->schedule, &s->conf->set);
}

void schedule_pump(struct store *s)
{
	struct destination *d;
	unsigned count;

	if (s->draining)
		return;
	set_clock(s);
	do
		d = schedule_turn(&s->schedule, local_has_room(s) ? TAKE_AT_ONCE : 0,
				  network_has_room(s), &count);
	while (d && take(s, d, count));
}

void deliver_hurry(struct store *s)
{
	struct destination *d;
	size_t i = 0;

	set_clock(s);
	while ((d = schedule_each(&s->schedule, &i)))
		destination_retry(&s->schedule, d);
	deliver_refresh(s);
	route_soon(s);
}

/* ---- destinations ---- */

struct op_destination {
	struct op op;
	struct store *store;
	int64_t id;
	int hop;
	struct span target;
	struct batch *held;
};

static bool run_destination(struct op *op, struct tools *t, struct err *err)
{
	struct op_destination *o = (struct op_destination *)op;

	return queue_put_destination(t->queue, o->id, o->hop, o->target, err);
}

/* Recipients may refer to it already: it has to get in. */
static void done_destination(struct op *op, struct batch *batch)
{
	struct op_destination *o = (struct op_destination *)op;

	if (op->committed) {
		if (o->held)
			batch_release(o->held);
		return;
	}
	if (!o->held) {
		batch_hold(batch);
		o->held = batch;
	}
	op->next = o->store->unsaved;
	o->store->unsaved = op;
}

static bool put_destination(struct store *s, int64_t id, enum hop hop, struct span target)
{
	struct op_destination *o = writer_take(s->writer, sizeof(*o));

	if (!o || !pile_keep(writer_pile(s->writer), target, &o->target))
		return false;
	o->op = (struct op){ .on = OP_QUEUE,
			     .run = run_destination,
			     .done = done_destination };
	o->store = s;
	o->id = id;
	o->hop = (int)hop;
	writer_put(s->writer, &o->op);
	return true;
}

bool deliver_to(struct store *s, enum hop hop, struct span target, int64_t *id,
		struct destination **to)
{
	*to = schedule_find(&s->schedule, hop, target);
	if (*to) {
		*id = (*to)->id;
		return true;
	}
	*id = schedule_id(&s->schedule, hop, target);
	if (*id == 0 || !put_destination(s, *id, hop, target))
		return false;
	*to = schedule_add(&s->schedule, *id, hop, target);
	if (!*to && schedule_make_room(&s->schedule))
		*to = schedule_add(&s->schedule, *id, hop, target);
	s->schedule.overflow |= !*to;
	return true;
}

/* ---- those without a place ---- */

struct op_refresh {
	struct op op;
	struct store *store;
	struct tools *tools;
	int64_t after, next; /* the last one looked at */
	bool failed;
	struct waiting {
		struct waiting *next;
		int64_t id, due;
		int hop;
		struct span target;
	} * first;
};

static void on_waiting(void *arg, const struct queue_destination *d)
{
	struct op_refresh *o = arg;
	struct waiting *w = pile_take(o->tools->pile, sizeof(*w));

	if (!w || !pile_keep(o->tools->pile, d->target, &w->target)) {
		o->failed = true;
		return;
	}
	w->id = d->id;
	w->hop = d->hop;
	w->due = d->due;
	w->next = o->first;
	o->first = w;
}

static bool run_refresh(struct op *op, struct tools *t, struct err *err)
{
	struct op_refresh *o = (struct op_refresh *)op;

	o->tools = t;
	o->first = NULL;
	o->next = o->after;
	return queue_waiting_destinations(t->queue, &o->next, REFRESH_AT_ONCE, on_waiting,
					  o, err) &&
	       (!o->failed || err_set(err, "out of memory"));
}

static void refresh_from(struct store *s, int64_t after);

static void done_refresh(struct op *op, struct batch *batch)
{
	struct op_refresh *o = (struct op_refresh *)op;
	struct store *s = o->store;

	(void)batch;
	s->refreshing = false;
	if (!op->committed) {
		s->schedule.overflow = true; /* in a minute, then */
		return;
	}
	for (struct waiting *w = o->first; w; w = w->next)
		deliver_found(s, w->id, w->hop, w->target, w->due);
	if (s->refresh_again) {
		s->refresh_again = false;
		refresh_from(s, 0);
	} else if (o->next) {
		refresh_from(s, o->next);
	}
}

static void refresh_from(struct store *s, int64_t after)
{
	struct op_refresh *o = writer_take(s->writer, sizeof(*o));

	if (!o) {
		s->schedule.overflow = true;
		return;
	}
	o->op = (struct op){
		.on = OP_QUEUE, .lazy = true, .run = run_refresh, .done = done_refresh
	};
	o->store = s;
	o->after = after;
	s->refreshing = true;
	writer_put(s->writer, &o->op);
}

void deliver_refresh(struct store *s)
{
	s->schedule.overflow = false;
	if (s->refreshing)
		s->refresh_again = true;
	else
		refresh_from(s, 0);
}

bool deliver_found(struct store *s, int64_t id, int hop, struct span target, int64_t due)
{
	struct destination *d;

	if (hop < 0 || hop >= HOP_COUNT)
		return false;
	d = schedule_find(&s->schedule, (enum hop)hop, target);
	if (!d)
		d = schedule_add(&s->schedule, id, (enum hop)hop, target);
	if (d)
		destination_due(&s->schedule, d, due);
	else
		s->schedule.overflow = true;
	return true;
}
