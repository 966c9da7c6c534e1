#include "store/remember.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guard/snapshot.h"
#include "store/inner.h"

#define TELL_FOR MS_MINUTE

struct remember {
	struct store *store;
	bool has_memory;
	struct memory memory;
	ms_t next; /* copy */
	bool busy;
	/* the copy under way */
	uint8_t *mem;
	size_t room, n;
	ms_t now;
	int64_t wall;
	/* the last copy of an earlier life; -1: none, or told */
	int fd;
	ms_t told_until;
};

/* ---- copying and storing ------------------------------------------------------------------- */

struct op_remember {
	struct op op;
	struct remember *r;
};

static bool run_store(struct op *op, struct tools *t, struct err *err)
{
	struct remember *r = ((struct op_remember *)op)->r;

	return state_put_memory(t->state, span_of(r->mem, r->n), err);
}

static void forget_copy(struct remember *r)
{
	free(r->mem);
	r->mem = NULL;
	r->n = r->room = 0;
	r->busy = false;
}

static void done_store(struct op *op, struct batch *batch)
{
	(void)batch;
	forget_copy(((struct op_remember *)op)->r);
}

static void on_copied(void *arg)
{
	struct remember *r = arg;
	struct store *s = r->store;
	struct op_remember *o = r->n ? writer_take(s->writer, sizeof(*o)) : NULL;

	if (!o) {
		trouble_log(s, "guard", "no memory for a snapshot of %zu bytes", r->room);
		forget_copy(r);
		return;
	}
	o->r = r;
	o->op = (struct op){ .on = OP_STATE, .run = run_store, .done = done_store };
	writer_put(s->writer, &o->op);
}

/* In a thread: the memory may be large, and is not ours alone. */
static void copy(void *arg)
{
	struct remember *r = arg;
	struct buf out;

	r->room = snapshot_room(&r->memory);
	r->mem = malloc(r->room ? r->room : 1);
	if (!r->mem)
		return;
	buf_init(&out, r->mem, r->room);
	if (snapshot_write(&r->memory, r->now, r->wall, &out))
		r->n = out.len;
}

static void begin(struct remember *r)
{
	struct store *s = r->store;

	if (!r->has_memory || r->busy)
		return;
	r->now = loop_now(s->loop);
	r->wall = loop_wall(s->loop);
	r->next = r->now + s->conf->set.guard_snapshot;
	r->busy = work_run(s->loop, copy, on_copied, r);
}

void remember_tick(struct remember *r)
{
	ms_t now = loop_now(r->store->loop);

	if (now >= r->next)
		begin(r);
	/* the interval may have become shorter */
	if (r->next > now + r->store->conf->set.guard_snapshot)
		r->next = now + r->store->conf->set.guard_snapshot;
	if (r->fd >= 0 && now >= r->told_until) {
		close(r->fd);
		r->fd = -1;
	}
}

void remember_drain(struct remember *r)
{
	begin(r);
}

bool remember_busy(const struct remember *r)
{
	return r->busy;
}

/* ---- an earlier life ------------------------------------------------------------------------ */

struct pieces {
	int fd;
	size_t bytes;
	bool failed;
};

static void on_piece(void *arg, struct span piece)
{
	struct pieces *p = arg;

	while (piece.n && !p->failed) {
		ssize_t n = write(p->fd, piece.p, piece.n);

		p->failed = n <= 0;
		if (n > 0) {
			piece = span_skip(piece, (size_t)n);
			p->bytes += (size_t)n;
		}
	}
}

static bool read_pieces(struct store *s, struct pieces *p, struct err *err)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

	p->fd = memfd_create("holdfast-remember", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (p->fd < 0)
		return err_set(err, "memfd: %s", strerror(errno));
	if (!state_each_memory(s->state, on_piece, p, err))
		return false;
	if (p->failed || fcntl(p->fd, F_ADD_SEALS, seals) != 0)
		return err_set(err, "no memory for the last snapshot: %s",
			       strerror(errno));
	return true;
}

/* Without it the guard starts empty, which is no reason not to start. */
static int read_last(struct store *s)
{
	struct pieces p = { .fd = -1 };
	struct err err;

	if (read_pieces(s, &p, &err) && p.bytes > 0)
		return p.fd;
	if (p.fd >= 0 && p.bytes == 0 && !p.failed) {
		close(p.fd);
		return -1;
	}
	trouble_log(s, "guard", "the last snapshot of its memory cannot be read: %s",
		    err.text);
	if (p.fd >= 0)
		close(p.fd);
	return -1;
}

void remember_tell(struct remember *r, struct edge_link *e)
{
	struct msg_REMEMBER m = { .wall = loop_wall(r->store->loop) };

	if (r->fd < 0)
		return;
	msg_REMEMBER_pack(&m, link_begin(e->link));
	if (!link_send(e->link, &r->fd, 1))
		trouble_log(r->store, "edge", "edge %u was not given the guard's memory",
			    e->number);
	edges_sent(e);
}

/* ---- life ---------------------------------------------------------------------------------- */

bool remember_open(struct remember **out, struct store *s, struct err *err)
{
	struct remember *r = calloc(1, sizeof(*r));
	const struct start_mapping *m = &s->start->guard;

	if (!r)
		return err_set(err, "out of memory");
	r->store = s;
	r->fd = -1;
	r->next = loop_now(s->loop) + s->conf->set.guard_snapshot;
	r->told_until = loop_now(s->loop) + TELL_FOR;
	r->has_memory = m->mem && memory_open(&r->memory, m->mem, m->n, 0);
	if (m->mem && !r->has_memory)
		trouble_log(s, "guard", "its memory is of another version: no snapshots");
	if (r->has_memory && m->fresh)
		r->fd = read_last(s);
	*out = r;
	return true;
}

void remember_close(struct remember **r)
{
	if (!*r)
		return;
	if ((*r)->fd >= 0)
		close((*r)->fd);
	free((*r)->mem);
	free(*r);
	*r = NULL;
}
