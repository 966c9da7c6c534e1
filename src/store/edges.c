#include "store/edges.h"

#include "store/box.h"
#include "store/inner.h"
#include "store/locate.h"
#include "store/remember.h"
#include "store/senders.h"
#include "store/spool.h"
#include "store/submit.h"
#include "store/verify.h"

/*
 * The links to the edges: what they say goes to whom it concerns. An edge parses what
 * strangers send, so it may be in their hands: what it says is checked, and one that says
 * what no edge of ours would say is cut off.
 */

#define FRAMES_ONCE 256 /* of one edge, before the others have their turn */
#define LAST_FRAMES 100000

struct edge_link *edges_get(struct store *s, unsigned number, uint64_t generation)
{
	struct edge_link *e = number < EDGES_MAX ? &s->edges[number] : NULL;

	return e && e->link && e->generation == generation ? e : NULL;
}

void edges_sent(struct edge_link *e)
{
	bool read = !e->store->paused && !link_full(e->link);

	watch_mask(&e->watch,
		   (read ? WATCH_READ : 0) | (link_waiting(e->link) ? WATCH_WRITE : 0));
}

/* Of one that is open already. */
static bool is_of_box(enum message kind)
{
	return kind == MSG_BOX_READ || kind == MSG_BOX_REMOVE || kind == MSG_BOX_CLOSE;
}

static bool take_leaves(struct edge_link *e, const struct frame *f, struct err *err)
{
	struct msg_LEAVES m;

	if (!msg_LEAVES_unpack(f->bytes, &m))
		return err_set(err, "edge %u leaves, but how?", e->number);
	e->leaves = true;
	return true;
}

/* It is out of descriptors: what it could not take comes again with the next tick. */
static bool take_lost(struct store *s, struct edge_link *e, const struct frame *f,
		      struct err *err)
{
	struct msg_LOST m;
	bool good = msg_LOST_unpack(f->bytes, &m);
	uint8_t mem[128];
	struct buf row;

	if (good && m.kind == MSG_RECIPIENTS)
		e->owed = true;
	else if (good && m.kind == MSG_REMEMBER)
		remember_untaken(s->remember, e);
	else
		return err_set(err, "edge %u lost what it was not sent", e->number);
	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "key", SPAN("descriptors"));
	field_text(&row, "role", SPAN("edge"));
	field_number(&row, "number", e->number);
	field_text(&row, "lost", span_str(message_table[m.kind].word));
	pulse_log(s->pulse, LOG_CAPACITY, loop_wall(s->loop), NULL, buf_span(&row));
	return true;
}

static bool take(struct store *s, struct edge_link *e, struct frame *f, struct err *err)
{
	/* who drains takes nothing new: the edge says it again to our successor */
	if (s->draining && f->kind != MSG_DELIVERED && !is_of_box(f->kind))
		return true;
	if (f->kind == MSG_SUBMIT)
		return submit(s, e, f, err);
	if (f->kind == MSG_SUBMIT_RCPTS)
		return submit_rcpts(s, e, f, err);
	if (f->kind == MSG_SPOOL_OPEN)
		return spool_asked(s, e, f, err);
	if (f->kind == MSG_SPOOL_DROP)
		return submit_dropped(s, e, f, err);
	if (f->kind == MSG_VERIFY)
		return verify_asked(s, e, f, err);
	if (f->kind == MSG_MAY_SEND)
		return senders_asked(s, e, f, err);
	if (f->kind == MSG_LOCATE)
		return locate_asked(s, e, f, err);
	if (f->kind == MSG_BOX_OPEN || is_of_box(f->kind))
		return box_asked(s, e, f, err);
	if (f->kind == MSG_LEAVES)
		return take_leaves(e, f, err);
	if (f->kind == MSG_LOST)
		return take_lost(s, e, f, err);
	if (f->kind == MSG_REMEMBERED)
		return remember_told(s->remember, e, f) ||
		       err_set(err, "edge %u remembered what it was not told", e->number);
	if (f->kind == MSG_DELIVERED)
		return network_delivered(s, e, f) ||
		       err_set(err, "edge %u told of a delivery that makes no sense",
			       e->number);
	return err_set(err, "edge %u sent %s", e->number, message_table[f->kind].word);
}

static void drop(struct store *s, struct edge_link *e)
{
	if (!e->link)
		return;
	watch_stop(&e->watch);
	link_close(&e->link);
	submit_forget(s, e);
	verify_forget(s, e);
	network_lost(s, e);
	box_forget(s, e);
	remember_lost(s->remember, e);
	e->jobs = 0;
	e->leaves = e->owed = false;
}

static void log_broken(struct store *s, const struct err *err)
{
	uint8_t mem[640];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "key", SPAN("edge"));
	field_text(&row, "what", span_str(err->text));
	pulse_log(s->pulse, LOG_LINK_BROKEN, loop_wall(s->loop), NULL, buf_span(&row));
}

/* Up to so many frames. False: it is gone, or was cut off. */
static bool hear(struct store *s, struct edge_link *e, int frames)
{
	struct err err;
	struct frame f;
	bool good;

	while (frames-- > 0 && !link_full(e->link)) {
		switch (link_recv(e->link, &f, &err)) {
		case LINK_GOT:
			good = take(s, e, &f, &err);
			frame_close_fds(&f);
			if (good)
				continue;
			log_broken(s, &err);
			return false;
		case LINK_MORE:
			return true;
		case LINK_BROKEN:
			log_broken(s, &err);
			return false;
		case LINK_CLOSED:
			return false;
		}
	}
	return true;
}

static void on_edge(void *arg, unsigned ready)
{
	struct edge_link *e = arg;
	struct store *s = e->store;
	bool good = true;

	if (ready & WATCH_WRITE)
		good = link_flush(e->link);
	if (good && (ready & WATCH_READ) && !s->paused)
		good = hear(s, e, FRAMES_ONCE);
	if (good)
		edges_sent(e);
	else
		drop(s, e);
}

/* ---- telling ---- */

static void tell_recipients(struct store *s, struct edge_link *e)
{
	struct msg_RECIPIENTS m = { .generation = s->recipients.generation };

	if (s->recipients.map_fd < 0)
		return;
	msg_RECIPIENTS_pack(&m, link_begin(e->link));
	e->owed = !link_send(e->link, &s->recipients.map_fd, 1);
	if (e->owed)
		trouble_log(s, "edge", "edge %u was not told of new recipients",
			    e->number);
	edges_sent(e);
}

static void tell_room(struct store *s, struct edge_link *e)
{
	struct msg_STORAGE m = { .full = s->full };

	msg_STORAGE_pack(&m, link_begin(e->link));
	if (!link_send(e->link, NULL, 0))
		trouble_log(s, "edge", "edge %u was not told of room on disk", e->number);
	edges_sent(e);
}

void edges_tell_recipients(struct store *s)
{
	for (size_t i = 0; i < EDGES_MAX; i++)
		if (s->edges[i].link)
			tell_recipients(s, &s->edges[i]);
}

void edges_tell_room(struct store *s)
{
	for (size_t i = 0; i < EDGES_MAX; i++)
		if (s->edges[i].link)
			tell_room(s, &s->edges[i]);
}

void edges_tick(struct store *s)
{
	for (size_t i = 0; i < EDGES_MAX; i++)
		if (s->edges[i].link && s->edges[i].owed)
			tell_recipients(s, &s->edges[i]);
}

void edges_pace(struct store *s)
{
	size_t most = s->paused ? STORE_MEMORY_MAX / 2 : STORE_MEMORY_MAX;
	bool pause = writer_bytes(s->writer) > most;

	if (pause == s->paused)
		return;
	s->paused = pause;
	for (size_t i = 0; i < EDGES_MAX; i++)
		if (s->edges[i].link)
			edges_sent(&s->edges[i]);
}

/* ---- coming and going ---- */

void edges_meet(struct store *s, struct link *link)
{
	unsigned number = link_number(link);
	struct edge_link *e = number < EDGES_MAX ? &s->edges[number] : NULL;

	if (!e) {
		link_close(&link);
		return;
	}
	/* what its predecessor said before it died counts */
	if (e->link)
		(void)hear(s, e, LAST_FRAMES);
	drop(s, e);
	e->store = s;
	e->link = link;
	e->number = number;
	e->generation = ++s->generations;
	if (!watch_start(s->loop, &e->watch, link_fd(link), WATCH_READ, on_edge, e)) {
		trouble_log(s, "edge", "the link to edge %u cannot be watched", number);
		link_close(&e->link);
		return;
	}
	tell_room(s, e);
	remember_meet(s->remember, e); /* first: it accepts once it has recipients */
	tell_recipients(s, e);
}

void edges_close(struct store *s)
{
	for (size_t i = 0; i < EDGES_MAX; i++)
		drop(s, &s->edges[i]);
}
