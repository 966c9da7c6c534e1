/*
 * POP3 from our own Maildirs: the box of a session, which the store holds for it.
 *
 * The list comes once, as a sealed file that is mapped for as long as the session lasts;
 * messages come as descriptors, and are read in threads, a piece at a time: the next one
 * once the client has taken the last.
 *
 * When the store dies its boxes are gone. The session keeps what it knows; when it wants
 * something of its successor, the box is opened anew, and numbers of the first list become
 * those of the new one. What was to be removed when the store died is asked for again: what
 * is gone by then was removed.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "edge/box_list.h"
#include "edge/inside.h"

/* What is wanted of the store. */
enum wants { WANTS_NOTHING, WANTS_OPEN, WANTS_TEXT, WANTS_REMOVED };

struct box {
	struct edge *edge;
	struct conn *conn; /* NULL: given up while a thread was reading */
	uint64_t ask;
	bool held; /* the store has it for us, or will have */
	bool open; /* it has said so */
	enum wants wants;
	uint32_t number;   /* of the message that is wanted, by the first list */
	uint32_t *numbers; /* by the list of the store that is there now; NULL: the same */
	uint32_t now_count; /* of that list */
	struct session_backend opened;
	bool answered; /* the session has heard that */
	struct session_box seen;

	/* the message under way */
	int fd;	      /* -1: none */
	bool reading; /* a thread is */
	uint8_t *mem; /* a block of in_pool; NULL: none */
	size_t n, at;
	uint64_t offset;
	int error;
};

/* ---- what is sent ------------------------------------------------------------------------ */

/* If the link breaks over it, that is noticed, and its successor is asked again. */
static void send(struct edge *e)
{
	(void)!store_send(e);
}

static void send_open(struct edge *e, struct box *b, struct span login)
{
	struct msg_BOX_OPEN m = { .ask = b->ask,
				  .login = login,
				  .ticket = auth_ticket(b->conn) };

	b->held = true;
	msg_BOX_OPEN_pack(&m, link_begin(e->store.link));
	send(e);
}

static uint32_t number_now(const struct box *b, uint32_t number)
{
	return b->numbers ? b->numbers[number] : number;
}

static void send_read(struct edge *e, const struct box *b)
{
	struct msg_BOX_READ m = { .ask = b->ask, .number = number_now(b, b->number) };

	msg_BOX_READ_pack(&m, link_begin(e->store.link));
	send(e);
}

static void send_close(struct edge *e, struct box *b)
{
	struct msg_BOX_CLOSE m = { .ask = b->ask };

	if (!b->held || !e->store.link)
		return;
	b->held = b->open = false;
	msg_BOX_CLOSE_pack(&m, link_begin(e->store.link));
	send(e);
}

static bool is_marked(const struct box *b, uint32_t i)
{
	return b->seen.removed[i / 8] & 1u << i % 8;
}

static bool has_marks(const struct box *b)
{
	for (uint32_t i = 0; i < b->opened.count; i++)
		if (is_marked(b, i))
			return true;
	return false;
}

static void send_bits(struct edge *e, const struct box *b, struct span left)
{
	struct msg_BOX_REMOVE m = { .ask = b->ask };

	for (; left.n; left = span_skip(left, m.bits.n), m.from += (uint32_t)m.bits.n) {
		m.bits = span_head(left, LIST_FRAME_MAX);
		msg_BOX_REMOVE_pack(&m, link_begin(e->store.link));
		send(e);
	}
}

/*
 * What is marked, by the numbers of the list that the store has now; then that is all. False:
 * there is no memory for it.
 */
static bool send_removed(struct edge *e, struct box *b)
{
	size_t n = (b->now_count + 7) / 8;
	uint8_t *bits = calloc(n + 1, 1);

	if (!bits)
		return false;
	for (uint32_t i = 0; i < b->opened.count; i++) {
		uint32_t at = number_now(b, i);

		if (is_marked(b, i) && at != BOX_GONE)
			bits[at / 8] |= (uint8_t)(1u << at % 8);
	}
	if (has_marks(b))
		send_bits(e, b, span_of(bits, n));
	send_close(e, b);
	free(bits);
	return true;
}

/* ---- the list ------------------------------------------------------------------------------ */

/* The first one. False: it makes no sense, or there is no memory for it. */
static bool take_list(struct box *b, int fd)
{
	b->seen.removed = calloc(b->opened.count / 8 + 1, 1);
	b->now_count = b->opened.count;
	if (b->opened.count)
		b->seen.items = box_list_map(fd, b->opened.count);
	return b->seen.removed && (b->seen.items || b->opened.count == 0);
}

/* Another one, of another store: what was which is which now? */
static bool take_list_again(struct box *b, int fd, uint32_t count)
{
	const struct box_item *now = count ? box_list_map(fd, count) : NULL;

	if (count && !now)
		return false;
	free(b->numbers);
	b->numbers = box_list_match(b->seen.items, b->opened.count, now, count);
	b->now_count = count;
	box_list_unmap(now, count);
	return b->numbers != NULL;
}

/* ---- the message under way ------------------------------------------------------------------- */

static void drop_text(struct box *b)
{
	if (b->fd >= 0) {
		close(b->fd);
		b->edge->file_count--;
	}
	b->fd = -1;
	pool_give(&b->edge->in_pool, b->mem);
	b->mem = NULL;
	b->n = b->at = 0;
	b->offset = 0;
	b->seen.text_ends = b->seen.text_gone = b->seen.lost = false;
}

static void free_box(struct box *b)
{
	drop_text(b);
	box_list_unmap(b->seen.items, b->opened.count);
	free(b->numbers);
	free(b->seen.removed);
	free(b);
}

/* In a thread: a piece that is full, or the last one. */
static void run_read(void *arg)
{
	struct box *b = arg;

	b->n = 0;
	b->error = 0;
	while (b->n < IN_MAX) {
		ssize_t n = pread(b->fd, b->mem + b->n, IN_MAX - b->n, (off_t)b->offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			b->error = errno;
		if (n <= 0)
			break;
		b->n += (size_t)n;
		b->offset += (uint64_t)n;
	}
}

static void on_read(void *arg)
{
	struct box *b = arg;
	struct conn *c = b->conn;

	b->reading = false;
	if (!c) {
		free_box(b);
		return;
	}
	b->at = 0;
	b->seen.text_ends = b->n < IN_MAX;
	b->seen.text_gone = b->seen.lost = b->error != 0;
	if (b->error)
		report_trouble(c->edge, "box-read", strerror(b->error));
	if (c->waits == WAITS_READ)
		conn_answer(c, IN_TEXT, 0);
	else
		drop_text(b); /* it gave up waiting */
}

/* Read some more of it. False: there is no memory. */
static bool read_more(struct conn *c)
{
	struct box *b = c->box;

	if (!b->mem)
		b->mem = pool_take(&c->edge->in_pool);
	if (!b->mem || !work_run(c->edge->loop, run_read, on_read, b))
		return false;
	b->reading = true;
	c->waits = WAITS_READ;
	return true;
}

/* ---- what is wanted of the store ------------------------------------------------------------------ */

/* The session hears what came of it; at once, or after the step that is under way. */
static void answer(struct conn *c, bool at_once)
{
	struct box *b = c->box;
	enum session_in_kind kind = b->wants == WANTS_TEXT	? IN_TEXT
				    : b->wants == WANTS_REMOVED ? IN_REMOVED
								: IN_BACKEND;

	b->wants = WANTS_NOTHING;
	waiting_forget(c);
	if (at_once)
		conn_answer_soon(c, kind, 0);
	else
		conn_answer(c, kind, 0);
}

/* It cannot be had. */
static void give_up(struct conn *c, bool at_once)
{
	struct box *b = c->box;

	if (b->wants == WANTS_OPEN)
		b->opened = (struct session_backend){ .result = BACKEND_DOWN };
	b->seen.text_gone = b->seen.lost = true;
	b->seen.left = b->opened.count;
	answer(c, at_once);
}

/* The box is open: say what is wanted. */
static void ask(struct conn *c, bool at_once)
{
	struct box *b = c->box;

	if (b->wants == WANTS_TEXT && number_now(b, b->number) == BOX_GONE) {
		b->seen.text_gone = true;
		answer(c, at_once);
	} else if (b->wants == WANTS_TEXT) {
		send_read(c->edge, b);
	} else if (!send_removed(c->edge, b)) {
		give_up(c, at_once);
	}
}

/* Without a link it waits for one; the session knows how long. */
static void want(struct conn *c, enum wants what, bool at_once)
{
	struct edge *e = c->edge;
	struct box *b = c->box;

	b->wants = what;
	if (!b->held)
		b->ask = ++e->last_ask;
	waiting_for(c, WAITS_BOX, b->ask);
	if (!e->store.link && !e->storeless)
		return;
	if (!store_can_send(e))
		give_up(c, at_once);
	else if (b->open)
		ask(c, at_once);
	else
		send_open(e, b, session_login(&c->session));
}

/* ---- orders of a session ----------------------------------------------------------------------- */

bool box_open(struct conn *c)
{
	struct edge *e = c->edge;
	struct box *b = c->ticket && store_can_send(e) ? calloc(1, sizeof(*b)) : NULL;

	if (!b)
		return false;
	b->edge = e;
	b->conn = c;
	b->fd = -1;
	c->box = b;
	want(c, WANTS_OPEN, true);
	return true;
}

void box_text(struct conn *c, uint32_t number)
{
	struct box *b = c->box;

	if (b->fd < 0) {
		b->number = number;
		want(c, WANTS_TEXT, true);
	} else if (!read_more(c)) {
		b->wants = WANTS_TEXT;
		give_up(c, true);
	}
}

void box_remove(struct conn *c)
{
	struct box *b = c->box;

	if (b->held || has_marks(b))
		want(c, WANTS_REMOVED, true);
	else
		conn_answer_soon(c, IN_REMOVED,
				 0); /* its store is gone, and the lock with it */
}

void box_fill(struct conn *c, struct session_in *in)
{
	struct box *b = c->box;

	if (!b)
		return;
	if (in->kind == IN_BACKEND) {
		in->backend = &b->opened;
		b->answered = true;
	}
	if (b->seen.removed) {
		b->seen.text = b->mem && !b->reading
				       ? span_of(b->mem + b->at, b->n - b->at)
				       : SPAN_NONE;
		in->box = &b->seen;
	}
}

void box_settle(struct conn *c, const struct session_out *out)
{
	struct box *b = c->box;

	if (!b || b->reading)
		return;
	b->at += out->text_used;
	if (out->text_done || !session_reads_text(&c->session))
		drop_text(b);
	if (b->answered && b->opened.result != BACKEND_BOX)
		box_end(c);
}

void box_end(struct conn *c)
{
	struct box *b = c->box;

	if (!b)
		return;
	c->box = NULL;
	if (c->waits == WAITS_BOX || c->waits == WAITS_READ)
		waiting_forget(c);
	send_close(c->edge, b);
	b->conn = NULL;
	if (!b->reading)
		free_box(b);
}

/* ---- what comes back ---------------------------------------------------------------------------- */

static enum session_backend_result result_of(enum box_result how)
{
	static const enum session_backend_result results[BOX_RESULTS] = {
		[BOX_OPEN_OK] = BACKEND_BOX,
		[BOX_LOCKED] = BACKEND_LIMITS,
		[BOX_NONE] = BACKEND_DENIES,
		[BOX_FAILED] = BACKEND_DOWN,
	};

	return results[how];
}

static void take_first(struct conn *c, const struct msg_BOX_IS *m, int fd)
{
	struct box *b = c->box;

	b->opened = (struct session_backend){ .result = result_of(m->result),
					      .count = m->count,
					      .bytes = m->bytes };
	if (b->open && !take_list(b, fd)) {
		report_trouble(c->edge, "box",
			       "out of memory for a mailbox, or no list of one");
		b->opened = (struct session_backend){ .result = BACKEND_DOWN };
	}
	answer(c, false);
}

/* One that lasts as long as a session may: its store may be replaced. */
static void keep_ticket(struct conn *c, struct span ticket)
{
	if (ticket.n && c->ticket)
		memcpy(c->ticket, ticket.p, TICKET_SIZE);
}

static bool take_is(struct edge *e, struct frame *f)
{
	struct msg_BOX_IS m;
	struct conn *c;
	struct box *b;

	if (!msg_BOX_IS_unpack(f->bytes, &m) || m.result >= BOX_RESULTS ||
	    m.count > BOX_MESSAGES_MAX || m.bytes > INT64_MAX ||
	    (m.ticket.n && m.ticket.n != TICKET_SIZE))
		return false;
	c = waiting_find(e, m.ask, WAITS_BOX);
	if (!c || c->box->open)
		return true; /* it has gone, and said so */
	b = c->box;
	b->open = b->held = m.result == BOX_OPEN_OK;
	if (b->open)
		keep_ticket(c, m.ticket);
	if (b->wants == WANTS_OPEN)
		take_first(c, &m, f->fds[0]);
	else if (b->open && take_list_again(b, f->fds[0], m.count))
		ask(c, false);
	else
		give_up(c, false);
	return true;
}

static bool take_text(struct edge *e, struct frame *f)
{
	struct msg_BOX_TEXT m;
	struct conn *c;
	struct box *b;

	if (!msg_BOX_TEXT_unpack(f->bytes, &m))
		return false;
	c = waiting_find(e, m.ask, WAITS_BOX);
	if (!c || c->box->wants != WANTS_TEXT)
		return true;
	b = c->box;
	b->seen.lost = f->lost || (f->fds[0] >= 0 && !ports_have_descriptor(e));
	if (f->fds[0] >= 0 && !b->seen.lost) {
		b->fd = frame_take_fd(f, 0);
		e->file_count++;
		waiting_forget(c);
		if (read_more(c)) {
			b->wants = WANTS_NOTHING;
			return true;
		}
		b->seen.lost = true;
	}
	b->seen.text_gone = true;
	answer(c, false);
	return true;
}

static bool take_closed(struct edge *e, struct frame *f)
{
	struct msg_BOX_CLOSED m;
	struct conn *c;

	if (!msg_BOX_CLOSED_unpack(f->bytes, &m))
		return false;
	c = waiting_find(e, m.ask, WAITS_BOX);
	if (!c || c->box->wants != WANTS_REMOVED)
		return true;
	c->box->seen.left = m.left;
	answer(c, false);
	return true;
}

bool box_take(struct edge *e, struct frame *f)
{
	if (f->kind == MSG_BOX_IS)
		return take_is(e, f);
	if (f->kind == MSG_BOX_TEXT)
		return take_text(e, f);
	return take_closed(e, f);
}

/* ---- the link ------------------------------------------------------------------------------------ */

void box_link_lost(struct edge *e)
{
	for (struct conn *c = e->conns; c; c = c->next)
		if (c->box)
			c->box->held = c->box->open = false;
}

/* Who waits for the store asks its successor, or hears that there is none. */
void box_link_set(struct edge *e)
{
	struct conn *next;

	for (struct conn *c = e->conns; c; c = next) {
		next = c->next;
		if (!c->box || c->waits != WAITS_BOX)
			continue;
		waiting_forget(c);
		want(c, c->box->wants, false);
	}
}
