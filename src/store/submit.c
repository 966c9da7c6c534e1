#include "store/submit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/id.h"
#include "store/enqueue.h"
#include "store/inner.h"
#include "store/notify.h"
#include "store/sign.h"
#include "store/spool.h"
#include "wire/address.h"
#include "wire/dsn.h"

/*
 * A message comes in: what the edge says of it is checked, its file is synced, it is signed,
 * and then it goes on to enqueue.c.
 */

#define EARLY_BYTES_MAX ((size_t)64 << 20)
#define EARLY_MAX	256 /* transactions of one edge with early recipients */

/* More than smtp.header-max can be; no edge of ours takes a header that is longer. */
#define HEADER_CEILING ((size_t)17 << 20)

/* ---- what the edge says ---- */

static bool is_path(struct span text, bool sender)
{
	struct address a;

	if (text.n == 0)
		return sender;
	return address_parse(text, &a) ||
	       (!sender && span_eq_nocase(text, SPAN("postmaster")));
}

static bool are_paths(struct span list)
{
	struct span item;

	while (list_next(&list, &item)) {
		struct notify n;

		if (!is_path(span_cut(&item, '\t'), false) || !notify_parse(item, &n))
			return false;
	}
	return true;
}

/* It goes into the line that a next hop is told. */
static bool is_xtext(struct span envid)
{
	uint8_t mem[ENVID_MAX];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	return dsn_xtext_parse(envid, &out);
}

static bool is_sane(const struct edge_link *e, const struct msg_SUBMIT *m,
		    const struct early_rcpts *early, struct err *err)
{
	size_t count = list_count(m->rcpts) + (early ? early->count : 0);

	if (id_number(m->id) != e->number)
		return err_set(err, "edge %u submitted an id that is not its own",
			       e->number);
	if (m->rcpt_count != count || count == 0 || count > RECIPIENTS_CEILING)
		return err_set(err, "edge %u submitted %zu recipients and said %u",
			       e->number, count, m->rcpt_count);
	if (m->spooled > 1 || (m->spooled && m->body.n) ||
	    (!m->spooled && m->body.n != m->size) || m->size == 0)
		return err_set(err,
			       "edge %u submitted a body of another size than it said",
			       e->number);
	if (!is_path(m->sender, true) || !are_paths(m->rcpts))
		return err_set(err, "edge %u submitted what is not an address", e->number);
	if (!is_xtext(m->envid))
		return err_set(err, "edge %u submitted what is not an ENVID", e->number);
	return true;
}

/*
 * Who is it, as far as it matters? Nobody vouches for strangers. Who came over a socket that
 * a reload has closed has to come again.
 */
static struct vouched vouched(const struct store *s, const struct edge_link *e,
			      const struct msg_SUBMIT *m, const struct frame *f)
{
	const struct claim c = { e->number, m->login, m->ticket, f->fds[0] };
	uint32_t flags = believable(s->conf, m->flags);

	if (f->lost) /* its socket, for which there was no number here: a failure for now */
		return (struct vouched){ .says = TICKET_LATE };
	if (flags & MAIL_LOCAL)
		return vouch_program(s, &c);
	if (flags & MAIL_AUTH && !(m->flags & MAIL_LOCAL))
		return vouch_login(s, &c);
	return (struct vouched){ .says = m->flags & MAIL_LOCAL ? TICKET_LATE
							       : TICKET_GOOD };
}

/* ---- from whom ---- */

/* Does that setting (submission.senders, .from) bind who sends this? */
static bool binds(const struct store *s, const struct msg_SUBMIT *m,
		  const struct vouched *v, int policy)
{
	return policy == SENDERS_OWN && !v->any_sender &&
	       believable(s->conf, m->flags) & (MAIL_AUTH | MAIL_LOCAL);
}

/* The edge has asked the same, or should have: an alias may be gone since then. */
static enum submitted judged(struct store *s, unsigned edge, const struct msg_SUBMIT *m,
			     enum verdict v)
{
	if (v == VERDICT_YES)
		return SUBMITTED_OK;
	if (v != VERDICT_NO)
		return SUBMITTED_FAILED;
	trouble_log(s, "edge", "edge %u submitted mail of %.*s with an address of others",
		    edge, SPAN_ARG(m->login));
	return SUBMITTED_NOT_OWN;
}

static enum submitted judge_from(struct store *s, unsigned edge,
				 const struct msg_SUBMIT *m, const struct vouch_from *from)
{
	const struct origin_said o = { m->login, m->sender, from };

	return judged(s, edge, m, vouch_from(s, &o));
}

static enum submitted judge_body(struct store *s, unsigned edge,
				 const struct msg_SUBMIT *m)
{
	struct vouch_from from;

	vouch_from_init(&from);
	vouch_from_scan(&from, m->body);
	return judge_from(s, edge, m, &from);
}

/* What can be said at once: not From, of a body in a file. */
static enum submitted judge_origin(struct store *s, unsigned edge,
				   const struct msg_SUBMIT *m, const struct vouched *v)
{
	const struct origin_said o = { m->login, m->sender, NULL };
	enum submitted how = SUBMITTED_OK;

	if (v->says == TICKET_LATE)
		return SUBMITTED_FAILED;
	if (binds(s, m, v, s->conf->set.senders))
		how = judged(s, edge, m, vouch_sender(s, &o));
	if (how != SUBMITTED_OK || m->spooled || !binds(s, m, v, s->conf->set.from_field))
		return how;
	return judge_body(s, edge, m);
}

static struct early_rcpts **find_early(struct store *s, uint64_t generation, uint64_t id,
				       uint64_t nonce)
{
	struct early_rcpts **at = &s->early;

	while (*at && !((*at)->generation == generation && (*at)->id == id &&
			(*at)->nonce == nonce))
		at = &(*at)->next;
	return at;
}

static struct early_rcpts *unlink_early(struct store *s, struct early_rcpts **at)
{
	struct early_rcpts *e = *at;

	if (e) {
		*at = e->next;
		s->early_bytes -= e->cap;
	}
	return e;
}

static void free_early(struct early_rcpts *e)
{
	if (e)
		free(e->list);
	free(e);
}

/* ---- before the commit that promises it: its file is on disk, its signatures are made ---- */

/*
 * Is there nobody any more who could write to it? An edge of ours has closed it, and what is
 * looked at, signed and promised from here on must stay as it is. The kernel tells by lending
 * a lease (fcntl(2)), where its file system knows of leases.
 */
static bool is_closed(int fd)
{
	if (fcntl(fd, F_SETLEASE, F_RDLCK) != 0)
		return errno != EAGAIN;
	return fcntl(fd, F_SETLEASE, F_UNLCK) == 0;
}

/* False: it cannot be read. A header without an end in sight names nobody. */
static bool read_from(int fd, struct vouch_from *from)
{
	uint8_t mem[16384];
	ssize_t n = 1;

	for (size_t at = 0; n > 0 && from->header.at != HEADER_OVER; at += (size_t)n) {
		if (at > HEADER_CEILING) {
			from->text.full = true;
			return true;
		}
		n = pread(fd, mem, sizeof(mem), (off_t)at);
		if (n > 0)
			vouch_from_scan(from, span_of(mem, (size_t)n));
	}
	return n >= 0;
}

static void run_sync(void *arg)
{
	struct syncing *y = arg;
	int fd = spool_read(y->store, y->id);
	struct msg_SUBMIT m;
	struct stat st;

	y->good = fd >= 0 && msg_SUBMIT_unpack(span_of(y->frame, y->n), &m) &&
		  is_closed(fd) && fstat(fd, &st) == 0 && (uint64_t)st.st_size == m.size &&
		  (!y->binds_from || read_from(fd, &y->from)) && fsync(fd) == 0 &&
		  fsync(y->store->spool_dir) == 0;
	if (fd >= 0)
		close(fd);
}

static void put_at_last(struct syncing *y, struct span prefix)
{
	struct syncing **at = &y->store->syncing;
	struct store *s = y->store;
	const struct coming c = {
		.edge = y->edge,
		.generation = y->generation,
		.frame = span_of(y->frame, y->n),
		.early = y->early,
		.prefix = prefix,
		.held = y->held,
		.refused = !y->good			? SUBMITTED_FAILED
			   : y->refused != SUBMITTED_OK ? y->refused
			   : s->full			? SUBMITTED_NO_ROOM
							: SUBMITTED_OK,
	};

	while (*at != y)
		at = &(*at)->next;
	*at = y->next;
	enqueue(s, &c);
	free_early(y->early);
	free(y);
}

static void on_signed(void *arg, struct span prefix)
{
	put_at_last(arg, prefix);
}

static void sign(struct syncing *y)
{
	struct sign_wish wish = { .id = y->id };
	struct msg_SUBMIT m;

	if (msg_SUBMIT_unpack(span_of(y->frame, y->n), &m)) {
		wish.flags = believable(y->store->conf, m.flags);
		wish.body = m.body;
		wish.spooled = m.spooled != 0;
	}
	if (!y->good || y->refused != SUBMITTED_OK ||
	    !sign_start(y->store, &wish, on_signed, y))
		put_at_last(y, SPAN_NONE);
}

static void on_synced(void *arg)
{
	struct syncing *y = arg;
	struct msg_SUBMIT m;

	if (y->good && y->binds_from && msg_SUBMIT_unpack(span_of(y->frame, y->n), &m))
		y->refused = judge_from(y->store, y->edge, &m, &y->from);
	sign(y);
}

static bool is_signed(const struct store *s, const struct msg_SUBMIT *m)
{
	return s->conf->dkim_count > 0 &&
	       believable(s->conf, m->flags) & (MAIL_AUTH | MAIL_LOCAL);
}

static void put_later(struct store *s, struct edge_link *e, const struct msg_SUBMIT *m,
		      struct span frame, const struct vouched *v,
		      struct early_rcpts *early)
{
	struct syncing *y = malloc(sizeof(*y) + frame.n);

	if (y) {
		*y = (struct syncing){
			.next = s->syncing,
			.store = s,
			.generation = e->generation,
			.edge = e->number,
			.id = m->id,
			.good = true,
			.held = v->held,
			.binds_from = m->spooled && binds(s, m, v, s->conf->set.from_field),
			.early = early,
			.n = frame.n,
		};
		vouch_from_init(&y->from);
		memcpy(y->frame, frame.p, frame.n);
		if (!m->spooled || work_run(s->loop, run_sync, on_synced, y)) {
			s->syncing = y;
			if (!m->spooled)
				sign(y);
			return;
		}
	}
	free(y);
	free_early(early);
	submit_answer(s, e->number, e->generation, m->id, m->nonce, SUBMITTED_FAILED);
}

/* It makes sense, and is who it says it is. */
static void take(struct store *s, struct edge_link *e, const struct msg_SUBMIT *m,
		 struct span frame, const struct vouched *v, struct early_rcpts *early)
{
	enum submitted refused = judge_origin(s, e->number, m, v);
	struct coming c = {
		.edge = e->number,
		.generation = e->generation,
		.frame = frame,
		.early = early,
		.held = v->held,
		.refused = refused == SUBMITTED_OK && s->full ? SUBMITTED_NO_ROOM
							      : refused,
	};

	if (refused == SUBMITTED_OK && (m->spooled || is_signed(s, m))) {
		put_later(s, e, m, frame, v, early);
		return;
	}
	enqueue(s, &c);
	free_early(early);
}

bool submit(struct store *s, struct edge_link *e, const struct frame *f, struct err *err)
{
	struct early_rcpts *early;
	struct vouched v;
	struct msg_SUBMIT m;
	bool sane;

	if (!msg_SUBMIT_unpack(f->bytes, &m))
		return err_set(err, "edge %u sent a submit that is not one", e->number);
	early = unlink_early(s, find_early(s, e->generation, m.id, m.nonce));
	v = vouched(s, e, &m, f);
	sane = is_sane(e, &m, early, err);
	if (sane && v.says == TICKET_FORGED)
		sane = err_set(err, "edge %u submitted in a name that nobody vouches for",
			       e->number);
	if (sane)
		take(s, e, &m, f->bytes, &v, early);
	else
		free_early(early);
	return sane;
}

/* ---- early recipients ---- */

static bool add_early(struct store *s, struct early_rcpts *r, struct span list)
{
	if (list.n > r->cap - r->n) {
		size_t cap = r->cap + list.n > 2 * r->cap ? r->cap + list.n : 2 * r->cap;
		uint8_t *more;

		if (cap > ENVELOPE_MAX)
			cap = ENVELOPE_MAX;
		if (list.n > cap - r->n || s->early_bytes + cap - r->cap > EARLY_BYTES_MAX)
			return false;
		more = realloc(r->list, cap);
		if (!more)
			return false;
		s->early_bytes += cap - r->cap;
		r->list = more;
		r->cap = cap;
	}
	memcpy(r->list + r->n, list.p, list.n);
	r->n += list.n;
	r->count += list_count(list);
	return true;
}

bool submit_rcpts(struct store *s, struct edge_link *e, const struct frame *f,
		  struct err *err)
{
	struct msg_SUBMIT_RCPTS m;
	struct early_rcpts **at;
	size_t others = 0;

	if (!msg_SUBMIT_RCPTS_unpack(f->bytes, &m) || m.rcpts.n == 0 ||
	    !are_paths(m.rcpts))
		return err_set(err, "edge %u sent recipients that are none", e->number);
	at = find_early(s, e->generation, m.id, m.nonce);
	for (struct early_rcpts *r = s->early; r; r = r->next)
		others += r->generation == e->generation;
	if (!*at) {
		if (others < EARLY_MAX)
			*at = calloc(1, sizeof(**at));
		if (!*at)
			return err_set(err, "edge %u has too many envelopes open",
				       e->number);
		(*at)->generation = e->generation;
		(*at)->id = m.id;
		(*at)->nonce = m.nonce;
	}
	return add_early(s, *at, m.rcpts) ||
	       err_set(err, "edge %u sent too many recipients", e->number);
}

void submit_forget(struct store *s, const struct edge_link *e)
{
	struct early_rcpts **at = &s->early;

	while (*at)
		if ((*at)->generation == e->generation)
			free_early(unlink_early(s, at));
		else
			at = &(*at)->next;
}

/* ---- given up ---- */

struct op_drop {
	struct op op;
	uint64_t id, nonce;
};

/* Only the file of a message that was not stored: an edge cannot delete what we promised. */
static bool run_drop(struct op *op, struct tools *t, struct err *err)
{
	struct op_drop *o = (struct op_drop *)op;
	enum queue_put put;

	if (!queue_known(t->queue, o->id, o->nonce, &put, err))
		return false;
	tools_gone(t, o->id, put == QUEUE_PUT);
	return true;
}

static void done_drop(struct op *op, struct batch *batch)
{
	(void)op;
	(void)batch;
}

bool submit_dropped(struct store *s, struct edge_link *e, const struct frame *f,
		    struct err *err)
{
	struct msg_SPOOL_DROP m;
	struct op_drop *o;

	if (!msg_SPOOL_DROP_unpack(f->bytes, &m) || id_number(m.id) != e->number)
		return err_set(err, "edge %u gave up what it never had", e->number);
	free_early(unlink_early(s, find_early(s, e->generation, m.id, m.nonce)));
	for (struct syncing *y = s->syncing; y; y = y->next)
		if (y->id == m.id)
			return true;
	o = writer_take(s->writer, sizeof(*o));
	if (!o)
		return true; /* an orphan, then */
	o->op = (struct op){
		.on = OP_QUEUE, .lazy = true, .run = run_drop, .done = done_drop
	};
	o->id = m.id;
	o->nonce = m.nonce;
	writer_put(s->writer, &o->op);
	return true;
}
