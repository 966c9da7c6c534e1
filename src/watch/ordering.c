#include "watch/ordering_inner.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fields.h"
#include "watch/ledger.h"

/* For the disk. An answer has 100 ms, and the start of the asking program is in them. */
#define ANSWER_WITHIN ((ms_t)50)
#define EXPIRE_EVERY  MS_SECOND
#define WRITE_AGAIN   (5 * MS_SECOND) /* after a failure */

/* An answer that waits for the disk. */
struct unsaved {
	uint32_t ask; /* 0: free */
	uint64_t serial;
	ms_t until;
	char text[CONTROL_TEXT_MAX];
};

struct ordering {
	struct sight *sight;
	struct ledger *ledger;
	struct timer expire, patience;
	struct unsaved unsaved[CONTROL_CLIENTS];
	bool told; /* that the file cannot be written */
};

/* ---- answers that wait for the disk ------------------------------------------------ */

static void answer(struct ordering *o, struct unsaved *u, const char *more)
{
	char text[CONTROL_TEXT_MAX + 160];

	snprintf(text, sizeof(text), "%s%s", u->text, more);
	control_end(o->sight->control, u->ask, ROLE_WATCH, true, span_str(text));
	u->ask = 0;
}

static void on_patience(void *arg)
{
	struct ordering *o = arg;
	ms_t now = loop_now(o->sight->loop), next = MS_NEVER;

	for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
		struct unsaved *u = &o->unsaved[i];

		if (u->ask && u->until <= now)
			answer(o, u, " It is not on disk yet: the disk is slow.");
		else if (u->ask && u->until < next)
			next = u->until;
	}
	timer_set(&o->patience, next);
}

static void log_trouble_once(struct ordering *o, const struct err *err)
{
	uint8_t mem[512];
	struct buf out;

	if (err && !o->told) {
		buf_init(&out, mem, sizeof(mem));
		field_text(&out, "key", SPAN("orders"));
		field_text(&out, "why", span_str(err->text));
		log_own(o->sight->log, LOG_TROUBLE, buf_span(&out));
	}
	o->told = err != NULL;
}

static void on_saved(void *arg, uint64_t serial, const struct err *err)
{
	struct ordering *o = arg;
	char more[160] = "";

	log_trouble_once(o, err);
	if (err)
		snprintf(more, sizeof(more),
			 " It holds until the server stops, but it cannot be written: %.90s",
			 err->text);
	for (size_t i = 0; i < CONTROL_CLIENTS; i++)
		if (o->unsaved[i].ask && o->unsaved[i].serial <= serial)
			answer(o, &o->unsaved[i], more);
}

/* It holds: have it written, and answer then. */
void ordering_save(const struct asked *a, const char *text)
{
	struct ordering *o = a->sight->ordering;
	uint64_t serial = ledger_save(o->ledger);

	for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
		struct unsaved *u = &o->unsaved[i];

		if (u->ask)
			continue;
		u->ask = a->ask;
		u->serial = serial;
		u->until = loop_now(a->sight->loop) + ANSWER_WITHIN;
		snprintf(u->text, sizeof(u->text), "%s", text);
		on_patience(o);
		return;
	}
	asked_done(a, text);
}

/* ---- opening ----------------------------------------------------------------------- */

static void on_expire(void *arg)
{
	struct ordering *o = arg;
	struct sight *s = o->sight;

	if (orders_expire(s->view.orders, loop_wall(s->loop)))
		(void)ledger_save(o->ledger);
	timer_set(&o->expire, loop_now(s->loop) + EXPIRE_EVERY);
}

/*
 * Are they on disk and not in the memory? One that is fresh may have been filled by the watch
 * before us, in this life of the server, or be one that an upgrade has made since.
 */
static bool are_to_be_read(const struct sight *s)
{
	struct drained d;
	struct order each;
	size_t order = 0, drained = 0;

	return s->start->orders.fresh &&
	       (!s->keep->orders_read ||
		(!orders_next(s->view.orders, &order, &each) &&
		 !orders_next_drained(s->view.orders, &drained, &d) &&
		 !orders_in_lockdown(s->view.orders)));
}

bool ordering_open(struct ordering **out, struct sight *s, const char *directory,
		   struct err *err)
{
	struct ordering *o = calloc(1, sizeof(*o));
	struct ledger_hook hook = { .on_saved = on_saved, .arg = o, .again = WRITE_AGAIN };
	struct err bad = { 0 };

	if (!o)
		return err_set(err, "orders: out of memory");
	o->sight = s;
	timer_init(&o->expire, s->loop, on_expire, o);
	timer_init(&o->patience, s->loop, on_patience, o);
	*out = o;
	if (!s->view.orders)
		return true;
	if (!ledger_open(&o->ledger, s->loop, directory, s->view.orders, &hook, err)) {
		free(o);
		*out = NULL;
		return false;
	}
	if (are_to_be_read(s) && !ledger_load(o->ledger, loop_wall(s->loop), &bad)) {
		log_trouble_once(o, &bad);
		o->told = false;
	}
	s->keep->orders_read = true;
	on_expire(o);
	return true;
}

void ordering_close(struct ordering **ordering)
{
	struct ordering *o = *ordering;

	*ordering = NULL;
	if (!o)
		return;
	ledger_close(&o->ledger);
	free(o);
}

const char *ordering_trouble(const struct ordering *o)
{
	return o->ledger ? ledger_trouble(o->ledger)
			 : "the memory for orders is not there";
}

void ordering_counts(const struct sight *s, size_t *bans, size_t *allows)
{
	struct order o;

	*bans = *allows = 0;
	if (!s->view.orders)
		return;
	for (size_t at = 0; orders_next(s->view.orders, &at, &o);) {
		*bans += o.kind == ORDER_BAN;
		*allows += o.kind == ORDER_ALLOW;
	}
}

/* ---- the log --------------------------------------------------------------------- */

void ordering_log_net(const struct sight *s, const char *what, const struct net *net,
		      int64_t until, struct span why)
{
	uint8_t mem[512];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	field_text(&out, "what", span_str(what));
	if (net)
		asked_field_net(&out, "prefix", net);
	if (until && until != INT64_MAX)
		field_time(&out, "until", until);
	if (why.n)
		field_text(&out, "why", why);
	log_own(s->log, LOG_ORDERED, buf_span(&out));
}

void ordering_log(const struct sight *s, const char *what, struct span why)
{
	ordering_log_net(s, what, NULL, 0, why);
}

/* ---- lockdown ---------------------------------------------------------------------- */

static void say_lockdown(const struct asked *a)
{
	int64_t since = orders_in_lockdown(a->sight->view.orders);
	uint8_t mem[64];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	field_flag(&out, "lockdown", since != 0);
	if (since)
		field_time(&out, "since", since);
	asked_row(a, &out);
	asked_done(a, "");
}

void ordering_lockdown(const struct asked *a)
{
	struct sight *s = a->sight;
	struct asked_words w;
	struct err err;
	bool on;

	if (!s->view.orders) {
		asked_refuse(a, "The memory for orders is not there. See the log.");
		return;
	}
	if (!asked_read(a->rest, WORD_MAYBE, &w, &err)) {
		asked_refuse(a, err.text);
		return;
	}
	if (w.target.n == 0) {
		say_lockdown(a);
		return;
	}
	on = span_eq(w.target, SPAN("on"));
	if (!on && !span_eq(w.target, SPAN("off"))) {
		asked_refuse(a, "lockdown on | off");
		return;
	}
	if (on == (orders_in_lockdown(s->view.orders) != 0)) {
		asked_done(a, on ? "It is on already." : "It is off already.");
		return;
	}
	orders_lockdown(s->view.orders, on, loop_wall(s->loop));
	ordering_log_net(s, on ? "lockdown" : "lockdown-off", NULL, 0, SPAN_NONE);
	ordering_save(a,
		      !on ? "Strangers are let in again."
		      : view_enforces(&s->view, RULE_LOCKDOWN)
			      ? "Only known-good and allowed clients get in from now on; "
				"strangers get 421 and come again later. To end it: "
				"holdfast lockdown off"
			      : "Lockdown, but the guard only observes: nobody is refused "
				"(guard.mode, guard.observe).");
}
