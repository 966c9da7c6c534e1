/*
 * The link to the store: questions, files and messages, and what comes back.
 *
 * A session that waits for the store is in edge->waiting, and its letter stays where it
 * is until the answer. So when the store dies, all that was asked is simply asked again
 * of its successor: the same id with the same nonce is the same message, however often
 * it is submitted.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/list.h"
#include "base/rcptmap.h"
#include "base/siphash.h"
#include "edge/inside.h"

static void answer(struct conn *c, enum session_in_kind kind, uint8_t value)
{
	waiting_forget(c);
	conn_answer(c, kind, value);
}

void store_next_id(struct conn *c)
{
	struct edge *e = c->edge;

	c->next_id = id_next(&e->ids, loop_wall(e->loop));
	e->nonces++;
	c->nonce = siphash(e->key, span_of(&e->nonces, sizeof(e->nonces)));
}

/* ---- what is sent ----------------------------------------------------------------------- */

bool store_can_send(const struct edge *e)
{
	return e->store.link && !link_full(e->store.link);
}

void store_sent(void *edge)
{
	struct edge *e = edge;

	if (e->store.link)
		watch_mask(&e->store.watch,
			   WATCH_READ | (link_waiting(e->store.link) ? WATCH_WRITE : 0));
}

bool store_send(struct edge *e)
{
	bool sent = link_send(e->store.link, NULL, 0);

	store_sent(e);
	return sent;
}

void store_remembered(struct edge *e, size_t rows, size_t torn)
{
	struct msg_REMEMBERED m = { .life = memory_life(&e->guard.memory),
				    .rows = (uint32_t)rows,
				    .torn = (uint32_t)torn };

	/* a store that comes instead of one that is gone asks again */
	if (!e->store.link)
		return;
	msg_REMEMBERED_pack(&m, link_begin(e->store.link));
	if (!store_send(e))
		store_link_lost(e);
}

/* Cut whole items worth at most one frame off the front of a list. */
static struct span cut_rcpts(struct span *list)
{
	struct span rest = *list, item;
	const uint8_t *start = list->p;
	size_t n = 0;

	while (list_next(&rest, &item) && (size_t)(rest.p - start) <= LIST_FRAME_MAX)
		n = (size_t)(rest.p - start);
	*list = span_skip(*list, n);
	return span_of(start, n);
}

static bool send_rcpts(struct conn *c, struct span *rcpts)
{
	while (rcpts->n > LIST_FRAME_MAX) {
		struct msg_SUBMIT_RCPTS m = {
			.id = c->id,
			.nonce = c->nonce,
			.rcpts = cut_rcpts(rcpts),
		};

		msg_SUBMIT_RCPTS_pack(&m, link_begin(c->edge->store.link));
		if (!store_send(c->edge))
			return false;
	}
	return true;
}

/* Behind the sender: "ENVID=...", or nothing. */
static struct span envid_of(struct span item)
{
	struct span params = session_item_params(item);

	return span_skip(params, span_find(params, '=') + 1);
}

/* Of a program of this machine the store asks the kernel who it is. */
static bool send_with_socket(struct conn *c)
{
	bool sent;
	int fd;

	if (!session_is_local(&c->session))
		return store_send(c->edge);
	fd = stream_show(&c->stream);
	sent = fd >= 0 && link_send(c->edge->store.link, &fd, 1);
	store_sent(c->edge);
	return sent;
}

static bool send_submit(struct conn *c)
{
	const struct session *s = &c->session;
	struct span rcpts = buf_span(&c->letter.envelope), first;
	struct msg_SUBMIT m = {
		.id = c->id,
		.nonce = c->nonce,
		.flags = s->flags,
		.size = s->body_size,
		.wall = loop_wall(c->edge->loop),
		.peer = s->peer,
		.listener = rules_listener(c),
		.helo = span_of(s->helo, s->helo_n),
		.login = session_login(s),
		.ticket = auth_ticket(c),
		.spooled = c->spool != NULL,
		.body = c->spool ? SPAN_NONE : buf_span(&c->letter.body),
	};

	BUG_IF(!list_next(&rcpts, &first));
	m.sender = session_item_address(first);
	m.envid = envid_of(first);
	m.rcpt_count = (uint32_t)list_count(rcpts);
	if (!send_rcpts(c, &rcpts))
		return false;
	m.rcpts = rcpts;
	msg_SUBMIT_pack(&m, link_begin(c->edge->store.link));
	return send_with_socket(c);
}

static bool send_spool_open(struct conn *c)
{
	struct msg_SPOOL_OPEN m = { .id = c->id, .nonce = c->nonce };

	msg_SPOOL_OPEN_pack(&m, link_begin(c->edge->store.link));
	return store_send(c->edge);
}

static void send_drop(struct conn *c)
{
	struct msg_SPOOL_DROP m = { .id = c->id, .nonce = c->nonce };

	if (!c->edge->store.link)
		return; /* the file is an orphan, which the store removes in time */
	msg_SPOOL_DROP_pack(&m, link_begin(c->edge->store.link));
	(void)!store_send(c->edge);
}

/* Ask for what it waits for; if that cannot be sent now, it will be when it can. */
static void ask(struct conn *c)
{
	bool sent = store_can_send(c->edge) &&
		    (c->waits == WAITS_SPOOL ? send_spool_open(c) : send_submit(c));

	waiting_set_unsent(c, !sent);
}

/* There is room on the link, or a new link. */
static void ask_unsent(struct edge *e)
{
	for (size_t i = 0; i < WAITING_BUCKETS && e->unsent; i++)
		for (struct conn *c = e->waiting[i]; c && store_can_send(e);
		     c = c->next_waiting)
			if (c->is_unsent)
				ask(c);
}

/* ---- orders of a session ---------------------------------------------------------------- */

/* The first item of the envelope is the sender; of a bounce it is empty. */
static bool is_bounce(const struct conn *c)
{
	struct span list = buf_span(&c->letter.envelope), sender;

	return list_next(&list, &sender) && session_item_address(sender).n == 0;
}

void store_verify(struct conn *c, struct span address)
{
	struct edge *e = c->edge;
	struct msg_VERIFY m = {
		.ask = ++e->last_ask,
		.bounce = is_bounce(c),
		.address = address,
	};

	if (!store_can_send(e)) {
		conn_answer_soon(c, IN_VERDICT, VERDICT_UNKNOWN);
		return;
	}
	msg_VERIFY_pack(&m, link_begin(e->store.link));
	if (store_send(e))
		waiting_for(c, WAITS_VERDICT, m.ask);
	else
		conn_answer_soon(c, IN_VERDICT, VERDICT_UNKNOWN);
}

void store_may_send(struct conn *c, struct span address)
{
	struct edge *e = c->edge;
	struct msg_MAY_SEND m = {
		.ask = ++e->last_ask,
		.login = session_login(&c->session),
		.ticket = auth_ticket(c),
		.address = address,
	};

	if (!store_can_send(e)) {
		conn_answer_soon(c, IN_VERDICT, VERDICT_UNKNOWN);
		return;
	}
	msg_MAY_SEND_pack(&m, link_begin(e->store.link));
	if (send_with_socket(c))
		waiting_for(c, WAITS_VERDICT, m.ask);
	else
		conn_answer_soon(c, IN_VERDICT, VERDICT_UNKNOWN);
}

void store_submit(struct conn *c)
{
	if (c->spool && c->letter.body.len) {
		letter_write_rest(c);
		return;
	}
	letter_written(c);
	waiting_for(c, WAITS_SUBMITTED, c->id);
	ask(c);
}

void store_ask_spool(struct conn *c)
{
	waiting_for(c, WAITS_SPOOL, c->id);
	ask(c);
}

void store_drop(struct conn *c)
{
	bool submitted = c->waits == WAITS_SUBMITTED && !c->is_unsent;
	bool asked = c->spool || (c->waits == WAITS_SPOOL && !c->is_unsent);

	if (asked && !submitted)
		send_drop(c);
	waiting_forget(c);
	letter_drop_spool(c);
}

/* ---- what comes back -------------------------------------------------------------------- */

/* Map it for reading. NULL: it is not a map, or could become shorter under our hands. */
static void *map_recipients(int fd, size_t *n)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *mem;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) != 0 ||
	    st.st_size <= 0)
		return NULL;
	*n = (size_t)st.st_size;
	mem = mmap(NULL, *n, PROT_READ, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return NULL;
	if (rcptmap_ok(mem, *n))
		return mem;
	munmap(mem, *n);
	return NULL;
}

static bool take_recipients(struct edge *e, struct frame *f)
{
	struct msg_RECIPIENTS m;
	size_t n;
	void *mem;

	if (!msg_RECIPIENTS_unpack(f->bytes, &m))
		return false;
	if (link_lost(e->store.link, f)) {
		e->recipients_stale = true;
		return true;
	}
	mem = map_recipients(f->fds[0], &n);
	if (!mem)
		return false;
	/* steps are synchronous: nobody is looking at the old one */
	if (e->recipients.n)
		munmap((void *)(uintptr_t)e->recipients.p, e->recipients.n);
	e->recipients = span_of(mem, n);
	e->recipients_stale = false;
	ports_accept(e, true);
	return true;
}

static bool take_storage(struct edge *e, struct frame *f)
{
	struct msg_STORAGE m;

	if (!msg_STORAGE_unpack(f->bytes, &m))
		return false;
	e->storage_full = m.full;
	return true;
}

static bool take_verdict(struct edge *e, struct frame *f)
{
	struct msg_VERDICT m;
	struct conn *c;

	if (!msg_VERDICT_unpack(f->bytes, &m) || m.verdict >= VERDICT_ASK)
		return false;
	c = waiting_find(e, m.ask, WAITS_VERDICT);
	if (c)
		answer(c, IN_VERDICT, m.verdict);
	return true;
}

static bool take_spool(struct edge *e, struct frame *f)
{
	struct msg_SPOOL m;
	struct conn *c;

	if (!msg_SPOOL_unpack(f->bytes, &m))
		return false;
	c = waiting_find(e, m.id, WAITS_SPOOL);
	if (!c || c->nonce != m.nonce)
		return true;
	waiting_forget(c);
	if (!letter_spool(c, frame_take_fd(f, 0))) {
		send_drop(c); /* the file, if there is one */
		conn_answer(c, IN_NO_ROOM, 0);
	}
	return true;
}

static bool take_submitted(struct edge *e, struct frame *f)
{
	struct msg_SUBMITTED m;
	struct conn *c;

	if (!msg_SUBMITTED_unpack(f->bytes, &m) || m.result >= SUBMITTED_COUNT)
		return false;
	c = waiting_find(e, m.id, WAITS_SUBMITTED);
	if (!c || c->nonce != m.nonce)
		return true;
	if (m.result == SUBMITTED_TAKEN)
		m.result = SUBMITTED_FAILED; /* the trace field has the id: try another time */
	waiting_forget(c);
	if (c->spool && m.result != SUBMITTED_OK)
		send_drop(c); /* the file, which may be what fills the disk */
	letter_drop_spool(c);
	conn_answer(c, IN_SUBMITTED, m.result);
	return true;
}

static bool take_located(struct edge *e, struct frame *f)
{
	struct msg_LOCATED m;

	if (!msg_LOCATED_unpack(f->bytes, &m))
		return false;
	mailbox_located(e, m.ask, m.name);
	return true;
}

static bool take(struct edge *e, struct frame *f)
{
	switch (f->kind) {
	case MSG_RECIPIENTS:
		return take_recipients(e, f);
	case MSG_STORAGE:
		return take_storage(e, f);
	case MSG_VERDICT:
		return take_verdict(e, f);
	case MSG_SPOOL:
		return take_spool(e, f);
	case MSG_SUBMITTED:
		return take_submitted(e, f);
	case MSG_BOX_IS:
	case MSG_BOX_TEXT:
	case MSG_BOX_CLOSED:
		return box_take(e, f);
	case MSG_LOCATED:
		return take_located(e, f);
	case MSG_REMEMBER:
		return edge_guard_take_memory(e, f);
	case MSG_DELIVER:
	case MSG_PROBE:
		return deliveries_take(e->deliveries, f);
	default:
		return false;
	}
}

static void on_link(void *arg, unsigned ready)
{
	struct edge *e = arg;

	if ((ready & WATCH_WRITE && !link_flush(e->store.link)) ||
	    !edge_receive(e, &e->store, "store-link", take)) {
		store_link_lost(e);
		timer_set(&e->stranded, loop_now(e->loop) + STRANDED_AFTER);
		return;
	}
	if (e->unsent)
		ask_unsent(e);
	deliveries_go_on(e->deliveries);
	store_sent(e);
}

/* ---- the link itself -------------------------------------------------------------------- */

/* Questions are answered now, for nobody will; all else is asked again later. */
static void let_wait(struct edge *e)
{
	for (size_t i = 0; i < WAITING_BUCKETS; i++) {
		struct conn *next;

		for (struct conn *c = e->waiting[i]; c; c = next) {
			next = c->next_waiting;
			if (c->waits == WAITS_VERDICT)
				answer(c, IN_VERDICT, VERDICT_UNKNOWN);
			else if (c->waits == WAITS_SPOOL || c->waits == WAITS_SUBMITTED)
				waiting_set_unsent(c, true);
		}
	}
}

void store_link_lost(struct edge *e)
{
	if (!e->store.link)
		return;
	watch_stop(&e->store.watch);
	deliveries_link(e->deliveries, NULL);
	link_close(&e->store.link);
	let_wait(e);
	box_link_lost(e);
	mailbox_not_located(e);
}

void store_tell_leaves(struct edge *e)
{
	const struct msg_LEAVES m = { 0 };

	if (!e->draining || !e->store.link)
		return;
	msg_LEAVES_pack(&m, link_begin(e->store.link));
	(void)!store_send(e); /* a broken link shows when it is read */
}

void store_link_set(struct edge *e, struct link *link)
{
	store_link_lost(e);
	timer_stop(&e->stranded);
	e->store.link = link;
	e->storeless = false;
	if (!watch_start(e->loop, &e->store.watch, link_fd(link), WATCH_READ, on_link, e)) {
		report_trouble(e, "store-link", "cannot be watched");
		store_link_lost(e);
		return;
	}
	store_tell_leaves(e);
	deliveries_link(e->deliveries, link);
	ask_unsent(e);
	box_link_set(e);
}
