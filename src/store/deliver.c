#include "store/deliver.h"

#include <stdio.h>

#include "base/bug.h"
#include "base/id.h"
#include "store/inner.h"

/*
 * What is due is taken in hand and started; what came of it goes to the database and to
 * the log.
 */

#define TAKE_AT_ONCE 64
#define TAKE_BYTES   ((size_t)4 << 20)
#define LOCAL_MOST   4096 /* parcels for mailboxes in memory */
#define ANSWER_KEPT  240  /* bytes of a next hop's answer in the database */

/* ---- room ---- */

static unsigned room(const struct store *s, const struct destination *d)
{
	unsigned left = (unsigned)s->conf->set.deliveries, own;

	if (!hop_is_network(d->hop))
		return local_has_room(s)
			       ? destination_room(d, LOCAL_MOST, loop_now(s->loop))
			       : 0;
	left = s->jobs.deliveries < left ? left - s->jobs.deliveries : 0;
	own = destination_room(d, (unsigned)s->conf->set.destination_max,
			       loop_now(s->loop));
	return !network_has_room(s) ? 0 : own < left ? own : left;
}

bool deliver_promise(struct store *s, struct destination *d)
{
	if (room(s, d) == 0)
		return false;
	d->under_way++;
	if (hop_is_network(d->hop))
		s->jobs.deliveries++;
	pulse_gauge(s->pulse, GAUGE_DELIVERIES, 1);
	return true;
}

void deliver_over(struct store *s, struct destination *d)
{
	BUG_IF(d->under_way == 0);
	d->under_way--;
	if (hop_is_network(d->hop)) {
		BUG_IF(s->jobs.deliveries == 0);
		s->jobs.deliveries--;
	}
	pulse_gauge(s->pulse, GAUGE_DELIVERIES, -1);
}

/* ---- parcels ---- */

void parcel_drop(struct parcel *p)
{
	batch_release(p->batch);
}

static void outcomes_of(const struct parcel *p, struct outcomes *o, struct outcome *list,
			enum outcome_kind kind, struct span answer)
{
	*o = (struct outcomes){
		.to = p->to,
		.id = p->id,
		.nonce = p->nonce,
		.wall = p->wall,
		.whole = p->whole,
		.spooled = p->spooled,
		.count = p->count,
		.list = list,
	};
	for (size_t i = 0; i < p->count; i++)
		list[i] = (struct outcome){
			.kind = kind,
			.number = p->rcpts[i].number,
			.attempts = p->rcpts[i].attempts,
			.address = p->rcpts[i].address,
			.answer = answer,
		};
}

void parcel_outcome(struct store *s, struct parcel *p, enum outcome_kind kind,
		    struct span host, struct span answer)
{
	struct outcome list[PARCEL_TO_MAX];
	struct outcomes o;

	outcomes_of(p, &o, list, kind, answer);
	o.host = host;
	outcomes_put(s, &o);
}

void parcel_start(struct store *s, struct parcel *p)
{
	if (hop_is_network(p->to->hop)) {
		network_start(s, p);
		return;
	}
	if (p->to->hop == HOP_MAILDIR) {
		local_start(s, p);
		return;
	}
	parcel_outcome(s, p, OUTCOME_DONE, SPAN_NONE, SPAN("discarded"));
	deliver_over(s, p->to);
	parcel_drop(p);
}

void parcel_back(struct store *s, struct parcel *p)
{
	parcel_outcome(s, p, OUTCOME_BACK, SPAN_NONE, SPAN_NONE);
	deliver_over(s, p->to);
	parcel_drop(p);
}

/* ---- what came of it ---- */

struct op_answers {
	struct op op;
	struct store *store;
	uint64_t id, nonce;
	bool finished; /* all recipients of the message, and all are delivered */
	bool spooled;
	size_t count;
	struct queue_answer *answers;
	struct queue_settled settled;
	struct batch *held; /* the batch whose pile this lies on, once one has failed */
};

static bool run_answers(struct op *op, struct tools *t, struct err *err)
{
	struct op_answers *o = (struct op_answers *)op;

	if (o->finished) {
		o->settled = (struct queue_settled){ .state = QUEUE_GONE,
						     .spooled = o->spooled };
		if (!queue_finish(t->queue, o->id, o->nonce, t->wall, &o->settled.left,
				  err))
			return false;
	} else if (!queue_answers(t->queue, o->id, o->answers, o->count, t->wall,
				  &o->settled, err)) {
		return false;
	}
	if (o->settled.left)
		tools_gone(t, o->id, o->settled.spooled);
	return true;
}

/* What was delivered must be noted, or it is delivered again after a restart: keep trying. */
static void done_answers(struct op *op, struct batch *batch)
{
	struct op_answers *o = (struct op_answers *)op;
	struct store *s = o->store;

	if (!op->committed) {
		if (!o->held) {
			batch_hold(batch);
			o->held = batch;
		}
		op->next = s->unsaved;
		s->unsaved = op;
		return;
	}
	if (o->settled.left)
		pulse_gauge(s->pulse, GAUGE_QUEUE, -1);
	if (o->held)
		batch_release(o->held);
}

void deliver_save_again(struct store *s)
{
	struct op *op = s->unsaved, *next;

	s->unsaved = NULL;
	for (; op; op = next) {
		next = op->next;
		writer_put(s->writer, op);
	}
}

static void log_outcome(struct store *s, const struct outcomes *o,
			const struct outcome *one, enum record kind, int64_t wall)
{
	uint8_t mem[1024], word[TEXT_MAX + 16];
	struct buf row, text;

	buf_init(&row, mem, sizeof(mem));
	buf_init(&text, word, sizeof(word));
	id_print(o->id, &text);
	field_text(&row, "id", buf_span(&text));
	field_text(&row, "rcpt", one->address);
	buf_reset(&text);
	destination_print(o->to, &text);
	field_text(&row, "hop", buf_span(&text));
	if (o->host.n)
		field_text(&row, "host", span_head(o->host, 128));
	field_text(&row, "answer", span_head(one->answer, LOG_TEXT_MAX));
	field_number(&row, "delay", wall - o->wall);
	if (one->attempts)
		field_number(&row, "tries", one->attempts + 1);
	field_text(&row, "key", buf_span(&text));
	pulse_log(s->pulse, kind, wall, NULL, buf_span(&row));
}

/* When to try again; false: never, it is too old. */
static bool again_at(const struct store *s, const struct outcomes *o,
		     const struct outcome *one, int64_t wall, int64_t *due)
{
	const struct settings *set = &s->conf->set;
	int64_t end = o->wall + set->lifetime;

	if (wall >= end)
		return false;
	*due = wall +
	       schedule_pause(one->attempts + 1, set->retry_first, set->retry_max, o->id);
	if (*due > end)
		*due = end;
	return true;
}

static void judge(struct store *s, const struct outcomes *o, const struct outcome *one,
		  struct queue_answer *a)
{
	int64_t wall = loop_wall(s->loop);

	*a = (struct queue_answer){ .number = one->number, .state = TO_WAITING };
	switch (one->kind) {
	case OUTCOME_DONE:
		a->state = TO_DONE;
		log_outcome(s, o, one, LOG_DELIVERED, wall);
		pulse_gauge(s->pulse, GAUGE_DELIVERED, 1);
		return;
	case OUTCOME_LATER:
		if (again_at(s, o, one, wall, &a->due)) {
			log_outcome(s, o, one, LOG_DEFERRED, wall);
			pulse_gauge(s->pulse, GAUGE_DEFERRED, 1);
			return;
		}
		break;
	case OUTCOME_NEVER:
		break;
	case OUTCOME_BACK:
		a->due = wall;
		return;
	}
	a->state = TO_DEAD;
	log_outcome(s, o, one, LOG_DEAD, wall);
	pulse_gauge(s->pulse, GAUGE_DEAD, 1);
}

void outcomes_put(struct store *s, const struct outcomes *o)
{
	struct op_answers *op = writer_take(s->writer, sizeof(*op));
	bool finished = o->whole;

	if (!op)
		goto fail;
	op->op = (struct op){
		.on = OP_QUEUE,
		/* a next hop that is asked again delivers twice, a mailbox does not */
		.lazy = !hop_is_network(o->to->hop),
		.run = run_answers,
		.done = done_answers,
	};
	op->store = s;
	op->id = o->id;
	op->nonce = o->nonce;
	op->count = o->count;
	op->spooled = o->spooled;
	op->answers = writer_take(s->writer, o->count * sizeof(*op->answers));
	if (!op->answers)
		goto fail;
	for (size_t i = 0; i < o->count; i++) {
		struct queue_answer *a = &op->answers[i];

		judge(s, o, &o->list[i], a);
		finished = finished && a->state == TO_DONE;
		if (a->state == TO_WAITING)
			destination_due(o->to, a->due);
		if (!pile_keep(writer_pile(s->writer),
			       span_head(o->list[i].answer, ANSWER_KEPT), &a->answer))
			a->answer = SPAN_NONE;
	}
	op->finished = finished;
	writer_put(s->writer, &op->op);
	return;
fail:
	/* it stays in hand until a restart finds it there */
	trouble_log(s, "memory", "out of memory: the result of a delivery is not noted");
}

/* ---- taking what is due ---- */

struct op_take {
	struct op op;
	struct store *store;
	struct destination *to;
	struct tools *tools; /* while it runs */
	unsigned promised;
	int64_t wall, next;
	struct parcel *first, **last;
	bool failed; /* out of memory */
};

static bool keep_rcpts(struct pile *pile, struct parcel *p, const struct queue_to *to)
{
	p->rcpts = pile_take(pile, p->count * sizeof(*p->rcpts));
	if (!p->rcpts)
		return false;
	for (size_t i = 0; i < p->count; i++) {
		p->rcpts[i].number = to[i].number;
		p->rcpts[i].attempts = to[i].attempts;
		if (!pile_keep(pile, to[i].address, &p->rcpts[i].address) ||
		    !pile_keep(pile, to[i].mailbox, &p->rcpts[i].mailbox))
			return false;
	}
	return true;
}

static void on_taken(void *arg, const struct queue_message *m, const struct queue_to *to,
		     size_t count)
{
	struct op_take *o = arg;
	struct pile *pile = o->tools->pile;
	struct parcel *p = pile_take(pile, sizeof(*p));

	if (!p) {
		o->failed = true;
		return;
	}
	*p = (struct parcel){
		.to = o->to,
		.id = m->id,
		.nonce = m->nonce,
		.flags = m->flags,
		.size = m->size,
		.wall = m->wall,
		.spooled = m->spooled,
		.whole = m->rcpt_total == count,
		.again = m->id <= o->store->newest_at_start || to[0].attempts > 0,
		.count = count,
	};
	if (!keep_rcpts(pile, p, to) || !pile_keep(pile, m->sender, &p->sender) ||
	    !pile_keep(pile, m->body, &p->body)) {
		o->failed = true;
		return;
	}
	*o->last = p;
	o->last = &p->next;
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

	o->first = NULL;
	o->last = &o->first;
	o->tools = t;
	o->failed = false;
	return queue_take(t->queue, &want, on_taken, o, err) &&
	       (!o->failed || err_set(err, "out of memory")) &&
	       queue_next(t->queue, o->to->id, &o->next, err);
}

static void done_take(struct op *op, struct batch *batch)
{
	struct op_take *o = (struct op_take *)op;
	struct store *s = o->store;
	struct parcel *p = o->first, *next;

	o->to->taking = false;
	if (!op->committed) {
		p = NULL;
		o->next = loop_wall(s->loop) + MS_SECOND;
	}
	destination_due(o->to, o->next);
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

static void take(struct store *s, struct destination *d)
{
	struct op_take *o = writer_take(s->writer, sizeof(*o));

	if (!o)
		return;
	o->op = (struct op){ .on = OP_QUEUE, .run = run_take, .done = done_take };
	o->store = s;
	o->to = d;
	o->wall = loop_wall(s->loop);
	o->last = &o->first;
	while (o->promised < TAKE_AT_ONCE && deliver_promise(s, d))
		o->promised++;
	d->taking = true;
	d->next_due = MS_NEVER;
	writer_put(s->writer, &o->op);
}

void schedule_pump(struct store *s)
{
	int64_t wall = loop_wall(s->loop);

	if (s->draining)
		return;
	for (size_t i = 0; i < s->schedule.count; i++) {
		struct destination *d = s->schedule.list[i];

		if (!d->taking && d->next_due <= wall && room(s, d) > 0)
			take(s, d);
	}
}

/* ---- destinations ---- */

struct op_destination {
	struct op op;
	struct store *store;
	struct destination *to;
	struct batch *held;
};

static bool run_destination(struct op *op, struct tools *t, struct err *err)
{
	struct destination *d = ((struct op_destination *)op)->to;

	return queue_put_destination(t->queue, d->id, (int)d->hop, span_str(d->target),
				     err);
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

struct destination *deliver_to(struct store *s, enum hop hop, const char *target)
{
	struct destination *d = schedule_find(&s->schedule, hop, target);
	struct op_destination *o;

	if (d)
		return d;
	o = writer_take(s->writer, sizeof(*o));
	d = o ? schedule_add(&s->schedule, s->schedule.last_id + 1, hop, span_str(target))
	      : NULL;
	if (!d)
		return NULL;
	o->op = (struct op){ .on = OP_QUEUE,
			     .run = run_destination,
			     .done = done_destination };
	o->store = s;
	o->to = d;
	writer_put(s->writer, &o->op);
	return d;
}
