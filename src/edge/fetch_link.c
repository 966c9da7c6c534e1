#include "edge/fetch_link.h"

#define FRAMES_ONCE 64 /* before the others have their turn */

void fetch_link_init(struct fetch_link *f, struct loop *loop)
{
	*f = (struct fetch_link){ .loop = loop };
}

void fetch_link_forget(struct fetch_ask *a)
{
	if (!a->back)
		return;
	*a->back = a->next;
	if (a->next)
		a->next->back = a->back;
	a->back = NULL;
}

static void answer(struct fetch_ask *a, const struct fetched *f)
{
	fetch_link_forget(a);
	a->on_fetched(a->arg, f);
}

static struct fetch_ask *find(const struct fetch_link *f, uint64_t number)
{
	struct fetch_ask *a = f->first;

	while (a && a->number != number)
		a = a->next;
	return a;
}

static bool take(struct fetch_link *f, const struct frame *frame)
{
	struct msg_FETCHED m;
	struct fetched got;
	struct fetch_ask *a;

	if (frame->kind != MSG_FETCHED || !msg_FETCHED_unpack(frame->bytes, &m))
		return false;
	got = (struct fetched){ m.ok, m.keep, m.body };
	a = find(f, m.ask);
	if (a)
		answer(a, &got);
	return true;
}

static void set_mask(struct fetch_link *f)
{
	if (f->link)
		watch_mask(&f->watch,
			   WATCH_READ | (link_waiting(f->link) ? WATCH_WRITE : 0));
}

static bool receive(struct fetch_link *f)
{
	struct frame frame;
	struct err err;

	for (int i = 0; f->link && i < FRAMES_ONCE; i++) {
		enum link_got got = link_recv(f->link, &frame, &err);

		if (got != LINK_GOT)
			return got == LINK_MORE;
		if (!take(f, &frame))
			return false;
	}
	return true;
}

/* One that says what it may not say is as good as gone: the supervisor starts another. */
static void on_link(void *arg, unsigned ready)
{
	struct fetch_link *f = arg;

	if ((ready & WATCH_WRITE && !link_flush(f->link)) || !receive(f))
		fetch_link_set(f, NULL);
	set_mask(f);
}

void fetch_link_set(struct fetch_link *f, struct link *link)
{
	static const struct fetched gone = { .body = SPAN_INIT("the fetch role is gone") };

	if (f->link) {
		watch_stop(&f->watch);
		link_close(&f->link);
	}
	while (f->first)
		answer(f->first, &gone);
	if (!link)
		return;
	f->link = link;
	if (!watch_start(f->loop, &f->watch, link_fd(link), WATCH_READ, on_link, f))
		link_close(&f->link);
}

void fetch_link_ask(struct fetch_link *f, struct fetch_ask *a, enum fetch_kind what,
		    struct span name,
		    void (*on_fetched)(void *arg, const struct fetched *f), void *arg)
{
	static const struct fetched nobody = { .body = SPAN_INIT(
						       "nobody can fetch it now") };
	struct msg_FETCH m = { .ask = ++f->last, .what = (uint8_t)what, .name = name };
	bool sent = false;

	*a = (struct fetch_ask){ .number = m.ask, .on_fetched = on_fetched, .arg = arg };
	if (f->link && !link_full(f->link)) {
		msg_FETCH_pack(&m, link_begin(f->link));
		sent = link_send(f->link, NULL, 0);
		set_mask(f);
	}
	if (!sent) {
		on_fetched(arg, &nobody);
		return;
	}
	a->next = f->first;
	a->back = &f->first;
	if (a->next)
		a->next->back = &a->next;
	f->first = a;
}
