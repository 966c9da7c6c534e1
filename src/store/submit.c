#include "store/submit.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/id.h"
#include "base/number.h"
#include "crypt/ticket.h"
#include "store/enqueue.h"
#include "store/inner.h"
#include "store/sign.h"
#include "store/spool.h"
#include "wire/address.h"

/*
 * A message comes in: what the edge says of it is checked, its file is synced, it is signed,
 * and then it goes on to enqueue.c.
 */

#define EARLY_BYTES_MAX ((size_t)64 << 20)
#define EARLY_MAX	256 /* transactions of one edge with early recipients */

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
	return true;
}

/* "www-data@mx.example.org", "uid1234@...", as edge/ports.c prints them. */
static bool is_program(const struct conf *conf, struct span login)
{
	size_t at = span_find_last(login, '@');
	struct span name = span_head(login, at), host = span_skip(login, at + 1);
	const char *ours = *conf->set.hostname ? conf->set.hostname : "localhost";
	uint64_t uid;

	if (at == login.n || !span_eq_nocase(host, span_str(ours)))
		return false;
	for (uint32_t i = 0; i < conf->local_user_count; i++)
		if (span_eq(name, span_str(conf->local_users[i].name)))
			return true;
	return span_starts(name, SPAN("uid")) &&
	       number_parse(span_skip(name, 3), UINT32_MAX, &uid);
}

/*
 * Has auth vouched for the account that it names? Who came over a socket of this machine is
 * what only the edge can say, but no account of ours; a reload may have renamed it since.
 */
static enum ticket_says vouched(const struct store *s, const struct edge_link *e,
				const struct msg_SUBMIT *m)
{
	const struct ticket t = { TICKET_MAIL, e->number, m->login };
	uint32_t flags = believable(s->conf, m->flags);

	if (flags & MAIL_LOCAL)
		return !m->login.n || is_program(s->conf, m->login) ? TICKET_GOOD
								    : TICKET_LATE;
	if (!(flags & MAIL_AUTH))
		return TICKET_GOOD;
	return ticket_check(s->start->ticket_key, &t, loop_now(s->loop), m->ticket);
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

static void run_sync(void *arg)
{
	struct syncing *y = arg;
	int fd = spool_read(y->store, y->id);
	struct msg_SUBMIT m;
	struct stat st;

	y->good = fd >= 0 && msg_SUBMIT_unpack(span_of(y->frame, y->n), &m) &&
		  fstat(fd, &st) == 0 && (uint64_t)st.st_size == m.size &&
		  fsync(fd) == 0 && fsync(y->store->spool_dir) == 0;
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
		.refused = !y->good  ? SUBMITTED_FAILED
			   : s->full ? SUBMITTED_NO_ROOM
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
	if (!y->good || !sign_start(y->store, &wish, on_signed, y))
		put_at_last(y, SPAN_NONE);
}

static void on_synced(void *arg)
{
	sign(arg);
}

static bool is_signed(const struct store *s, const struct msg_SUBMIT *m)
{
	return s->conf->dkim_count > 0 &&
	       believable(s->conf, m->flags) & (MAIL_AUTH | MAIL_LOCAL);
}

static void put_later(struct store *s, struct edge_link *e, const struct msg_SUBMIT *m,
		      struct span frame, struct early_rcpts *early)
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
			.early = early,
			.n = frame.n,
		};
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

bool submit(struct store *s, struct edge_link *e, const struct frame *f, struct err *err)
{
	struct early_rcpts *early;
	enum ticket_says ticket;
	struct msg_SUBMIT m;
	bool sane;

	if (!msg_SUBMIT_unpack(f->bytes, &m))
		return err_set(err, "edge %u sent a submit that is not one", e->number);
	early = unlink_early(s, find_early(s, e->generation, m.id, m.nonce));
	ticket = vouched(s, e, &m);
	sane = is_sane(e, &m, early, err);
	if (sane && ticket == TICKET_FORGED)
		sane = err_set(
			err,
			"edge %u submitted in a name for which auth gave it no ticket",
			e->number);
	if (sane && ticket == TICKET_GOOD && (m.spooled || is_signed(s, &m))) {
		put_later(s, e, &m, f->bytes, early);
		return true;
	}
	if (sane) {
		const struct coming c = {
			.edge = e->number,
			.generation = e->generation,
			.frame = f->bytes,
			.early = early,
			.refused = ticket == TICKET_LATE ? SUBMITTED_FAILED
				   : s->full		 ? SUBMITTED_NO_ROOM
							 : SUBMITTED_OK,
		};

		enqueue(s, &c);
	}
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
