#include "store/deliver.h"

#include <stdio.h>

#include "base/bug.h"
#include "base/id.h"
#include "store/inner.h"

/*
 * Parcels are started; what came of them goes to the database and to the log.
 */

#define ANSWER_KEPT 240 /* bytes of a next hop's answer in the database */

/* ---- room ---- */

bool deliver_promise(struct store *s, struct destination *d)
{
	bool able = hop_is_network(d->hop) ? network_has_room(s) : local_has_room(s);

	if (!able || !destination_begin(&s->schedule, d))
		return false;
	pulse_gauge(s->pulse, GAUGE_DELIVERIES, 1);
	return true;
}

void deliver_over(struct store *s, struct destination *d)
{
	destination_over(&s->schedule, d);
	pulse_gauge(s->pulse, GAUGE_DELIVERIES, -1);
}

/* ---- parcels ---- */

static struct span domain_of(struct span address)
{
	return span_skip(address, span_find_last(address, '@') + 1);
}

bool parcel_fits(const struct parcel *p, const struct parcel_to *to)
{
	const struct parcel_to *first = &p->rcpts[0];

	if (p->count == 0)
		return true;
	return p->count < PARCEL_TO_MAX &&
	       p->bytes + to->address.n + to->notify.n + 3 <= LIST_FRAME_MAX &&
	       (first->origin.n > 0) == (to->origin.n > 0) &&
	       span_eq_nocase(domain_of(first->origin), domain_of(to->origin));
}

void parcel_drop(struct parcel *p)
{
	batch_release(p->batch);
}

struct outcomes parcel_outcomes(const struct parcel *p, struct outcome list[PARCEL_TO_MAX])
{
	for (size_t i = 0; i < p->count; i++)
		list[i] = (struct outcome){
			.number = p->rcpts[i].number,
			.attempts = p->rcpts[i].attempts,
			.address = p->rcpts[i].address,
			.notify = p->rcpts[i].notify,
		};
	return (struct outcomes){
		.to = p->to,
		.id = p->id,
		.nonce = p->nonce,
		.wall = p->wall,
		.since = p->since,
		.whole = p->whole,
		.spooled = p->spooled,
		.flags = p->flags,
		.count = p->count,
		.list = list,
	};
}

void parcel_outcome(struct store *s, struct parcel *p, enum outcome_kind kind,
		    struct span host, struct span answer)
{
	struct outcome list[PARCEL_TO_MAX];
	struct outcomes o = parcel_outcomes(p, list);

	o.host = host;
	for (size_t i = 0; i < o.count; i++) {
		list[i].kind = kind;
		list[i].answer = answer;
	}
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
	struct notice_want wants[2]; /* of those that failed, and of those that are there */
	struct noticed *made;
	struct queue_settled settled;
	struct batch *held; /* the batch whose pile this lies on, once one has failed */
};

static bool run_answers(struct op *op, struct tools *t, struct err *err)
{
	struct op_answers *o = (struct op_answers *)op;

	o->made = NULL;
	for (size_t i = 0; i < COUNT_OF(o->wants); i++)
		if (o->wants[i].count &&
		    !notices_tell(&o->store->notices, t, &o->wants[i], &o->made, err))
			return false;
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
	notices_made(s, o->made);
	if (!o->held)
		return;
	/* what waits of it may have been looked for before it was there */
	deliver_refresh(s);
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

void deliver_log_unsaved(struct store *s)
{
	size_t count = 0;

	for (const struct op *op = s->unsaved; op; op = op->next)
		count += op->run == run_answers;
	if (count)
		trouble_log(s, "unsaved",
			    "the database did not take what came of deliveries (%zu): "
			    "what was delivered is delivered again after the start",
			    count);
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
	if (o->tls.n)
		field_text(&row, "tls", o->tls);
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
	int64_t end = o->since + set->lifetime;

	if (wall >= end)
		return false;
	*due = wall +
	       pace_pause(one->attempts + 1, set->retry_first, set->retry_max, o->id);
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

static enum dsn_action done_action(const struct outcomes *o)
{
	return hop_is_network(o->to->hop) ? DSN_RELAYED : DSN_DELIVERED;
}

/* Whoever logged in here may want to know. The texts of the answers lie on the pile. */
static void want_notices(struct store *s, const struct outcomes *o, struct op_answers *op)
{
	struct pile *pile = writer_pile(s->writer);
	struct span us, host;

	if (!(o->flags & (MAIL_AUTH | MAIL_LOCAL)) ||
	    !pile_keep(pile, span_str(s->hostname), &us) ||
	    !pile_keep(pile, o->host, &host))
		return;
	for (size_t i = 0; i < COUNT_OF(op->wants); i++) {
		struct notice_item *items = pile_take(pile, o->count * sizeof(*items));
		struct notice_want *w = &op->wants[i];

		*w = (struct notice_want){
			.id = o->id,
			.action = i == 0 ? DSN_FAILED : done_action(o),
			.us = us,
			.host = host,
			.items = items,
		};
		for (size_t k = 0; items && k < o->count; k++)
			if ((op->answers[k].state == TO_DEAD && i == 0) ||
			    (op->answers[k].state == TO_DONE && i == 1 && !o->told &&
			     o->list[k].notify.n))
				items[w->count++] = (struct notice_item){
					op->answers[k].number, op->answers[k].answer
				};
	}
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
			destination_due(&s->schedule, o->to, a->due);
		if (!pile_keep(writer_pile(s->writer),
			       span_head(o->list[i].answer, ANSWER_KEPT), &a->answer))
			a->answer = SPAN_NONE;
	}
	op->finished = finished;
	want_notices(s, o, op);
	writer_put(s->writer, &op->op);
	return;
fail:
	/* it stays in hand until a restart finds it there */
	trouble_log(s, "memory", "out of memory: the result of a delivery is not noted");
}
