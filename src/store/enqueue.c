#include "store/enqueue.h"

#include "store/inner.h"
#include "store/rewrite.h"
#include "store/sent.h"

/*
 * Recipients are looked up, and the message goes into the next commit. The answer comes
 * after that; then what can be delivered straight from memory is.
 */

struct op_submit {
	struct op op;
	struct store *store;
	unsigned edge;
	uint64_t generation;
	struct queue_message m;
	struct queue_to *to;
	size_t count, cap;
	struct parcel *parcels;
	enum submitted refused; /* unless it is in the queue already; OK: not refused */
	enum queue_put put;
	bool relays; /* its sender logged in: it may go to other domains */
	struct span rcpt,
		notify;	   /* the recipient that is being looked up, and what it wants */
	struct names seen; /* targets so far, once there are two */
};

/* ---- the transaction ---- */

static bool run_submit(struct op *op, struct tools *t, struct err *err)
{
	struct op_submit *o = (struct op_submit *)op;

	if (o->refused != SUBMITTED_OK)
		return queue_known(t->queue, o->m.id, o->m.nonce, &o->put, err);
	return queue_put(t->queue, &o->m, o->to, o->count, &o->put, err);
}

void submit_answer(struct store *s, unsigned edge, uint64_t generation, uint64_t id,
		   uint64_t nonce, enum submitted result)
{
	struct edge_link *e = edges_get(s, edge, generation);
	struct msg_SUBMITTED m = { .id = id, .nonce = nonce, .result = (uint8_t)result };

	if (!e)
		return;
	msg_SUBMITTED_pack(&m, link_begin(e->link));
	if (!link_send(e->link, NULL, 0))
		trouble_log(s, "edge", "an answer to edge %u was lost", edge);
	edges_sent(e);
}

static enum submitted result_of(const struct op_submit *o)
{
	if (!o->op.committed)
		return o->op.trouble == TROUBLE_FULL ? SUBMITTED_NO_ROOM
						     : SUBMITTED_FAILED;
	switch (o->put) {
	case QUEUE_PUT:
	case QUEUE_KEPT:
		return o->refused;
	case QUEUE_SAME:
		return SUBMITTED_OK;
	case QUEUE_TAKEN:
		break;
	}
	return SUBMITTED_TAKEN;
}

/* What is held when it comes goes nowhere. */
static void give_up_parcels(struct op_submit *o)
{
	for (struct parcel *p = o->parcels; p; p = p->next)
		deliver_over(o->store, p->to);
}

static void start_parcels(struct op_submit *o, struct batch *batch)
{
	for (struct parcel *p = o->parcels, *next; p; p = next) {
		next = p->next;
		batch_hold(batch);
		p->batch = batch;
		p->whole = p->count == o->count;
		parcel_start(o->store, p);
	}
}

static void done_submit(struct op *op, struct batch *batch)
{
	struct op_submit *o = (struct op_submit *)op;
	struct store *s = o->store;
	enum submitted result = result_of(o);

	submit_answer(s, o->edge, o->generation, o->m.id, o->m.nonce, result);
	if (result == SUBMITTED_OK && o->put != QUEUE_SAME) {
		pulse_gauge(s->pulse, GAUGE_MESSAGES, 1);
		pulse_gauge(s->pulse, GAUGE_QUEUE, 1);
	}
	if (result == SUBMITTED_OK && o->put == QUEUE_PUT)
		start_parcels(o, batch);
	else
		give_up_parcels(o);
}

/* ---- who gets it ---- */

struct seen {
	struct name name;
};

/* Is that copy on its way already? Two aliases may lead to one mailbox. */
static bool is_repeated(struct op_submit *o, struct pile *pile, struct span key,
			bool *failed)
{
	struct seen *one;

	if (names_find(&o->seen, key))
		return true;
	one = pile_take(pile, sizeof(*one));
	if (!one) {
		*failed = true;
		return true;
	}
	one->name.text = key;
	*failed = !names_put(&o->seen, &one->name);
	return *failed;
}

static struct queue_to *new_to(struct op_submit *o, struct pile *pile)
{
	if (o->count == o->cap) {
		size_t cap = o->cap ? o->cap * 2 : 1;
		struct queue_to *more = pile_raw(pile, cap * sizeof(*more));

		if (!more)
			return NULL;
		if (o->count)
			memcpy(more, o->to, o->count * sizeof(*more));
		o->to = more;
		o->cap = cap;
	}
	return &o->to[o->count++];
}

/* The parcel for that destination that has room, or a new one if it is promised some. */
static struct parcel *parcel_for(struct op_submit *o, struct pile *pile,
				 struct destination *d, const struct parcel_to *to)
{
	struct parcel *p = o->parcels;

	while (p && (p->to != d || !parcel_fits(p, to)))
		p = p->next;
	if (p || o->m.state == QUEUE_HELD)
		return p;
	p = pile_take(pile, sizeof(*p));
	if (!p || !deliver_promise(o->store, d))
		return NULL;
	*p = (struct parcel){
		.next = o->parcels,
		.to = d,
		.id = o->m.id,
		.nonce = o->m.nonce,
		.flags = o->m.flags,
		.size = o->m.size,
		.wall = o->m.wall,
		.since = o->m.wall,
		.sender = o->m.sender,
		.envid = o->m.envid,
		.prefix = o->m.prefix,
		.body = o->m.body,
		.spooled = o->m.spooled,
	};
	o->parcels = p;
	return p;
}

static bool put_in_parcel(struct op_submit *o, struct pile *pile, struct destination *d,
			  const struct queue_to *from)
{
	const struct parcel_to to = {
		.number = from->number,
		.address = from->address,
		.mailbox = from->mailbox,
		.notify = from->notify,
		.origin = from->origin,
	};
	struct parcel *p = parcel_for(o, pile, d, &to);

	if (!p)
		return false;
	if (p->count == p->cap) {
		size_t cap = p->cap ? p->cap * 4 : 1;
		struct parcel_to *more;

		cap = cap < PARCEL_TO_MAX ? cap : PARCEL_TO_MAX;
		more = pile_raw(pile, cap * sizeof(*more));
		if (!more)
			return false;
		if (p->count)
			memcpy(more, p->rcpts, p->count * sizeof(*more));
		p->rcpts = more;
		p->cap = cap;
	}
	p->rcpts[p->count++] = to;
	p->bytes += to.address.n + to.notify.n + 3;
	return true;
}

static bool on_target(void *arg, const struct target *t)
{
	struct op_submit *o = arg;
	struct store *s = o->store;
	struct pile *pile = writer_pile(s->writer);
	struct destination *d;
	struct queue_to *to;
	bool failed = false;
	uint8_t mem[ADDRESS_MAX];
	struct span key = t->mailbox;
	int64_t id;

	if (!deliver_to(s, t->hop, t->hop_target, &id, &d))
		return false;
	/* a next hop may tell user+a from user+b */
	if (hop_is_network(t->hop) &&
	    !pile_keep(pile, recipients_lower(t->address, mem), &key))
		return false;
	if (is_repeated(o, pile, key, &failed))
		return !failed;
	to = new_to(o, pile);
	if (!to)
		return false;
	*to = (struct queue_to){
		.number = (uint32_t)(o->count - 1),
		.address = t->address,
		.mailbox = t->mailbox,
		.notify = o->notify,
		.origin = t->renamed ? o->rcpt : SPAN_NONE,
		.destination = id,
		.due = QUEUE_IN_HAND,
	};
	if (d && put_in_parcel(o, pile, d, to))
		return true;
	to->due = loop_wall(s->loop);
	if (d && o->m.state != QUEUE_HELD)
		destination_due(&s->schedule, d, to->due);
	return true;
}

/*
 * One recipient, with the parameters behind it. A bounce to an address that we made goes to
 * whom it stands for, also in another domain: only we can have made it.
 */
static enum expanded expand_one(struct op_submit *o, struct span item)
{
	struct store *s = o->store;
	struct pile *pile = writer_pile(s->writer);
	bool relays = o->relays;
	uint8_t mem[ADDRESS_MAX];
	struct buf plain;

	o->rcpt = span_cut(&item, '\t');
	o->notify = relays ? item : SPAN_NONE;
	buf_init(&plain, mem, sizeof(mem));
	switch (rewrite_back(s, o->rcpt, o->m.sender.n == 0, &plain)) {
	case CAME_FORGED:
		return EXPANDED_NOBODY;
	case CAME_ON:
		relays = true;
		break;
	case CAME_BACK:
	case CAME_PLAIN:
		break;
	}
	return recipients_expand(&s->recipients, plain.len ? buf_span(&plain) : o->rcpt,
				 relays, pile, on_target, o);
}

static enum submitted expand_list(struct op_submit *o, struct span list)
{
	struct span item;

	while (list_next(&list, &item))
		switch (expand_one(o, item)) {
		case EXPANDED:
			break;
		case EXPANDED_NOBODY: /* removed since RCPT: the next try will be refused there */
		case EXPANDED_MEMORY:
			return SUBMITTED_FAILED;
		}
	return SUBMITTED_OK;
}

/* ---- into the next commit ---- */

/* The edge's clock is ours; one that is far off would make a message too old, or eternal. */
static int64_t plausible(int64_t wall, int64_t now)
{
	return wall > now - MS_DAY && wall < now + MS_DAY ? wall : now;
}

/*
 * An edge in a stranger's hands may say anything. That somebody logged in, auth has to say,
 * too, and that it is a program of this machine, the kernel (vouch.h); and neither can be
 * where there is no port for it.
 */
uint32_t believable(const struct conf *conf, uint32_t flags)
{
	bool logins = false, programs = false;

	for (size_t i = 0; i < conf->listener_count; i++) {
		logins |= conf->listeners[i].auth;
		programs |= conf->listeners[i].path[0] != '\0';
	}
	if (!logins)
		flags &= ~(uint32_t)MAIL_AUTH;
	if (!programs)
		flags &= ~(uint32_t)MAIL_LOCAL;
	return flags & MAIL_OF_EDGES;
}

static struct queue_message message_of(const struct store *s, const struct msg_SUBMIT *m,
				       bool held)
{
	uint32_t flags = believable(s->conf, m->flags) | (held ? MAIL_HOLD : 0);

	return (struct queue_message){
		.id = m->id,
		.nonce = m->nonce,
		.flags = flags,
		.size = m->size,
		.wall = plausible(m->wall, loop_wall(s->loop)),
		.peer = m->peer,
		.listener = m->listener,
		.helo = m->helo,
		.login = flags & (MAIL_AUTH | MAIL_LOCAL) ? m->login : SPAN_NONE,
		.sender = m->sender,
		.envid = m->envid,
		.spooled = m->spooled != 0,
		.body = m->body,
	};
}

static enum submitted look_up(struct op_submit *o, struct span early, struct span rcpts)
{
	struct store *s = o->store;
	enum submitted refused = o->refused;

	o->relays = o->m.flags & (MAIL_AUTH | MAIL_LOCAL);
	if (refused == SUBMITTED_OK && o->relays && !sent_count(s, &o->m, early, rcpts))
		refused = SUBMITTED_OVER;
	names_init(&o->seen, s->recipients.key);
	if (refused == SUBMITTED_OK)
		refused = expand_list(o, early);
	if (refused == SUBMITTED_OK)
		refused = expand_list(o, rcpts);
	names_close(&o->seen);
	o->m.rcpt_total = (uint32_t)o->count;
	return refused;
}

/*
 * From here on it is in the next commit. The frame is copied once, with its body. What is
 * refused goes there, too: we may have promised it before we were restarted, and then it
 * may be delivered and gone by now.
 */
void enqueue(struct store *s, const struct coming *c)
{
	struct pile *pile = writer_pile(s->writer);
	struct op_submit *o = writer_take(s->writer, sizeof(*o));
	struct span copy, prefix, early = SPAN_NONE;
	struct msg_SUBMIT m;

	if (!msg_SUBMIT_unpack(c->frame, &m))
		return;
	if (!o || !pile_keep(pile, c->frame, &copy) || !msg_SUBMIT_unpack(copy, &m) ||
	    !pile_keep(pile, c->prefix, &prefix) ||
	    (c->early && !pile_keep(pile, span_of(c->early->list, c->early->n), &early))) {
		submit_answer(s, c->edge, c->generation, m.id, m.nonce, SUBMITTED_FAILED);
		return;
	}
	*o = (struct op_submit){
		.op = { .on = OP_QUEUE, .run = run_submit, .done = done_submit },
		.store = s,
		.edge = c->edge,
		.generation = c->generation,
		.m = message_of(s, &m, c->held),
		.refused = c->refused,
	};
	o->m.prefix = prefix;
	o->refused = look_up(o, early, m.rcpts);
	writer_put(s->writer, &o->op);
}
