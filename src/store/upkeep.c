#include "store/upkeep.h"

#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/id.h"
#include "db/queue_route.h"
#include "store/control.h"
#include "store/inner.h"
#include "store/jobs.h"
#include "store/quota.h"
#include "store/remember.h"
#include "store/route.h"
#include "store/sent.h"
#include "store/spool.h"
#include "store/verify.h"

/*
 * What the clock brings: the heartbeat, room on disk, what is due, what is too old, and
 * publishing who gets mail here.
 */

#define BEAT_EVERY    ((ms_t)250)
#define TICK_EVERY    MS_SECOND
#define SPACE_EVERY   (5 * MS_SECOND)
#define PUBLISH_EVERY ((ms_t)100)
#define PUBLISH_AGAIN MS_SECOND /* when it failed, for want of memory or descriptors */
#define KEEP_DONE     (10 * MS_MINUTE) /* so long the same message is recognised */
#define PRUNE_AT_ONCE 10000	       /* a second; takes 16 ms of the writer */
#define SWEEP_AT_ONCE 500
#define EXPIRED_TOLD  1000 /* recipients of one message that are named */

/* ---- recipients ---- */

struct unpublished {
	struct unpublished *next;
	uint32_t ask;
	const char *text;
};

void people_publish(struct store *s)
{
	struct unpublished *u = s->unpublished, *next;
	struct err err;
	bool built = recipients_build(&s->recipients, s->conf, &err);

	s->published_at = loop_now(s->loop);
	s->unpublished = NULL;
	timer_set(&s->publish, MS_NEVER);
	if (built) {
		quota_judge_all(s);
		edges_tell_recipients(s);
	} else {
		trouble_log(s, "recipients", "%s", err.text);
		timer_set(&s->publish, s->published_at + PUBLISH_AGAIN);
	}
	for (; u; u = next) {
		next = u->next;
		control_done(s, u->ask, built, "%s%s", u->text,
			     built ? ""
				   : ", but it could not be published yet: see the log");
		free(u);
	}
}

static void on_publish(void *arg)
{
	people_publish(arg);
}

void people_changed(struct store *s, uint32_t ask, const char *text, bool now)
{
	struct unpublished *u = malloc(sizeof(*u));

	if (u) {
		*u = (struct unpublished){ s->unpublished, ask, text };
		s->unpublished = u;
	} else {
		control_done(s, ask, true, "%s", text);
	}
	if (now || loop_now(s->loop) - s->published_at > PUBLISH_EVERY)
		people_publish(s);
	else
		timer_set(&s->publish, s->published_at + PUBLISH_EVERY);
}

/* ---- room on disk ---- */

void upkeep_measure(void *store)
{
	struct store *s = store;
	struct statvfs v;

	if (fstatvfs(s->spool_dir, &v) == 0)
		__atomic_store_n(&s->room, (int64_t)v.f_bavail * (int64_t)v.f_frsize,
				 __ATOMIC_RELAXED);
}

/* It must be well above before it counts as room again, so that it does not flutter. */
void upkeep_judge_room(struct store *s)
{
	int64_t room = __atomic_load_n(&s->room, __ATOMIC_RELAXED);
	int64_t least = s->conf->set.spool_free;
	bool full = room < (s->full ? least + least / 16 : least);

	if (full == s->full)
		return;
	s->full = full;
	if (full)
		trouble_log(s, "disk",
			    "%lld bytes are free for the queue, fewer than "
			    "queue.free-min: mail is refused for now",
			    (long long)room);
	edges_tell_room(s);
}

static void on_measured(void *arg)
{
	struct store *s = arg;

	s->measuring = false;
	upkeep_judge_room(s);
}

/* ---- what is held ---- */

#define COUNT_EVERY \
	200000 /* us: a long job has many batches, and of many each count is long */

/*
 * Every batch may have changed it. One that comes too soon after a count is owed one, and
 * the next tick sees that it gets it.
 */
void upkeep_count_held(struct store *s)
{
	uint64_t now = loop_clock_us();
	bool owed = now - s->held_since < COUNT_EVERY;
	struct err ignored;
	int64_t held;

	if (!owed) {
		s->held_since = now;
		owed = !queue_held(s->queue, &held, &ignored);
		if (!owed)
			__atomic_store_n(&s->held, held, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&s->held_owed, owed, __ATOMIC_RELAXED);
}

static bool run_nothing(struct op *op, struct tools *t, struct err *err)
{
	(void)op;
	(void)t;
	(void)err;
	return true;
}

static void done_nothing(struct op *op, struct batch *batch)
{
	(void)op;
	(void)batch;
}

/* A batch with nothing in it: it is counted behind it. */
static void count_owed(struct store *s)
{
	struct op *op = __atomic_load_n(&s->held_owed, __ATOMIC_RELAXED)
				? writer_take(s->writer, sizeof(*op))
				: NULL;

	if (!op)
		return;
	*op = (struct op){ .on = OP_QUEUE, .run = run_nothing, .done = done_nothing };
	writer_put(s->writer, op);
}

/* ---- old things ---- */

struct op_sweep {
	struct op op;
	struct store *store;
	int64_t done_before, dead_before, expired_before;
	int64_t good_before, bad_before; /* remembered answers */
	bool minute;			 /* the rarer things, too */
	bool more;			 /* finished ids are left to prune */
	uint32_t dead;
	uint64_t after, next;
	struct tools *tools; /* while it runs */
	struct span us;
	struct noticed *made;
	size_t expired_count;
	struct expired {
		uint64_t id;
		uint32_t recipients;
	} expired[SWEEP_AT_ONCE];
};

static void on_expired(void *arg, uint64_t id, uint32_t recipients)
{
	struct op_sweep *o = arg;

	o->expired[o->expired_count++] = (struct expired){ id, recipients };
}

/* Those that are given up now: their senders are told, in the same transaction. */
static bool on_expiring(void *arg, uint64_t id, struct err *err)
{
	struct op_sweep *o = arg;
	struct notice_item items[EXPIRED_TOLD] = { 0 };
	uint32_t numbers[EXPIRED_TOLD];
	struct notice_want want = {
		.id = id,
		.action = DSN_FAILED,
		.us = o->us,
		.items = items,
	};

	if (!queue_waits(o->tools->queue, id, false, numbers, EXPIRED_TOLD, &want.count,
			 err))
		return false;
	for (size_t i = 0; i < want.count; i++)
		items[i].number = numbers[i];
	return want.count == 0 ||
	       notices_tell(&o->store->notices, o->tools, &want, &o->made, err);
}

static bool run_sweep(struct op *op, struct tools *t, struct err *err)
{
	struct op_sweep *o = (struct op_sweep *)op;
	uint32_t pruned;

	o->dead = 0;
	o->expired_count = 0;
	o->tools = t;
	o->made = NULL;
	o->next = o->after;
	if (!queue_prune_done(t->queue, o->done_before, PRUNE_AT_ONCE, &pruned, err))
		return false;
	o->more = pruned == PRUNE_AT_ONCE;
	return !o->minute || (queue_prune_dead(t->queue, o->dead_before, SWEEP_AT_ONCE,
					       &o->dead, tools_gone, t, err) &&
			      queue_expire(t->queue, o->expired_before, SWEEP_AT_ONCE,
					   &o->next, on_expiring, on_expired, o, err));
}

static void log_expired(struct store *s, const struct expired *x)
{
	uint8_t mem[256], id[ID_PRINTED + 1];
	struct buf row, text;

	pulse_gauge(s->pulse, GAUGE_DEAD, x->recipients);
	buf_init(&row, mem, sizeof(mem));
	buf_init(&text, id, sizeof(id));
	id_print(x->id, &text);
	field_text(&row, "id", buf_span(&text));
	field_number(&row, "rcpts", x->recipients);
	field_text(&row, "answer", SPAN("waited for longer than queue.lifetime"));
	field_text(&row, "key", SPAN("lifetime"));
	pulse_log(s->pulse, LOG_DEAD, loop_wall(s->loop), NULL, buf_span(&row));
}

static void done_sweep(struct op *op, struct batch *batch)
{
	struct op_sweep *o = (struct op_sweep *)op;
	struct store *s = o->store;

	(void)batch;
	s->pruning = op->committed && o->more;
	if (!op->committed || !o->minute)
		return;
	s->expire_after = o->next;
	if (o->next || o->dead == SWEEP_AT_ONCE)
		s->tick_minute = 0; /* there is more */
	pulse_gauge(s->pulse, GAUGE_QUEUE, -(int64_t)o->dead);
	for (size_t i = 0; i < o->expired_count; i++)
		log_expired(s, &o->expired[i]);
	notices_made(s, o->made);
}

static bool run_forget(struct op *op, struct tools *t, struct err *err)
{
	struct op_sweep *o = (struct op_sweep *)op;

	return state_prune_verified(t->state, o->good_before, o->bad_before,
				    PRUNE_AT_ONCE, err);
}

static void done_forget(struct op *op, struct batch *batch)
{
	(void)op;
	(void)batch;
}

static struct op_sweep *new_sweep(struct store *s, enum op_on on, bool minute)
{
	struct op_sweep *o = writer_take(s->writer, sizeof(*o));
	const struct settings *set = &s->conf->set;
	int64_t wall = loop_wall(s->loop);
	struct span us;

	if (!o || !pile_keep(writer_pile(s->writer), span_str(s->hostname), &us))
		return NULL;
	*o = (struct op_sweep){
		.op = { .on = on,
			.lazy = true,
			.run = on == OP_QUEUE ? run_sweep : run_forget,
			.done = on == OP_QUEUE ? done_sweep : done_forget },
		.store = s,
		.done_before = wall - KEEP_DONE,
		.dead_before = wall - set->keep_dead,
		.expired_before = wall - set->lifetime,
		.good_before = wall - set->verify_good,
		.bad_before = wall - set->verify_bad,
		.minute = minute,
		.after = s->expire_after,
		.us = us,
	};
	return o;
}

static void sweep(struct store *s, enum op_on on, bool minute)
{
	struct op_sweep *o = new_sweep(s, on, minute);

	if (o)
		writer_put(s->writer, &o->op);
}

/* ---- a clock that was set back ---- */

struct op_pull_in {
	struct op op;
	struct store *store;
	int64_t latest, count;
};

static bool run_pull_in(struct op *op, struct tools *t, struct err *err)
{
	struct op_pull_in *o = (struct op_pull_in *)op;

	return queue_pull_in(t->queue, o->latest, &o->count, err);
}

/* What had a later time is found by its new one. */
static void done_pull_in(struct op *op, struct batch *batch)
{
	struct op_pull_in *o = (struct op_pull_in *)op;

	(void)batch;
	if (!op->committed)
		o->store->wall_ahead = 0; /* with the next tick, then */
	else if (o->count)
		deliver_refresh(o->store);
}

#define CLOCK_SLIPS (5 * MS_SECOND) /* a correction that matters to nobody */

/* After the clock went back; and at the start, as nobody knows then. */
static void pull_in(struct store *s)
{
	int64_t ahead = loop_wall(s->loop) - loop_now(s->loop);
	bool back = s->wall_ahead == 0 || ahead < s->wall_ahead - CLOCK_SLIPS;
	struct op_pull_in *o = back ? writer_take(s->writer, sizeof(*o)) : NULL;

	if (back && !o)
		return;
	s->wall_ahead = ahead;
	if (!o)
		return;
	o->op = (struct op){
		.on = OP_QUEUE, .lazy = true, .run = run_pull_in, .done = done_pull_in
	};
	o->store = s;
	o->latest = loop_wall(s->loop) + s->conf->set.retry_max;
	writer_put(s->writer, &o->op);
}

/* ---- ticks ---- */

static void on_beat(void *arg)
{
	struct store *s = arg;

	pulse_beat(s->pulse);
	timer_set(&s->beat, loop_now(s->loop) + BEAT_EVERY);
}

static bool is_time(ms_t *next, ms_t now, ms_t every)
{
	if (now < *next)
		return false;
	*next = now + every;
	return true;
}

static void on_tick(void *arg)
{
	struct store *s = arg;
	ms_t now = loop_now(s->loop);

	timer_set(&s->tick, now + TICK_EVERY);
	deliver_save_again(s);
	network_tick(s, now);
	verify_tick(s, now);
	if (s->draining)
		return;
	remember_tick(s->remember);
	edges_tick(s);
	writer_rest(s->writer);
	quota_tick(s, now);
	pull_in(s);
	schedule_pump(s);
	jobs_tick(s);
	count_owed(s);
	if (is_time(&s->tick_space, now, SPACE_EVERY) && !s->measuring)
		s->measuring = work_run(s->loop, upkeep_measure, on_measured, s);
	sent_save(s);
	if (is_time(&s->tick_minute, now, MS_MINUTE)) {
		sweep(s, OP_QUEUE, true);
		sweep(s, OP_STATE, true);
		notices_delays(s);
		route_soon(s);
		route_retry(s);
		if (s->schedule.overflow)
			deliver_refresh(s);
	} else if (s->pruning) {
		sweep(s, OP_QUEUE, false);
	}
	if (is_time(&s->tick_hour, now, MS_HOUR)) {
		spool_clean(s);
		sent_prune(s);
	}
}

void upkeep_start(struct store *s)
{
	timer_init(&s->beat, s->loop, on_beat, s);
	timer_init(&s->tick, s->loop, on_tick, s);
	timer_init(&s->publish, s->loop, on_publish, s);
	on_beat(s);
	timer_set(&s->tick, loop_now(s->loop) + TICK_EVERY);
}
