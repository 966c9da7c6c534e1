/*
 * POP3 from our own Maildirs: the box of a session, which the store holds for it.
 *
 * The list comes once, as a sealed file that is mapped for as long as the session lasts;
 * messages come as descriptors, and are read in threads, a piece at a time: the next one
 * once the client has taken the last. When the store dies its lock dies with it: what was
 * read so far may be said to its end, and nothing is removed any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "edge/inside.h"

struct box {
	struct edge *edge;
	struct conn *conn; /* NULL: given up while a thread was reading */
	uint64_t ask;
	bool held; /* the store has it for us, or will have */
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

static bool send_open(struct edge *e, const struct box *b, struct span login)
{
	struct msg_BOX_OPEN m = { .ask = b->ask, .login = login };

	if (!store_can_send(e))
		return false;
	msg_BOX_OPEN_pack(&m, link_begin(e->store.link));
	return store_send(e);
}

static bool send_read(struct edge *e, const struct box *b, uint32_t number)
{
	struct msg_BOX_READ m = { .ask = b->ask, .number = number };

	if (!b->held || !store_can_send(e))
		return false;
	msg_BOX_READ_pack(&m, link_begin(e->store.link));
	return store_send(e);
}

static bool send_close(struct edge *e, struct box *b)
{
	struct msg_BOX_CLOSE m = { .ask = b->ask };

	if (!b->held || !e->store.link)
		return false;
	b->held = false;
	msg_BOX_CLOSE_pack(&m, link_begin(e->store.link));
	return store_send(e);
}

static bool send_removed(struct edge *e, const struct box *b)
{
	struct span left = span_of(b->seen.removed, (b->opened.count + 7) / 8);
	struct msg_BOX_REMOVE m = { .ask = b->ask };

	if (!b->held || !store_can_send(e))
		return false;
	for (; left.n; left = span_skip(left, m.bits.n), m.from += (uint32_t)m.bits.n) {
		m.bits = span_head(left, LIST_FRAME_MAX);
		msg_BOX_REMOVE_pack(&m, link_begin(e->store.link));
		if (!store_send(e))
			return false;
	}
	return true;
}

/* ---- the list ------------------------------------------------------------------------------ */

static bool is_item_ok(const struct box_item *item)
{
	if (item->uid_n == 0 || item->uid_n > BOX_UID_MAX || item->size > INT64_MAX)
		return false;
	for (size_t i = 0; i < item->uid_n; i++)
		if (item->uid[i] < 0x21 || item->uid[i] > 0x7e)
			return false;
	return true;
}

static size_t list_bytes(const struct box *b)
{
	return b->opened.count * sizeof(struct box_item);
}

/* Map it, if it cannot change or become shorter under our hands. */
static bool map_list(struct box *b, int fd)
{
	int seals = fcntl(fd, F_GET_SEALS), wanted = F_SEAL_SHRINK | F_SEAL_WRITE;
	size_t n = list_bytes(b);
	struct stat st;
	void *mem;

	if (seals < 0 || (seals & wanted) != wanted || fstat(fd, &st) != 0 ||
	    (size_t)st.st_size != n)
		return false;
	mem = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return false;
	b->seen.items = mem;
	for (uint32_t i = 0; i < b->opened.count; i++)
		if (!is_item_ok(&b->seen.items[i]))
			return false;
	return true;
}

/* False: it makes no sense, or there is no memory for it. */
static bool take_list(struct box *b, int fd)
{
	b->seen.removed = calloc(b->opened.count / 8 + 1, 1);
	if (!b->seen.removed)
		return false;
	return b->opened.count == 0 || map_list(b, fd);
}

/* ---- the message under way ------------------------------------------------------------------- */

static void drop_text(struct box *b)
{
	if (b->fd >= 0)
		close(b->fd);
	b->fd = -1;
	pool_give(&b->edge->in_pool, b->mem);
	b->mem = NULL;
	b->n = b->at = 0;
	b->offset = 0;
	b->seen.text_ends = b->seen.text_gone = false;
}

static void free_box(struct box *b)
{
	drop_text(b);
	if (b->seen.items)
		munmap((void *)(uintptr_t)b->seen.items, list_bytes(b));
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
	b->seen.text_gone = b->error != 0;
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

/* ---- orders of a session ----------------------------------------------------------------------- */

bool box_open(struct conn *c)
{
	struct edge *e = c->edge;
	struct box *b = calloc(1, sizeof(*b));

	if (!b)
		return false;
	b->edge = e;
	b->conn = c;
	b->fd = -1;
	b->ask = ++e->last_ask;
	if (!send_open(e, b, session_login(&c->session))) {
		free(b);
		return false;
	}
	b->held = true;
	c->box = b;
	waiting_for(c, WAITS_BOX, b->ask);
	return true;
}

void box_text(struct conn *c, uint32_t number)
{
	struct box *b = c->box;

	if (b->fd >= 0 && read_more(c))
		return;
	if (b->fd < 0 && send_read(c->edge, b, number)) {
		waiting_for(c, WAITS_BOX, b->ask);
		return;
	}
	b->seen.text_gone = true;
	conn_answer_soon(c, IN_TEXT, 0);
}

void box_remove(struct conn *c)
{
	struct box *b = c->box;

	if (send_removed(c->edge, b) && send_close(c->edge, b)) {
		waiting_for(c, WAITS_BOX, b->ask);
		return;
	}
	b->seen.left = b->opened.count;
	conn_answer_soon(c, IN_REMOVED, 0);
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
		b->seen.text = span_of(b->mem ? b->mem + b->at : NULL, b->n - b->at);
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
	(void)send_close(c->edge, b);
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

static bool take_is(struct edge *e, struct frame *f)
{
	struct msg_BOX_IS m;
	struct conn *c;
	struct box *b;

	if (!msg_BOX_IS_unpack(f->bytes, &m) || m.result >= BOX_RESULTS ||
	    m.count > BOX_MESSAGES_MAX || m.bytes > INT64_MAX)
		return false;
	c = waiting_find(e, m.ask, WAITS_BOX);
	if (!c)
		return true; /* it has gone, and said so */
	b = c->box;
	b->opened = (struct session_backend){ .result = result_of(m.result),
					      .count = m.count,
					      .bytes = m.bytes };
	b->held = m.result == BOX_OPEN_OK;
	if (b->held && !take_list(b, f->fds[0])) {
		report_trouble(e, "box", "out of memory for a mailbox, or no list of one");
		b->opened.result = BACKEND_DOWN;
	}
	waiting_forget(c);
	conn_answer(c, IN_BACKEND, 0);
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
	if (!c)
		return true;
	b = c->box;
	waiting_forget(c);
	b->fd = f->fds[0];
	f->fds[0] = -1;
	if (b->fd >= 0 && read_more(c))
		return true;
	b->seen.text_gone = true;
	conn_answer(c, IN_TEXT, 0);
	return true;
}

static bool take_closed(struct edge *e, struct frame *f)
{
	struct msg_BOX_CLOSED m;
	struct conn *c;

	if (!msg_BOX_CLOSED_unpack(f->bytes, &m))
		return false;
	c = waiting_find(e, m.ask, WAITS_BOX);
	if (!c)
		return true;
	c->box->seen.left = m.left;
	waiting_forget(c);
	conn_answer(c, IN_REMOVED, 0);
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

static void lost_while_waiting(struct conn *c)
{
	struct box *b = c->box;

	waiting_forget(c);
	if (c->session.phase == PHASE_BACKEND) {
		b->opened.result = BACKEND_DOWN;
		conn_answer(c, IN_BACKEND, 0);
		return;
	}
	b->seen.text_gone = true;
	b->seen.left = b->opened.count;
	conn_answer(c, session_reads_text(&c->session) ? IN_TEXT : IN_REMOVED, 0);
}

void box_link_lost(struct edge *e)
{
	struct conn *next;

	for (struct conn *c = e->conns; c; c = next) {
		next = c->next;
		if (!c->box)
			continue;
		c->box->held = false;
		if (c->waits == WAITS_BOX)
			lost_while_waiting(c);
	}
}
