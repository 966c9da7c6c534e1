/* Which messages have waited for so long that their senders are told. */
#include "store/notices_inner.h"

#include "db/queue_route.h"

#define DELAYS_ONCE  1000
#define DELAYED_MOST 100 /* recipients that one notice names */

struct op_delays {
	struct op op;
	struct store *store;
	struct span us;
	ms_t lifetime;
	uint64_t after, before;
	uint64_t next; /* go on after it */
	struct noticed *made;
};

static bool tell_delay(struct op_delays *o, struct tools *t, uint64_t id, struct err *err)
{
	struct notice_item items[DELAYED_MOST] = { 0 };
	uint32_t numbers[DELAYED_MOST];
	struct notice_want want = {
		.id = id,
		.action = DSN_DELAYED,
		.us = o->us,
		.lifetime = o->lifetime,
		.items = items,
	};

	if (!queue_waits(t->queue, id, true, numbers, DELAYED_MOST, &want.count, err))
		return false;
	for (size_t i = 0; i < want.count; i++)
		items[i].number = numbers[i];
	return notices_tell(&o->store->notices, t, &want, &o->made, err) &&
	       queue_set_flag(t->queue, id, MAIL_TOLD, err);
}

static bool run_delays(struct op *op, struct tools *t, struct err *err)
{
	struct op_delays *o = (struct op_delays *)op;
	struct queue_delayed want = {
		.after = o->after,
		.before = o->before,
		.with = MAIL_AUTH | MAIL_LOCAL,
		.without = MAIL_OURS | MAIL_TOLD,
	};
	uint64_t ids[DELAYS_ONCE], last;
	size_t count;

	o->made = NULL;
	if (!queue_delayed(t->queue, &want, ids, DELAYS_ONCE, &count, &last, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!tell_delay(o, t, ids[i], err))
			return false;
	o->next = last ? last : o->before;
	return true;
}

static void done_delays(struct op *op, struct batch *batch)
{
	struct op_delays *o = (struct op_delays *)op;
	struct store *s = o->store;

	(void)batch;
	if (!op->committed)
		return;
	s->delays_after = o->next;
	notices_made(s, o->made);
	if (o->next < o->before)
		notices_delays(s);
}

/* Ids begin with the time, so each message is looked at once, as its time comes. */
void notices_delays(struct store *s)
{
	ms_t wait = s->conf->set.delay_notice;
	struct op_delays *o = wait > 0 ? writer_take(s->writer, sizeof(*o)) : NULL;

	if (!o || !pile_keep(writer_pile(s->writer), span_str(s->hostname), &o->us))
		return;
	o->op = (struct op){
		.on = OP_QUEUE, .lazy = true, .run = run_delays, .done = done_delays
	};
	o->store = s;
	o->lifetime = s->conf->set.lifetime;
	o->after = s->delays_after;
	o->before = id_at(loop_wall(s->loop) - wait);
	writer_put(s->writer, &o->op);
}
