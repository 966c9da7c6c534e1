#include "store/remember.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guard/snapshot.h"
#include "link/seal.h"
#include "store/inner.h"

/* Edges that die while they merge may die of what they merge. */
#define TELL_TIMES 3
/* What one transaction stores: others wait for it. */
#define PARTS_ONCE 16

struct remember {
	struct store *store;
	bool has_memory;
	struct memory memory;
	uint64_t life; /* of it */
	ms_t next;     /* copy */
	bool busy;
	bool last_is_due; /* we are draining: another copy is to be made, the last one */
	/* the copy under way */
	uint8_t *mem;
	size_t room, n;
	size_t stored; /* of it */
	ms_t now;
	int64_t wall;
	struct state_memory last; /* that is whole in the database */
	/* the last copy of an earlier life, until an edge has merged it; -1: none */
	int fd;
	struct edge_link *told; /* who is doing it */
	uint32_t strange;	/* edges that have another memory, a bit each */
	unsigned times;
};

/* ---- copying and storing ------------------------------------------------------------------- */

struct op_remember {
	struct op op;
	struct remember *r;
};

static struct span next_parts(const struct remember *r)
{
	return span_head(span_skip(span_of(r->mem, r->n), r->stored),
			 (size_t)PARTS_ONCE * STATE_PART);
}

static struct state_memory next_head(const struct remember *r)
{
	return (struct state_memory){ .life = r->life,
				      .parts = (r->n + STATE_PART - 1) / STATE_PART,
				      .half = !r->last.half };
}

/* Only what the loop leaves alone until done_store(). */
static bool run_store(struct op *op, struct tools *t, struct err *err)
{
	const struct remember *r = ((struct op_remember *)op)->r;
	struct state_memory head = next_head(r);

	if (r->stored == r->n)
		return state_end_memory(t->state, &head, err);
	return state_put_memory(t->state, head.half, r->stored / STATE_PART,
				next_parts(r), err);
}

static void forget_copy(struct remember *r)
{
	free(r->mem);
	r->mem = NULL;
	r->n = r->room = r->stored = 0;
	r->busy = false;
}

static void store_next(struct remember *r);
static void begin(struct remember *r);

/* If it failed, the last one still counts; the next one is tried when it is time. */
static void done_store(struct op *op, struct batch *batch)
{
	struct remember *r = ((struct op_remember *)op)->r;

	(void)batch;
	if (op->committed && r->stored < r->n) {
		r->stored += next_parts(r).n;
		store_next(r);
		return;
	}
	if (op->committed)
		r->last = next_head(r);
	forget_copy(r);
	if (r->last_is_due)
		begin(r);
}

static void store_next(struct remember *r)
{
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
	if (s->draining)
		writer_hurry(s->writer);
}

static void on_copied(void *arg)
{
	store_next(arg);
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

	/* what an earlier life knew is not thrown away before somebody else knows it */
	if (!r->has_memory || r->busy || r->fd >= 0)
		return;
	r->last_is_due = false;
	r->now = loop_now(s->loop);
	r->wall = loop_wall(s->loop);
	r->next = r->now + s->conf->set.guard_snapshot;
	r->busy = work_run(s->loop, copy, on_copied, r);
}

static void tell_another(struct remember *r);

void remember_tick(struct remember *r)
{
	ms_t now = loop_now(r->store->loop);

	if (now >= r->next)
		begin(r);
	if (r->fd >= 0 && !r->told)
		tell_another(r);
	/* the interval may have become shorter */
	if (r->next > now + r->store->conf->set.guard_snapshot)
		r->next = now + r->store->conf->set.guard_snapshot;
}

/* One that is under way, or that waits for a merge, knows too little. */
void remember_drain(struct remember *r)
{
	r->last_is_due = true;
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

static bool read_pieces(struct store *s, const struct state_memory *last,
			struct pieces *p, struct err *err)
{
	p->fd = memfd_create("holdfast-remember", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (p->fd < 0)
		return err_set(err, "memfd: %s", strerror(errno));
	if (!state_each_memory(s->state, last, on_piece, p, err))
		return false;
	if (p->failed || !seal_memory(p->fd))
		return err_set(err, "no memory for the last snapshot: %s",
			       strerror(errno));
	return true;
}

/* Without it the guard starts empty, which is no reason not to start. */
static int read_last(struct store *s, const struct state_memory *last)
{
	struct pieces p = { .fd = -1 };
	struct err err;

	if (read_pieces(s, last, &p, &err) && p.bytes > 0)
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

static void forget_last(struct remember *r)
{
	close(r->fd);
	r->fd = -1;
	r->told = NULL;
	/* now what they know together is stored */
	r->next = loop_now(r->store->loop);
	if (r->last_is_due)
		begin(r);
}

static void tell(struct remember *r, struct edge_link *e)
{
	struct msg_REMEMBER m = { .life = r->life };

	if (r->times++ == TELL_TIMES) {
		trouble_log(r->store, "guard",
			    "%d edges ended while they merged the last snapshot of its "
			    "memory, or could not: it is given up",
			    TELL_TIMES);
		forget_last(r);
		return;
	}
	msg_REMEMBER_pack(&m, link_begin(e->link));
	if (link_send(e->link, &r->fd, 1))
		r->told = e;
	else
		r->times--; /* that was no try */
	edges_sent(e);
}

void remember_meet(struct remember *r, struct edge_link *e)
{
	r->strange &= ~(UINT32_C(1) << e->number);
	if (r->fd >= 0 && !r->told)
		tell(r, e);
}

/* The next one that is there; if there is none, the next one that comes. */
static void tell_another(struct remember *r)
{
	r->told = NULL;
	for (unsigned i = 0; i < EDGES_MAX && r->fd >= 0 && !r->told; i++) {
		struct edge_link *e = &r->store->edges[i];

		if (e->link && !(r->strange & UINT32_C(1) << i))
			tell(r, e);
	}
}

void remember_lost(struct remember *r, const struct edge_link *e)
{
	if (r && r->told == e)
		tell_another(r);
}

void remember_untaken(struct remember *r, const struct edge_link *e)
{
	if (r->told != e)
		return;
	r->told = NULL;
	r->times--;
}

bool remember_told(struct remember *r, struct edge_link *e, const struct frame *f)
{
	struct msg_REMEMBERED m;

	if (!msg_REMEMBERED_unpack(f->bytes, &m))
		return false;
	/* it may have been told by the store before us, too, and say it twice */
	if (r->told != e)
		return true;
	if (m.life == r->life) {
		forget_last(r);
		return true;
	}
	/* one of the program before an upgrade, which has the memory of that one */
	r->strange |= UINT32_C(1) << e->number;
	r->times--;
	tell_another(r);
	return true;
}

/* ---- life ---------------------------------------------------------------------------------- */

bool remember_open(struct remember **out, struct store *s, struct err *err)
{
	struct remember *r = calloc(1, sizeof(*r));
	const struct start_mapping *m = &s->start->guard;
	struct err why;

	if (!r)
		return err_set(err, "out of memory");
	r->store = s;
	r->fd = -1;
	r->next = loop_now(s->loop) + s->conf->set.guard_snapshot;
	*out = r;
	r->has_memory = m->mem && memory_open(&r->memory, m->mem, m->n, 0);
	if (m->mem && !r->has_memory)
		trouble_log(s, "guard", "its memory is of another version: no snapshots");
	if (!r->has_memory)
		return true;
	r->life = memory_life(&r->memory);
	if (!state_get_memory(s->state, &r->last, &why))
		trouble_log(s, "guard", "the last snapshot of its memory: %s", why.text);
	if (r->last.parts && r->last.life != r->life)
		r->fd = read_last(s, &r->last);
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
