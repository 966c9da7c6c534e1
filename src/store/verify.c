#include "store/verify.h"

#include <stdlib.h>

#include "store/inner.h"
#include "store/rewrite.h"

/*
 * Call-ahead: the next hop knows who exists, and what it said is remembered. An answer
 * that is getting old still serves while a new one is asked for; when the next hop does
 * not answer, an old answer is better than none, and none is 451.
 */

#define ASKS_MAX    4096 /* addresses being asked about */
#define WAITERS_MAX 65536

struct remembered {
	struct name name;
	bool good;
	int64_t at; /* wall clock */
};

struct waiter {
	struct waiter *next;
	unsigned edge;
	uint64_t generation;
	uint64_t ask;
	ms_t since;
};

struct verify_ask {
	struct name name;
	struct waiter *waiters;
	struct destination *to;
};

struct verify {
	struct names answers;
	struct names asks;
	size_t waiters;
	size_t evict_at;
};

/* ---- memory ---- */

static void *with_name(size_t size, struct span text)
{
	uint8_t *thing = calloc(1, size + text.n);

	if (!thing)
		return NULL;
	memcpy(thing + size, text.p, text.n);
	((struct name *)(void *)thing)->text = span_of(thing + size, text.n);
	return thing;
}

static bool remember(struct verify *v, struct span address, bool good, int64_t at)
{
	struct remembered *r = (struct remembered *)names_find(&v->answers, address);

	if (!r) {
		r = with_name(sizeof(*r), address);
		if (!r || !names_put(&v->answers, &r->name)) {
			free(r);
			return false;
		}
	}
	r->good = good;
	r->at = at;
	return true;
}

static void on_stored(void *arg, struct span address, bool good, int64_t at)
{
	/* one that does not fit into memory is asked about again */
	(void)remember(arg, address, good, at);
}

bool verify_open(struct verify **out, struct store *s, struct err *err)
{
	struct verify *v = calloc(1, sizeof(*v));

	if (!v)
		return err_set(err, "out of memory");
	names_init(&v->answers, s->recipients.key);
	names_init(&v->asks, s->recipients.key);
	*out = v;
	return state_each_verified(s->state, (size_t)s->conf->set.verify_entries,
				   on_stored, v, err);
}

static void free_waiters(struct verify *v, struct verify_ask *a)
{
	while (a->waiters) {
		struct waiter *next = a->waiters->next;

		free(a->waiters);
		a->waiters = next;
		v->waiters--;
	}
}

void verify_close(struct verify **v)
{
	struct name *n;
	size_t i = 0;

	if (!*v)
		return;
	while ((n = names_each(&(*v)->answers, &i)))
		free(n);
	for (i = 0; (n = names_each(&(*v)->asks, &i));) {
		free_waiters(*v, (struct verify_ask *)n);
		free(n);
	}
	names_close(&(*v)->answers);
	names_close(&(*v)->asks);
	free(*v);
	*v = NULL;
}

/* ---- the database ---- */

struct op_verified {
	struct op op;
	struct span address;
	bool good, forget;
	int64_t at;
};

static bool run_verified(struct op *op, struct tools *t, struct err *err)
{
	struct op_verified *o = (struct op_verified *)op;

	return o->forget ? state_drop_verified(t->state, o->address, err)
			 : state_put_verified(t->state, o->address, o->good, o->at, err);
}

/* If it failed, it is asked about again after a restart. */
static void done_verified(struct op *op, struct batch *batch)
{
	(void)op;
	(void)batch;
}

static void store_answer(struct store *s, struct span address, bool good, int64_t at,
			 bool forget)
{
	struct op_verified *o = writer_take(s->writer, sizeof(*o));

	if (!o || !pile_keep(writer_pile(s->writer), address, &o->address))
		return;
	o->op = (struct op){
		.on = OP_STATE, .lazy = true, .run = run_verified, .done = done_verified
	};
	o->good = good;
	o->at = at;
	o->forget = forget;
	writer_put(s->writer, &o->op);
}

/* Full: of a few that come next in the table, the oldest goes. */
static void make_room(struct store *s)
{
	struct verify *v = s->verify;
	struct remembered *oldest = NULL;

	if (v->answers.count < (size_t)s->conf->set.verify_entries)
		return;
	for (int i = 0; i < 8; i++) {
		struct remembered *r = (struct remembered *)names_each(&v->answers,
								       &v->evict_at);

		if (!r)
			v->evict_at = 0;
		else if (!oldest || r->at < oldest->at)
			oldest = r;
	}
	if (!oldest)
		return;
	store_answer(s, oldest->name.text, false, 0, true);
	names_drop(&v->answers, &oldest->name);
	free(oldest);
}

/* ---- answers ---- */

static void answer(struct store *s, unsigned edge, uint64_t generation, uint64_t ask,
		   enum verdict verdict)
{
	struct edge_link *e = edges_get(s, edge, generation);
	struct msg_VERDICT m = { .ask = ask, .verdict = (uint8_t)verdict };

	if (!e)
		return;
	msg_VERDICT_pack(&m, link_begin(e->link));
	if (!link_send(e->link, NULL, 0))
		trouble_log(s, "edge", "an answer to edge %u was lost", edge);
	edges_sent(e);
}

/* What is remembered and not too old; *fresh: there is no need to ask again. */
static enum verdict recall(const struct store *s, struct span address, bool *fresh)
{
	const struct settings *set = &s->conf->set;
	const struct remembered *r = (const struct remembered *)names_find(
		&s->verify->answers, address);
	int64_t age = r ? loop_wall(s->loop) - r->at : 0;

	*fresh = false;
	if (!r || age > (r->good ? set->verify_good : set->verify_bad))
		return VERDICT_UNKNOWN;
	/* a negative age comes from a clock that was set back */
	*fresh = age >= 0 && age < (r->good ? set->verify_good_ask : set->verify_bad_ask);
	return r->good ? VERDICT_YES : VERDICT_NO;
}

static void answer_all(struct store *s, struct verify_ask *a, enum verdict verdict)
{
	for (const struct waiter *w = a->waiters; w; w = w->next)
		answer(s, w->edge, w->generation, w->ask, verdict);
	free_waiters(s->verify, a);
}

static void end_ask(struct store *s, struct verify_ask *a)
{
	names_drop(&s->verify->asks, &a->name);
	destination_let_go(&s->schedule, a->to);
	free(a);
}

void verify_answered(struct store *s, struct verify_ask *a, struct span said)
{
	int64_t wall = loop_wall(s->loop);
	bool good = said.p[0] == '2', known = good || said.p[0] == '5', fresh;

	schedule_clock(&s->schedule, loop_now(s->loop), wall);
	if (said.p[0] == '0')
		destination_failed(&s->schedule, a->to);
	else
		destination_answered(&s->schedule, a->to, SPAN_NONE);
	if (known) {
		make_room(s);
		if (remember(s->verify, a->name.text, good, wall))
			store_answer(s, a->name.text, good, wall, false);
		answer_all(s, a, good ? VERDICT_YES : VERDICT_NO);
	} else {
		answer_all(s, a, recall(s, a->name.text, &fresh));
	}
	end_ask(s, a);
}

/* ---- questions ---- */

static struct verify_ask *start_ask(struct store *s, struct span address,
				    const struct our_domain *d)
{
	struct verify *v = s->verify;
	struct destination *to;
	struct verify_ask *a;
	int64_t id;

	if (!deliver_to(s, d->route->hop, span_str(d->route->target), &id, &to) || !to ||
	    v->asks.count >= ASKS_MAX ||
	    (to->fails > 0 && loop_now(s->loop) < to->not_before))
		return NULL;
	a = with_name(sizeof(*a), address);
	if (!a)
		return NULL;
	a->to = to;
	if (!names_put(&v->asks, &a->name)) {
		free(a);
		return NULL;
	}
	destination_hold(&s->schedule, to);
	if (!network_probe(s, a, to->hop, to->target, a->name.text)) {
		end_ask(s, a);
		return NULL;
	}
	return a;
}

static bool wait_for(struct store *s, struct verify_ask *a, const struct edge_link *e,
		     uint64_t ask)
{
	struct waiter *w = s->verify->waiters < WAITERS_MAX ? calloc(1, sizeof(*w)) : NULL;

	if (!w)
		return false;
	*w = (struct waiter){ a->waiters, e->number, e->generation, ask,
			      loop_now(s->loop) };
	a->waiters = w;
	s->verify->waiters++;
	return true;
}

static void ask_ahead(struct store *s, struct edge_link *e, uint64_t ask,
		      struct span address, const struct our_domain *d)
{
	struct verify_ask *a = (struct verify_ask *)names_find(&s->verify->asks, address);
	enum verdict remembered;
	bool fresh;

	remembered = recall(s, address, &fresh);
	if (!fresh && !a)
		a = start_ask(s, address, d);
	if (remembered == VERDICT_UNKNOWN && a && wait_for(s, a, e, ask))
		return;
	answer(s, e->number, e->generation, ask, remembered);
}

/*
 * Addresses that we made for bounces, and bounces to those that are not. True: that is all
 * there is to say. Otherwise *address is whom to look for, in lower case.
 */
static bool came_back(const struct store *s, const struct msg_VERIFY *m,
		      uint8_t mem[ADDRESS_MAX], struct span *address,
		      enum verdict *verdict)
{
	uint8_t plain_mem[ADDRESS_MAX];
	struct buf plain;

	buf_init(&plain, plain_mem, sizeof(plain_mem));
	*address = recipients_lower(m->address, mem);
	switch (rewrite_back(s, m->address, m->bounce, &plain)) {
	case CAME_ON:
		*verdict = VERDICT_YES;
		return true;
	case CAME_FORGED:
		*verdict = m->bounce ? VERDICT_FORGED : VERDICT_NO;
		return true;
	case CAME_BACK:
		*address = recipients_lower(buf_span(&plain), mem);
		return false;
	case CAME_PLAIN:
		break;
	}
	*verdict = VERDICT_FORGED;
	return m->bounce && rewrite_misses_tag(s, *address);
}

bool verify_asked(struct store *s, struct edge_link *e, const struct frame *f,
		  struct err *err)
{
	struct msg_VERIFY m;
	uint8_t mem[ADDRESS_MAX];
	struct found found;
	struct span address;
	enum verdict verdict;

	if (!msg_VERIFY_unpack(f->bytes, &m) || m.bounce > 1 || m.address.n == 0)
		return err_set(err, "edge %u asked about nobody", e->number);
	if (came_back(s, &m, mem, &address, &verdict)) {
		answer(s, e->number, e->generation, m.ask, verdict);
		return true;
	}
	found = recipients_find(&s->recipients, address);
	switch (found.kind) {
	case FOUND_FOREIGN:
		answer(s, e->number, e->generation, m.ask, VERDICT_FOREIGN);
		break;
	case FOUND_UNKNOWN:
		answer(s, e->number, e->generation, m.ask, VERDICT_NO);
		break;
	case FOUND_USER:
		answer(s, e->number, e->generation, m.ask,
		       found.user->full ? VERDICT_FULL : VERDICT_YES);
		break;
	case FOUND_ALIAS:
	case FOUND_CATCH_ALL:
	case FOUND_ANY:
		answer(s, e->number, e->generation, m.ask, VERDICT_YES);
		break;
	case FOUND_ASK:
		ask_ahead(s, e, m.ask, address, found.domain);
		break;
	}
	return true;
}

/* ---- time and loss ---- */

/* Waiters that are picked out get what is remembered, or are forgotten. */
static void drop_waiters(struct store *s, struct verify_ask *a, ms_t before,
			 const struct edge_link *gone)
{
	struct waiter **at = &a->waiters;

	while (*at) {
		struct waiter *w = *at;
		bool fresh;

		if (gone ? w->generation != gone->generation : w->since > before) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		if (!gone)
			answer(s, w->edge, w->generation, w->ask,
			       recall(s, a->name.text, &fresh));
		free(w);
		s->verify->waiters--;
	}
}

void verify_tick(struct store *s, ms_t now)
{
	struct name *n;
	size_t i = 0;

	while ((n = names_each(&s->verify->asks, &i)))
		drop_waiters(s, (struct verify_ask *)n, now - s->conf->set.verify_wait,
			     NULL);
}

void verify_forget(struct store *s, const struct edge_link *e)
{
	struct name *n;
	size_t i = 0;

	while ((n = names_each(&s->verify->asks, &i)))
		drop_waiters(s, (struct verify_ask *)n, 0, e);
}
