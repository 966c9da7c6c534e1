/*
 * Next hops are reached through the edges, which have the network. Here is who has what.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bug.h"
#include "store/inner.h"
#include "store/rewrite.h"
#include "store/spool.h"
#include "store/verify.h"

#define JOB_MAX_AGE (2 * MS_HOUR) /* an edge that says nothing for so long has lost it */
#define QUICK_TRIES 3 /* after a dead edge; then it waits as after any failure */

/* ---- who can take one ---- */

static struct edge_link *least_loaded(const struct store *s)
{
	const struct edge_link *best = NULL;

	for (size_t i = 0; i < EDGES_MAX; i++) {
		const struct edge_link *e = &s->edges[i];

		if (e->link && !e->leaves && !link_full(e->link) &&
		    (!best || e->jobs < best->jobs))
			best = e;
	}
	return (struct edge_link *)(uintptr_t)best;
}

bool network_has_room(const struct store *s)
{
	return s->jobs.count < JOBS_MAX / 2 && least_loaded(s);
}

/* ---- jobs ---- */

static struct job *job_new(struct store *s, struct edge_link *e)
{
	struct jobs *jobs = &s->jobs;
	struct job *j;

	if (jobs->count >= JOBS_MAX / 2)
		return NULL;
	j = calloc(1, sizeof(*j));
	if (!j)
		return NULL;
	do
		jobs->counter++;
	while (jobs->list[jobs->counter % JOBS_MAX]);
	jobs->list[jobs->counter % JOBS_MAX] = j;
	jobs->count++;
	j->number = jobs->counter;
	j->edge = e->number;
	j->edge_generation = e->generation;
	j->since = loop_now(s->loop);
	e->jobs++;
	return j;
}

static void job_free(struct store *s, struct job *j)
{
	struct edge_link *e = edges_get(s, j->edge, j->edge_generation);

	if (e)
		e->jobs--;
	s->jobs.list[j->number % JOBS_MAX] = NULL;
	s->jobs.count--;
	free(j);
}

static struct span put(uint8_t **at, struct span text)
{
	struct span copy = span_of(*at, text.n);

	if (text.n)
		memcpy(*at, text.p, text.n);
	*at += text.n;
	return copy;
}

/* Only what is needed when the answer comes: the body is on its way, its memory can go. */
static struct parcel *slim(const struct parcel *p)
{
	size_t texts = 0;
	struct parcel *copy;
	uint8_t *at;

	for (size_t i = 0; i < p->count; i++)
		texts += p->rcpts[i].address.n + p->rcpts[i].notify.n;
	copy = malloc(sizeof(*copy) + p->count * sizeof(*copy->rcpts) + texts);
	if (!copy)
		return NULL;
	*copy = *p;
	copy->batch = NULL;
	copy->sender = copy->envid = copy->prefix = copy->body = SPAN_NONE;
	copy->rcpts = (struct parcel_to *)(copy + 1);
	at = (uint8_t *)(copy->rcpts + p->count);
	for (size_t i = 0; i < p->count; i++) {
		const struct parcel_to *from = &p->rcpts[i];

		copy->rcpts[i] = *from;
		copy->rcpts[i].mailbox = copy->rcpts[i].origin = SPAN_NONE;
		copy->rcpts[i].address = put(&at, from->address);
		copy->rcpts[i].notify = put(&at, from->notify);
	}
	return copy;
}

/*
 * How the next hop is met. Those of our own domains are ours, too: LMTP has no TLS, and SMTP
 * takes what is offered.
 */
static struct way way_of(const struct store *s, const struct parcel *p)
{
	struct span address = p->rcpts[0].address;
	struct span domain = span_skip(address, span_find_last(address, '@') + 1);
	struct way w = { .tls = HOP_TLS_NONE };
	uint8_t mem[ADDRESS_MAX];

	domain = recipients_lower(domain, mem);
	if (!names_find(&s->recipients.domains, domain))
		w = recipients_way_out(s->conf, domain);
	else if (p->to->hop == HOP_SMTP && s->conf->set.hop_tls != HOP_TLS_NONE)
		w.tls = HOP_TLS_MAY;
	return w;
}

static void put_item(struct buf *list, const struct parcel_to *to)
{
	uint8_t mem[ITEM_MAX];
	struct buf item;

	buf_init(&item, mem, sizeof(mem));
	buf_put(&item, to->address);
	if (to->notify.n) {
		buf_byte(&item, '\t');
		buf_put(&item, to->notify);
	}
	list_put(list, item.full ? to->address : buf_span(&item));
}

static bool send(struct store *s, struct edge_link *e, const struct parcel *p, int spool,
		 uint64_t number)
{
	uint8_t mem[LIST_FRAME_MAX], sender[ADDRESS_MAX];
	struct way w = way_of(s, p);
	struct msg_DELIVER m = {
		.job = number,
		.id = p->id,
		.hop = (uint8_t)p->to->hop,
		.tls = (uint8_t)w.tls,
		.flags = p->flags,
		.size = p->size,
		.target = span_str(p->to->target),
		.helo = span_str(s->hostname),
		.credential = w.login,
		.envid = p->envid,
		.prefix = p->prefix,
		.sender = rewrite_sender(s, p, sender),
	};
	struct buf list;

	buf_init(&list, mem, sizeof(mem));
	for (size_t i = 0; i < p->count; i++)
		put_item(&list, &p->rcpts[i]);
	BUG_IF(list.full);
	m.rcpts = buf_span(&list);
	if (!p->spooled)
		m.body = p->body;
	msg_DELIVER_pack(&m, link_begin(e->link));
	return link_send(e->link, &spool, p->spooled);
}

/* False: no edge takes it now. */
static bool hand_over(struct store *s, const struct parcel *p, int spool)
{
	/* who drains starts nothing whose end it would not hear of */
	struct edge_link *e = s->draining ? NULL : least_loaded(s);
	struct parcel *kept = e ? slim(p) : NULL;
	struct job *j = kept ? job_new(s, e) : NULL;

	if (!j || !send(s, e, p, spool, j->number)) {
		if (j)
			job_free(s, j);
		free(kept);
		return false;
	}
	j->parcel = kept;
	edges_sent(e);
	return true;
}

void network_start(struct store *s, struct parcel *p)
{
	int spool = p->spooled ? spool_read(s, p->id) : -1;

	if (p->spooled && spool < 0) {
		parcel_outcome(s, p, OUTCOME_LATER, SPAN_NONE,
			       SPAN("000 the file of its body cannot be opened"));
		deliver_over(s, p->to);
		parcel_drop(p);
	} else if (hand_over(s, p, spool)) {
		parcel_drop(p);
	} else {
		parcel_back(s, p);
	}
	if (spool >= 0)
		close(spool);
}

bool network_probe(struct store *s, struct verify_ask *ask, enum hop hop,
		   const char *target, struct span address)
{
	struct edge_link *e = least_loaded(s);
	struct job *j = e ? job_new(s, e) : NULL;
	struct msg_PROBE m = {
		.hop = (uint8_t)hop,
		.target = span_str(target),
		.helo = span_str(s->hostname),
		.address = address,
	};

	if (!j)
		return false;
	m.job = j->number;
	msg_PROBE_pack(&m, link_begin(e->link));
	if (!link_send(e->link, NULL, 0)) {
		job_free(s, j);
		return false;
	}
	j->probe = ask;
	edges_sent(e);
	return true;
}

/* ---- what was said ---- */

static bool is_answer(struct span a)
{
	if (a.n < 3 || (a.n > 3 && a.p[3] != ' '))
		return false;
	for (size_t i = 0; i < 3; i++)
		if (a.p[i] < '0' || a.p[i] > '9')
			return false;
	return true;
}

static enum outcome_kind kind_of(struct span answer)
{
	if (answer.p[0] == '2')
		return OUTCOME_DONE;
	return answer.p[0] == '5' ? OUTCOME_NEVER : OUTCOME_LATER;
}

/* Does the next hop say that it has too much to do (RFC 5321, 3.8)? */
static bool is_pressed(const struct outcome *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!span_starts(list[i].answer, SPAN("421")))
			return false;
	return true;
}

static void note_destination(struct store *s, struct destination *d,
			     const struct outcomes *o, bool answered)
{
	schedule_clock(&s->schedule, loop_now(s->loop), loop_wall(s->loop));
	if (!answered)
		destination_failed(&s->schedule, d);
	else if (is_pressed(o->list, o->count))
		destination_pressed(&s->schedule, d, o->host);
	else
		destination_answered(&s->schedule, d, o->host);
}

/* An edge is not trusted to count: what it leaves out was not answered. */
static void judge(struct store *s, struct parcel *p, const struct msg_DELIVERED *m)
{
	static const struct span silence = SPAN_INIT("000 no answer");
	struct outcome list[PARCEL_TO_MAX];
	struct outcomes o = parcel_outcomes(p, list);
	struct span answers = m->answers;
	bool answered = false;

	o.told = m->dsn != 0;
	o.host = m->host;
	o.tls = m->tls;
	for (size_t i = 0; i < o.count; i++) {
		struct span a;

		if (!list_next(&answers, &a) || !is_answer(a))
			a = silence;
		answered = answered || a.p[0] != '0';
		list[i].kind = kind_of(a);
		list[i].answer = a;
	}
	note_destination(s, p->to, &o, answered);
	outcomes_put(s, &o);
}

static void end_delivery(struct store *s, struct job *j)
{
	deliver_over(s, j->parcel->to);
	free(j->parcel);
	job_free(s, j);
}

bool network_delivered(struct store *s, struct edge_link *e, const struct frame *f)
{
	struct msg_DELIVERED m;
	struct job *j;

	if (!msg_DELIVERED_unpack(f->bytes, &m))
		return false;
	j = s->jobs.list[m.job % JOBS_MAX];
	/* what it got from our predecessor, or what we gave up on, is no concern of ours */
	if (!j || j->number != m.job || j->edge != e->number ||
	    j->edge_generation != e->generation)
		return true;
	if (j->probe) {
		struct verify_ask *ask = j->probe;
		struct span answer;

		if (!list_next(&m.answers, &answer) || !is_answer(answer))
			answer = SPAN("000 no answer");
		job_free(s, j);
		verify_answered(s, ask, answer);
		return true;
	}
	judge(s, j->parcel, &m);
	end_delivery(s, j);
	return true;
}

/* It may have been delivered, or not: the next hop may see it again. */
static void lose(struct store *s, struct job *j)
{
	struct verify_ask *ask = j->probe;
	struct parcel *p = j->parcel;
	bool quick;

	if (ask) {
		job_free(s, j);
		verify_answered(s, ask, SPAN("000 the edge worker died"));
		return;
	}
	quick = p->rcpts[0].attempts < QUICK_TRIES;
	parcel_outcome(s, p, quick ? OUTCOME_BACK : OUTCOME_LATER, SPAN_NONE,
		       SPAN("000 the edge worker died"));
	end_delivery(s, j);
}

void network_lost(struct store *s, struct edge_link *e)
{
	for (size_t i = 0; s->jobs.count && i < JOBS_MAX; i++) {
		struct job *j = s->jobs.list[i];

		if (j && j->edge == e->number && j->edge_generation == e->generation)
			lose(s, j);
	}
}

void network_tick(struct store *s, ms_t now)
{
	for (size_t i = 0; s->jobs.count && i < JOBS_MAX; i++)
		if (s->jobs.list[i] && now - s->jobs.list[i]->since > JOB_MAX_AGE)
			lose(s, s->jobs.list[i]);
}
