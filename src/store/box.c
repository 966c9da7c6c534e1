#include "store/box.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/siphash.h"
#include "crypt/ticket.h"
#include "store/box_files.h"
#include "store/inner.h"
#include "store/quota.h"

#define BUCKETS	 1024
#define BOX_JOBS 2 /* threads for boxes: mail that arrives needs some, too */

enum box_job { JOB_NONE, JOB_OPEN, JOB_READ, JOB_REMOVE };

struct box {
	struct store *store;
	struct box *next;      /* in its bucket */
	struct box *next_line; /* that waits for a thread */
	unsigned edge;
	uint64_t generation;
	uint64_t ask;
	enum box_job job; /* waits for a thread, or is in one */
	bool closing;	  /* BOX_CLOSE has come: removed is what is to go */
	bool gone;	  /* nobody waits for it any more */
	bool removes;
	bool forgot;	 /* for want of memory: nothing is removed */
	uint32_t number; /* that is to be read */
	struct box_files files;
	uint8_t *removed; /* bits; NULL: none yet */

	/* what a job found */
	bool good;
	int fd;
	int why; /* errno */
	uint64_t bytes;
	size_t left;
	struct err err;

	uint8_t again[TICKET_SIZE]; /* what opens it once more */
	uint8_t login_n;
	uint16_t path_n;
	uint8_t login[ADDRESS_MAX]; /* in lower case */
	uint8_t path[MAILDIR_PATH_MAX];
};

struct boxes {
	struct box *buckets[BUCKETS];
	struct box *line, **line_end;
	size_t count;
	unsigned jobs;
};

static struct span path_of(const struct box *b)
{
	return span_of(b->path, b->path_n);
}

static struct box **bucket_of(struct store *s, uint64_t ask)
{
	return &s->boxes->buckets[ask % BUCKETS];
}

/* ---- answers -------------------------------------------------------------------------- */

static bool tell(struct store *s, struct edge_link *e, const int *fd)
{
	bool sent = link_send(e->link, fd, fd && *fd >= 0);

	edges_sent(e);
	if (!sent)
		trouble_log(s, "edge", "an answer to edge %u was lost", e->number);
	return sent;
}

static void tell_open(struct store *s, struct edge_link *e, uint64_t ask,
		      enum box_result result, const struct box *b)
{
	struct msg_BOX_IS m = { .ask = ask, .result = (uint8_t)result };
	bool open = result == BOX_OPEN_OK;

	if (open) {
		m.ticket = span_of(b->again, sizeof(b->again));
		m.count = (uint32_t)b->files.count;
		m.bytes = b->bytes;
	}
	msg_BOX_IS_pack(&m, link_begin(e->link));
	(void)tell(s, e, open ? &b->fd : NULL);
}

static void tell_text(struct store *s, struct edge_link *e, const struct box *b)
{
	struct msg_BOX_TEXT m = { .ask = b->ask, .number = b->number };

	msg_BOX_TEXT_pack(&m, link_begin(e->link));
	(void)tell(s, e, &b->fd);
}

static void tell_closed(struct store *s, struct edge_link *e, uint64_t ask, size_t left)
{
	struct msg_BOX_CLOSED m = { .ask = ask, .left = (uint32_t)left };

	msg_BOX_CLOSED_pack(&m, link_begin(e->link));
	(void)tell(s, e, NULL);
}

/* ---- boxes ------------------------------------------------------------------------------ */

static struct box *find(struct store *s, const struct edge_link *e, uint64_t ask)
{
	struct box *b = s->boxes ? *bucket_of(s, ask) : NULL;

	while (b && (b->ask != ask || b->edge != e->number ||
		     b->generation != e->generation || b->gone))
		b = b->next;
	return b;
}

/* Whoever has that Maildir now. */
static bool is_locked(const struct store *s, struct span path)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (const struct box *b = s->boxes->buckets[i]; b; b = b->next)
			if (span_eq(path_of(b), path))
				return true;
	return false;
}

static void release(struct box *b)
{
	struct box **at = bucket_of(b->store, b->ask);

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	b->store->boxes->count--;
	box_files_close(&b->files);
	free(b->removed);
	free(b);
}

/* ---- jobs ------------------------------------------------------------------------------- */

static void run_job(void *arg)
{
	struct box *b = arg;
	struct maildirs *m = &b->store->maildirs;

	switch (b->job) {
	case JOB_OPEN:
		errno = 0;
		b->good = box_files_list(m, path_of(b), &b->files, &b->fd, &b->bytes,
					 &b->err);
		b->why = errno;
		break;
	case JOB_READ:
		b->fd = box_files_open(m, path_of(b), &b->files, b->number);
		break;
	case JOB_REMOVE:
		b->left = box_files_remove(m, path_of(b), &b->files,
					   span_of(b->removed, (b->files.count + 7) / 8));
		break;
	case JOB_NONE:
		BUG_IF(true);
	}
}

/* A user of ours to whom nothing was ever delivered has an empty box. */
static bool is_new_user(const struct box *b)
{
	return b->why == ENOENT &&
	       recipients_user(&b->store->recipients, span_of(b->login, b->login_n));
}

static void opened(struct box *b, struct edge_link *e)
{
	struct store *s = b->store;
	enum box_result how = BOX_OPEN_OK;

	if (!b->good && is_new_user(b))
		b->good = true; /* without a descriptor: there is nothing in it */
	if (!b->good)
		how = b->why == ENOENT ? BOX_NONE : BOX_FAILED;
	if (how == BOX_FAILED)
		trouble_log(s, "pop3", "mailbox of %.*s: %s", (int)b->login_n,
			    (const char *)b->login, b->err.text);
	tell_open(s, e, b->ask, how, b);
	b->gone = how != BOX_OPEN_OK;
}

static void removed(struct box *b, struct edge_link *e)
{
	struct store *s = b->store;

	if (b->left)
		trouble_log(s, "pop3", "%zu messages of %.*s could not be removed",
			    b->left, (int)b->login_n, (const char *)b->login);
	quota_look_again(s, span_of(b->login, b->login_n));
	if (e)
		tell_closed(s, e, b->ask, b->left);
	b->gone = true;
}

static void start_jobs(struct store *s);

static void begin(struct box *b, enum box_job job)
{
	struct boxes *all = b->store->boxes;

	b->job = job;
	b->next_line = NULL;
	*all->line_end = b;
	all->line_end = &b->next_line;
	start_jobs(b->store);
}

/* It has said BOX_CLOSE, and nothing is at work. */
static void close_box(struct box *b, struct edge_link *e)
{
	if (b->removes && !b->forgot) {
		begin(b, JOB_REMOVE);
		return;
	}
	if (e)
		tell_closed(b->store, e, b->ask, b->forgot ? b->files.count : 0);
	release(b);
}

static void settle(struct box *b, enum box_job job)
{
	struct edge_link *e = edges_get(b->store, b->edge, b->generation);

	if (job == JOB_REMOVE)
		removed(b, e);
	else if (!e)
		b->gone = true;
	else if (job == JOB_OPEN && !b->gone)
		opened(b, e);
	else if (job == JOB_READ && !b->gone)
		tell_text(b->store, e, b);
	if (b->fd >= 0)
		close(b->fd);
	b->fd = -1;
	/* whose edge is gone between BOX_CLOSE and this has said what is to go */
	if (b->closing && job != JOB_REMOVE)
		close_box(b, e);
	else if (b->gone)
		release(b);
}

static void on_job(void *arg)
{
	struct box *b = arg;
	struct store *s = b->store;
	enum box_job job = b->job;

	b->job = JOB_NONE;
	s->boxes->jobs--;
	settle(b, job);
	start_jobs(s);
}

/* No memory for a thread's work: it failed, and is said to have. */
static void fail_job(struct box *b)
{
	enum box_job job = b->job;

	b->good = false;
	b->why = ENOMEM;
	(void)!err_set(&b->err, "out of memory");
	b->left = b->files.count;
	b->job = JOB_NONE;
	settle(b, job);
}

static void start_jobs(struct store *s)
{
	struct boxes *all = s->boxes;

	while (all->line && all->jobs < BOX_JOBS) {
		struct box *b = all->line;

		all->line = b->next_line;
		if (!all->line)
			all->line_end = &all->line;
		if (work_run(s->loop, run_job, on_job, b))
			all->jobs++;
		else
			fail_job(b);
	}
}

/* ---- what an edge says --------------------------------------------------------------------- */

/* Else an edge has no business with mailboxes. */
static bool serves(const struct conf *conf)
{
	bool listens = false;

	for (uint32_t i = 0; i < conf->listener_count; i++)
		listens |= conf->listeners[i].service == SERVICE_POP3;
	return listens && conf->set.mailbox_maildir;
}

static bool have_boxes(struct store *s)
{
	if (s->boxes)
		return true;
	s->boxes = calloc(1, sizeof(*s->boxes));
	if (s->boxes)
		s->boxes->line_end = &s->boxes->line;
	return s->boxes != NULL;
}

static struct box *new_box(struct store *s, const struct edge_link *e,
			   const struct msg_BOX_OPEN *m, struct span login,
			   struct span path)
{
	struct box *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->store = s;
	b->edge = e->number;
	b->generation = e->generation;
	b->ask = m->ask;
	b->fd = -1;
	b->login_n = (uint8_t)login.n;
	memcpy(b->login, login.p, login.n);
	b->path_n = (uint16_t)path.n;
	memcpy(b->path, path.p, path.n);
	b->next = *bucket_of(s, m->ask);
	*bucket_of(s, m->ask) = b;
	s->boxes->count++;
	return b;
}

/* The ticket is good. */
struct shown {
	struct ticket t;
	struct span text;
};

/*
 * For one that came from auth, another, so that who has it open may have it open for as long
 * as a session lasts; that one then stays the same, or an edge in somebody's hands would go
 * on reading long after the last login.
 */
static void keep_again(const struct store *s, struct box *b, const struct shown *shown)
{
	struct ticket again = shown->t;

	if (shown->t.purpose == TICKET_AGAIN) {
		memcpy(b->again, shown->text.p, sizeof(b->again));
		return;
	}
	again.purpose = TICKET_AGAIN;
	ticket_make(s->start->ticket_key, &again, loop_now(s->loop) + TICKET_FOR_SESSION,
		    b->again);
}

/* Auth has vouched for it, so somebody has logged in there. */
static void open_for(struct store *s, struct edge_link *e, const struct msg_BOX_OPEN *m,
		     const struct shown *shown)
{
	uint8_t lower[ADDRESS_MAX], mem[MAILDIR_PATH_MAX];
	struct span login = recipients_lower(m->login, lower);
	struct box *b = NULL;
	struct buf path;

	buf_init(&path, mem, sizeof(mem));
	if (!serves(s->conf) || !login.n || !maildirs_path(&s->maildirs, login, &path)) {
		tell_open(s, e, m->ask, BOX_NONE, NULL);
		return;
	}
	if (have_boxes(s) && is_locked(s, buf_span(&path))) {
		tell_open(s, e, m->ask, BOX_LOCKED, NULL);
		return;
	}
	if (s->boxes && s->boxes->count >= BOXES_MAX)
		trouble_log(s, "pop3", "%d mailboxes are open: no more at once",
			    BOXES_MAX);
	else if (s->boxes)
		b = new_box(s, e, m, login, buf_span(&path));
	if (!b) {
		tell_open(s, e, m->ask, BOX_FAILED, NULL);
		return;
	}
	keep_again(s, b, shown);
	begin(b, JOB_OPEN);
}

static enum ticket_says check(const struct store *s, const struct shown *shown)
{
	return ticket_check(s->start->ticket_key, &shown->t, loop_now(s->loop),
			    shown->text);
}

static bool open_asked(struct store *s, struct edge_link *e, const struct frame *f,
		       struct err *err)
{
	enum ticket_says says;
	struct msg_BOX_OPEN m;
	struct shown shown;

	if (!msg_BOX_OPEN_unpack(f->bytes, &m) || find(s, e, m.ask))
		return err_set(err, "edge %u opened a box that makes no sense", e->number);
	shown = (struct shown){ { TICKET_MAILBOX, e->number, m.login }, m.ticket };
	says = check(s, &shown);
	if (says == TICKET_FORGED) {
		shown.t.purpose = TICKET_AGAIN;
		says = check(s, &shown);
	}
	switch (says) {
	case TICKET_GOOD:
		open_for(s, e, &m, &shown);
		return true;
	case TICKET_LATE: /* it has waited for us for too long */
		tell_open(s, e, m.ask, BOX_FAILED, NULL);
		return true;
	case TICKET_FORGED:
		break;
	}
	return err_set(err, "edge %u wants a mailbox for which auth gave it no ticket",
		       e->number);
}

static bool is_ready(const struct box *b)
{
	return b && b->job == JOB_NONE && !b->closing;
}

static bool read_asked(struct store *s, struct edge_link *e, const struct frame *f,
		       struct err *err)
{
	struct msg_BOX_READ m;
	struct box *b;

	if (!msg_BOX_READ_unpack(f->bytes, &m))
		return err_set(err, "edge %u: box-read makes no sense", e->number);
	b = find(s, e, m.ask);
	if (!is_ready(b) || m.number >= b->files.count)
		return err_set(err, "edge %u reads what is not in its box", e->number);
	b->number = m.number;
	begin(b, JOB_READ);
	return true;
}

static bool remove_asked(struct store *s, struct edge_link *e, const struct frame *f,
			 struct err *err)
{
	struct msg_BOX_REMOVE m;
	struct box *b;
	size_t n;

	if (!msg_BOX_REMOVE_unpack(f->bytes, &m))
		return err_set(err, "edge %u: box-remove makes no sense", e->number);
	b = find(s, e, m.ask);
	n = b ? (b->files.count + 7) / 8 : 0;
	if (!is_ready(b) || m.from > n || m.bits.n > n - m.from)
		return err_set(err, "edge %u removes what is not in its box", e->number);
	if (!b->removed && n)
		b->removed = calloc(n, 1);
	b->forgot = n && !b->removed;
	if (b->removed && m.bits.n) {
		memcpy(b->removed + m.from, m.bits.p, m.bits.n);
		b->removes = true;
	}
	return true;
}

static bool close_asked(struct store *s, struct edge_link *e, const struct frame *f,
			struct err *err)
{
	struct msg_BOX_CLOSE m;
	struct box *b;

	if (!msg_BOX_CLOSE_unpack(f->bytes, &m))
		return err_set(err, "edge %u: box-close makes no sense", e->number);
	b = find(s, e, m.ask);
	if (!b) {
		tell_closed(s, e, m.ask, 0);
		return true;
	}
	if (b->closing)
		return err_set(err, "edge %u closes a box twice", e->number);
	b->closing = true;
	if (b->job == JOB_NONE)
		close_box(b, e);
	return true;
}

bool box_asked(struct store *s, struct edge_link *e, const struct frame *f,
	       struct err *err)
{
	if (f->kind == MSG_BOX_OPEN)
		return open_asked(s, e, f, err);
	if (f->kind == MSG_BOX_READ)
		return read_asked(s, e, f, err);
	if (f->kind == MSG_BOX_REMOVE)
		return remove_asked(s, e, f, err);
	return close_asked(s, e, f, err);
}

/* ---- the end -------------------------------------------------------------------------------- */

void box_forget(struct store *s, const struct edge_link *e)
{
	for (size_t i = 0; s->boxes && i < BUCKETS; i++) {
		struct box *next;

		for (struct box *b = s->boxes->buckets[i]; b; b = next) {
			next = b->next;
			if (b->edge != e->number || b->generation != e->generation ||
			    b->closing)
				continue;
			b->gone = true;
			if (b->job == JOB_NONE)
				release(b);
		}
	}
}

bool box_busy(const struct store *s)
{
	return s->boxes && (s->boxes->jobs || s->boxes->line);
}

void box_close_all(struct store *s)
{
	for (size_t i = 0; s->boxes && i < BUCKETS; i++)
		while (s->boxes->buckets[i])
			release(s->boxes->buckets[i]);
	free(s->boxes);
	s->boxes = NULL;
}
