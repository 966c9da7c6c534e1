/*
 * Memory for transactions: envelopes and bodies on their way in.
 *
 * All of it together stays within queue.body-memory, each edge with its share. A body
 * that outgrows its block, or comes when the share is spent, goes through a file that the
 * store makes; a thread writes to it, because a disk may take its time.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bug.h"
#include "edge/inside.h"

/* ---- the budget --------------------------------------------------------------------------- */

static bool affordable(const struct edge *e, size_t more)
{
	return e->letter_memory + (int64_t)more <= e->letter_memory_max;
}

static void charge(struct conn *c, size_t now)
{
	int64_t more = (int64_t)now - c->charged;

	if (!more)
		return;
	c->charged += more;
	c->edge->letter_memory += more;
	pulse_gauge(c->edge->pulse, GAUGE_BODY_BYTES, more);
}

/* ---- blocks --------------------------------------------------------------------------------- */

_Static_assert(LETTER_FROM == ENVELOPE_FIRST, "one pool for both");

static struct pool *pool_of(struct edge *e, size_t cap)
{
	switch (cap) {
	case ENVELOPE_FIRST:
		return &e->envelope_pool;
	case BODY_POOR:
		return &e->poor_pool;
	case BODY_FIRST:
		return &e->body_pool;
	case BODY_FULL:
		return &e->full_pool;
	default:
		return NULL;
	}
}

static void *block_take(struct edge *e, size_t cap)
{
	struct pool *p = pool_of(e, cap);

	return p ? pool_take(p) : malloc(cap);
}

static void block_give(struct edge *e, struct buf *b)
{
	struct pool *p = pool_of(e, b->cap);

	if (p)
		pool_give(p, b->mem);
	else
		free(b->mem);
	buf_init(b, NULL, 0);
}

static bool lend(struct edge *e, struct buf *b, size_t cap)
{
	void *mem = block_take(e, cap);

	if (mem)
		buf_init(b, mem, cap);
	return mem != NULL;
}

static bool grow(struct conn *c, struct buf *b, size_t cap)
{
	struct edge *e = c->edge;
	struct buf larger;

	if (!affordable(e, cap - b->cap) || !lend(e, &larger, cap))
		return false;
	buf_put(&larger, buf_span(b));
	block_give(e, b);
	*b = larger;
	return true;
}

bool letter_lend(struct conn *c)
{
	struct edge *e = c->edge;
	struct letter *l = &c->letter;

	if (!l->envelope.mem && !lend(e, &l->envelope, ENVELOPE_FIRST))
		return false;
	if (!l->body.mem)
		if (!lend(e, &l->body, affordable(e, BODY_FIRST) ? BODY_FIRST : BODY_POOR))
			return false;
	if (!l->from.mem && session_checks_from(&c->session))
		return lend(e, &l->from, LETTER_FROM);
	return true;
}

void letter_give_back(struct conn *c)
{
	if (c->letter.envelope.mem)
		block_give(c->edge, &c->letter.envelope);
	if (c->letter.body.mem)
		block_give(c->edge, &c->letter.body);
	if (c->letter.from.mem)
		block_give(c->edge, &c->letter.from);
	charge(c, 0);
}

void letter_settle(struct conn *c)
{
	if (c->waits == WAITS_NOT && !session_has_letter(&c->session))
		letter_give_back(c);
	else
		charge(c,
		       c->letter.envelope.cap + c->letter.body.cap + c->letter.from.cap);
}

/* ---- room ----------------------------------------------------------------------------------- */

static bool envelope_is_tight(const struct conn *c)
{
	const struct letter *l = &c->letter;

	return l->body.len == 0 && buf_room(&l->envelope) < session_item_room(&c->session);
}

static bool grow_envelope(struct conn *c)
{
	struct buf *b = &c->letter.envelope;
	size_t cap = b->cap * 4;

	return b->cap < ENVELOPE_MAX &&
	       grow(c, b, cap < ENVELOPE_MAX ? cap : ENVELOPE_MAX);
}

static void write_body(struct conn *c, enum conn_waits why);

void letter_make_room(struct conn *c)
{
	struct buf *body = &c->letter.body;

	if (envelope_is_tight(c))
		conn_answer_soon(c, grow_envelope(c) ? IN_ROOM : IN_NO_ROOM, 0);
	else if (!c->spool && body->cap < BODY_FULL && grow(c, body, BODY_FULL))
		conn_answer_soon(c, IN_ROOM, 0);
	else if (!c->spool)
		store_ask_spool(c);
	else
		write_body(c, WAITS_WRITE);
}

/* ---- files ---------------------------------------------------------------------------------- */

static void spool_shut(struct spool *s)
{
	if (s->fd < 0)
		return;
	s->edge->file_count--;
	close(s->fd);
	s->fd = -1;
}

static void spool_close(struct spool **spool)
{
	struct spool *s = *spool;

	*spool = NULL;
	spool_shut(s);
	free(s);
}

/* In a thread. */
static void run_write(void *arg)
{
	struct spool *s = arg;
	struct span left = buf_span(&s->body);

	s->error = 0;
	while (left.n && !s->error) {
		ssize_t n = write(s->fd, left.p, left.n);

		if (n >= 0)
			left = span_skip(left, (size_t)n);
		else if (errno != EINTR)
			s->error = errno;
	}
}

static void write_failed(struct conn *c, int error)
{
	if (error != ENOSPC && error != EDQUOT)
		report_trouble(c->edge, "spool-write", strerror(error));
	conn_answer(c, c->session.phase == PHASE_SUBMIT ? IN_SUBMITTED : IN_NO_ROOM,
		    SUBMITTED_NO_ROOM);
}

static void on_written(void *arg)
{
	struct spool *s = arg;
	struct conn *c = s->conn;
	enum conn_waits why;

	if (!c) { /* given up meanwhile; the block came with us */
		block_give(s->edge, &s->body);
		spool_close(&s);
		return;
	}
	s->body.mem = NULL;
	why = c->waits;
	c->waits = WAITS_NOT;
	buf_reset(&c->letter.body);
	if (s->error)
		write_failed(c, s->error);
	else if (why == WAITS_FINAL)
		store_submit(c);
	else
		conn_answer(c, IN_ROOM, 0);
}

static void write_body(struct conn *c, enum conn_waits why)
{
	c->spool->body = c->letter.body;
	c->waits = why;
	if (work_run(c->edge->loop, run_write, on_written, c->spool))
		return;
	c->spool->body.mem = NULL;
	if (why == WAITS_FINAL)
		conn_answer_soon(c, IN_SUBMITTED, SUBMITTED_FAILED);
	else
		conn_answer_soon(c, IN_NO_ROOM, 0);
}

void letter_write_rest(struct conn *c)
{
	write_body(c, WAITS_FINAL);
}

void letter_written(struct conn *c)
{
	if (c->spool)
		spool_shut(c->spool);
}

bool letter_spool(struct conn *c, int fd)
{
	struct spool *s = fd >= 0 && ports_have_descriptor(c->edge) ? calloc(1, sizeof(*s))
								    : NULL;

	if (!s) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	c->edge->file_count++;
	s->edge = c->edge;
	s->conn = c;
	s->fd = fd;
	c->spool = s;
	write_body(c, WAITS_WRITE);
	conn_go_on(c);
	return true;
}

void letter_drop_spool(struct conn *c)
{
	struct spool *s = c->spool;

	if (!s)
		return;
	c->spool = NULL;
	if (!s->body.mem) {
		spool_close(&s);
		return;
	}
	/* the thread is still writing: the block is its own from here */
	s->conn = NULL;
	buf_init(&c->letter.body, NULL, 0);
}
