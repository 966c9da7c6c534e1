#include "edge/relay.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"

/* ---- pipes ------------------------------------------------------------------------------ */

void relays_init(struct relays *all, void *scratch)
{
	*all = (struct relays){ .scratch = scratch };
	pool_init(&all->blocks, RELAY_BLOCK, 64);
}

static void drop_pipe(struct relays *all, struct relay_pipe *p)
{
	close(p->fd[0]);
	close(p->fd[1]);
	free(p);
	all->pipes--;
}

void relays_close(struct relays *all)
{
	while (all->spare) {
		struct relay_pipe *p = all->spare;

		all->spare = p->next;
		drop_pipe(all, p);
	}
	all->spares = 0;
	pool_close(&all->blocks);
}

/* A user may only have so many pages in pipes (pipe(7)): a small one is good, too. */
static size_t enlarge(int fd)
{
	int room = fcntl(fd, F_SETPIPE_SZ, (int)RELAY_PIPE);

	if (room < 0)
		room = fcntl(fd, F_GETPIPE_SZ);
	return room > 0 ? (size_t)room : 4096;
}

static struct relay_pipe *make_pipe(struct relays *all)
{
	struct relay_pipe *p;

	if (all->pipes >= RELAY_PIPES)
		return NULL;
	p = malloc(sizeof(*p));
	if (!p)
		return NULL;
	if (pipe2(p->fd, O_NONBLOCK | O_CLOEXEC) != 0) {
		free(p);
		return NULL;
	}
	p->room = enlarge(p->fd[0]);
	all->pipes++;
	return p;
}

static struct relay_pipe *borrow_pipe(struct relays *all)
{
	struct relay_pipe *p = all->spare;

	if (!p)
		return make_pipe(all);
	all->spare = p->next;
	all->spares--;
	return p;
}

/* One with bytes in it is nobody else's. */
static void give_pipe(struct relays *all, struct relay_way *w)
{
	struct relay_pipe *p = w->pipe;

	w->pipe = NULL;
	if (!p)
		return;
	if (w->in_pipe || all->spares >= RELAY_SPARE) {
		w->in_pipe = 0;
		drop_pipe(all, p);
		return;
	}
	p->next = all->spare;
	all->spare = p;
	all->spares++;
}

/* ---- one way ---------------------------------------------------------------------------- */

static void give_block(struct relays *all, struct relay_way *w)
{
	pool_give(&all->blocks, w->block);
	w->block = NULL;
	w->at = w->n = 0;
}

static void drop_pending(struct relays *all, struct relay_way *w)
{
	give_block(all, w);
	give_pipe(all, w);
}

/* Nobody takes what comes this way any more. */
static void stop_way(struct relays *all, struct relay_way *w)
{
	drop_pending(all, w);
	w->ended = w->shut = true;
}

static bool is_plain(const struct relay_way *w)
{
	return !w->from->ssl && !w->to->ssl;
}

static bool keep(struct relays *all, struct relay_way *w, struct span left)
{
	if (!left.n)
		return true;
	BUG_IF(left.n > RELAY_BLOCK || w->block);
	w->block = pool_take(&all->blocks);
	if (!w->block)
		return false;
	memcpy(w->block, left.p, left.n);
	w->at = 0;
	w->n = (uint16_t)left.n;
	return true;
}

static enum stream_got flush_block(struct relays *all, struct relay_way *w)
{
	enum stream_got got;
	struct span left;

	if (!w->block)
		return STREAM_GOT;
	left = span_of(w->block + w->at, (size_t)(w->n - w->at));
	got = stream_write(w->to, &left);
	w->at = (uint16_t)(w->n - left.n);
	if (got == STREAM_GOT)
		give_block(all, w);
	return got;
}

/* GOT: nothing is pending. */
static enum stream_got flush(struct relays *all, struct relay_way *w)
{
	enum stream_got got = flush_block(all, w);

	if (got == STREAM_GOT && w->in_pipe)
		got = stream_splice_out(w->to, w->pipe->fd[0], &w->in_pipe);
	return got;
}

/* The pipe is empty, so that AGAIN means that there is nothing to read. */
static enum stream_got take_bulk(struct relaying *r, struct relay_way *w)
{
	struct relays *all = r->all;
	size_t n = 0;
	enum stream_got got;

	if (!w->pipe)
		w->pipe = borrow_pipe(all);
	if (!w->pipe) {
		w->bulk = false;
		return STREAM_GOT;
	}
	got = stream_splice_in(w->from, w->pipe->fd[1], w->pipe->room, &n);
	w->in_pipe = n;
	w->bytes += n;
	if (n)
		imap_answers_missed(&r->answers);
	if (got == STREAM_GOT)
		w->bulk = n >= RELAY_BLOCK;
	return got;
}

/* What POP3 says is not followed: there, no word of ours would be expected anywhere. */
static void follow(struct relaying *r, const struct relay_way *w, struct span said)
{
	if (!r->imap)
		return;
	if (w == &r->down)
		imap_answers_see(&r->answers, said);
	else
		imap_answers_asked(&r->answers, said);
}

static enum stream_got take_some(struct relaying *r, struct relay_way *w)
{
	struct relays *all = r->all;
	size_t n = 0;
	enum stream_got got = stream_read(w->from, all->scratch, RELAY_BLOCK, &n);
	struct span left = span_of(all->scratch, n);

	if (got != STREAM_GOT)
		return got;
	w->bytes += n;
	follow(r, w, left);
	w->bulk = n == RELAY_BLOCK && is_plain(w);
	(void)stream_write(w->to, &left); /* if it is broken, the next flush finds out */
	return keep(all, w, left) ? STREAM_GOT : STREAM_BROKEN;
}

static enum stream_got take(struct relaying *r, struct relay_way *w)
{
	return w->bulk ? take_bulk(r, w) : take_some(r, w);
}

/* ---- both ways -------------------------------------------------------------------------- */

static void pass_end_on(struct relays *all, struct relay_way *w)
{
	drop_pending(all, w);
	w->ended = w->shut = true;
	stream_finish(w->to);
}

enum moved { MOVED, STUCK, BROKEN_FROM, BROKEN_TO };

/* Write what is pending, then read once. */
static enum moved move(struct relaying *r, struct relay_way *w)
{
	struct relays *all = r->all;

	if (w->shut)
		return STUCK;
	switch (flush(all, w)) {
	case STREAM_AGAIN:
		return STUCK;
	case STREAM_GOT:
		break;
	case STREAM_EOF:
	case STREAM_BROKEN:
		return BROKEN_TO;
	}
	switch (take(r, w)) {
	case STREAM_GOT:
		return MOVED;
	case STREAM_AGAIN:
		give_pipe(all, w);
		return STUCK;
	case STREAM_EOF:
		pass_end_on(all, w);
		return MOVED;
	case STREAM_BROKEN:
		break;
	}
	return BROKEN_FROM;
}

/*
 * What the server has said is still passed on when it takes nothing more; a client that is
 * gone ends everything.
 */
static bool move_up(struct relaying *r)
{
	enum moved m = move(r, &r->up);

	if (m == BROKEN_FROM)
		r->reset = true;
	if (m == BROKEN_TO)
		stop_way(r->all, &r->up);
	return m == MOVED;
}

static bool move_down(struct relaying *r)
{
	enum moved m = move(r, &r->down);

	if (m == BROKEN_TO)
		r->reset = true;
	if (m == BROKEN_FROM)
		pass_end_on(r->all, &r->down);
	if (r->down.ended && !r->up.ended)
		r->server_first = true;
	return m == MOVED;
}

static bool is_over(const struct relaying *r)
{
	return r->reset || (r->down.shut && r->up.ended);
}

enum relay_result relay_go_on(struct relaying *r)
{
	const uint64_t enough = r->up.bytes + r->down.bytes + RELAY_AT_ONCE;
	bool more = true;

	while (more && !is_over(r)) {
		if (r->up.bytes + r->down.bytes >= enough)
			return RELAY_MORE;
		more = move_up(r);
		more = move_down(r) || more;
	}
	if (is_over(r))
		return RELAY_OVER;
	return r->down.shut ? RELAY_LEAVES : RELAY_WAITS;
}

bool relay_between_answers(const struct relaying *r)
{
	const struct relay_way *w = &r->down;

	return r->imap && imap_answers_between(&r->answers) && !w->block && !w->in_pipe &&
	       !w->ended && !r->reset;
}

bool relay_begin(struct relaying *r, struct relays *all, struct stream *client,
		 struct span from_client, struct span from_server)
{
	r->all = all;
	r->up = (struct relay_way){ .from = client, .to = &r->server };
	r->down = (struct relay_way){ .from = &r->server, .to = client };
	stream_no_delay(client);
	stream_no_delay(&r->server);
	follow(r, &r->up, from_client);
	follow(r, &r->down, from_server);
	return keep(all, &r->up, from_client) && keep(all, &r->down, from_server);
}

void relay_end(struct relaying *r)
{
	if (r->all) {
		drop_pending(r->all, &r->up);
		drop_pending(r->all, &r->down);
	}
	stream_close(&r->server);
}
