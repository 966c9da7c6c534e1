#include "io/loop.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <uv.h>

#include "base/bug.h"

/*
 * Threads and signals are libuv's; descriptors and timers are our own, around it: its
 * backend descriptor is one of ours (as uv_backend_fd() is meant to be used). uv_poll
 * costs five system calls per connection where one will do, knows no edges, and cannot
 * share a listening socket without waking everybody. uv_timer cannot move a deadline
 * later for nothing, which every command of every session wants to do.
 */
#define ROUND 256

struct signal_watch {
	uv_signal_t uv;
	struct signal_watch *next;
	void (*on_signal)(void *arg, int signal);
	void *arg;
};

struct loop {
	uv_loop_t uv;
	struct watch uv_watch;
	bool uv_due;  /* it has something to register before we sleep */
	bool threads; /* work_run() was called before */
	bool stopping;
	int epoll;
	ms_t now;
	struct epoll_event ready[ROUND];
	int ready_count, ready_at; /* of this round, and how far we are */
	struct timer **heap;	   /* from 1: heap[0] is free */
	uint32_t heap_count, heap_cap;
	bool ringing; /* timers are being run: what is set now waits for the next round */
	struct signal_watch *signals;
	void (*on_round)(void *arg);
	void *round_arg;
};

/* ---- descriptors ------------------------------------------------------------------- */

static uint32_t to_epoll(unsigned mask)
{
	if (mask & WATCH_SHARED)
		return EPOLLIN | (uint32_t)EPOLLEXCLUSIVE;
	return (mask & WATCH_READ ? EPOLLIN | (uint32_t)EPOLLRDHUP : 0) |
	       (mask & WATCH_WRITE ? (uint32_t)EPOLLOUT : 0) |
	       (mask & WATCH_EDGES ? (uint32_t)EPOLLET : 0);
}

static unsigned from_epoll(uint32_t events, unsigned mask)
{
	unsigned ready = 0;

	if (events & EPOLLIN)
		ready |= WATCH_READ;
	if (events & EPOLLOUT)
		ready |= WATCH_WRITE;
	if (events & (EPOLLERR | EPOLLHUP))
		ready |= WATCH_READ | WATCH_WRITE | WATCH_HUP;
	if (events & EPOLLRDHUP)
		ready |= WATCH_READ | WATCH_HUP;
	return ready & (mask | WATCH_HUP);
}

/* What this round still holds for a watch that is no more must not be reported. */
static void forget(struct watch *w)
{
	struct loop *l = w->loop;

	for (int i = l->ready_at; i < l->ready_count; i++)
		if (l->ready[i].data.ptr == w)
			l->ready[i].data.ptr = NULL;
	w->loop = NULL;
}

bool watch_start(struct loop *l, struct watch *w, int fd, unsigned mask,
		 void (*on_ready)(void *arg, unsigned ready), void *arg)
{
	struct epoll_event e = { .events = to_epoll(mask), .data.ptr = w };

	*w = (struct watch){ .fd = fd, .mask = mask, .on_ready = on_ready, .arg = arg };
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e) != 0)
		return false;
	w->loop = l;
	return true;
}

void watch_mask(struct watch *w, unsigned mask)
{
	struct epoll_event e = { .events = to_epoll(mask), .data.ptr = w };

	if (!w->loop || mask == w->mask || w->mask & WATCH_SHARED)
		return;
	w->mask = mask;
	BUG_IF(epoll_ctl(w->loop->epoll, EPOLL_CTL_MOD, w->fd, &e) != 0);
}

void watch_stop(struct watch *w)
{
	if (!w->loop)
		return;
	(void)epoll_ctl(w->loop->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	forget(w);
}

void watch_close(struct watch *w)
{
	if (!w->loop)
		return;
	forget(w);
	close(w->fd);
}

/* ---- times --------------------------------------------------------------------------- */

static void place(struct loop *l, uint32_t at, struct timer *t)
{
	l->heap[at] = t;
	t->place = at;
}

static void sift_up(struct loop *l, struct timer *t)
{
	uint32_t at = t->place;

	for (; at > 1 && l->heap[at / 2]->filed > t->filed; at /= 2)
		place(l, at, l->heap[at / 2]);
	place(l, at, t);
}

static void sift_down(struct loop *l, struct timer *t)
{
	uint32_t at = t->place;

	for (;;) {
		uint32_t child = 2 * at;

		if (child < l->heap_count &&
		    l->heap[child + 1]->filed < l->heap[child]->filed)
			child++;
		if (child > l->heap_count || l->heap[child]->filed >= t->filed)
			break;
		place(l, at, l->heap[child]);
		at = child;
	}
	place(l, at, t);
}

static void take_out(struct loop *l, struct timer *t)
{
	struct timer *last = l->heap[l->heap_count--];
	uint32_t at = t->place;

	t->place = 0;
	if (last == t)
		return;
	place(l, at, last);
	sift_up(l, last);
	sift_down(l, last);
}

static void run_timers(struct loop *l)
{
	const ms_t now = l->now; /* a call may move it on */

	l->ringing = true;
	while (l->heap_count && l->heap[1]->filed <= now) {
		struct timer *t = l->heap[1];

		if (t->at > now) { /* it was moved later in the meantime */
			t->filed = t->at;
			sift_down(l, t);
			continue;
		}
		take_out(l, t);
		t->at = MS_NEVER;
		t->on_time(t->arg);
	}
	l->ringing = false;
}

void timer_init(struct timer *t, struct loop *l, void (*on_time)(void *arg), void *arg)
{
	*t = (struct timer){ .loop = l, .at = MS_NEVER, .on_time = on_time, .arg = arg };
}

static bool heap_has_room(struct loop *l)
{
	uint32_t cap = l->heap_cap ? 2 * l->heap_cap : 64;
	struct timer **heap;

	if (l->heap_count + 1 < l->heap_cap)
		return true;
	heap = realloc(l->heap, cap * sizeof(struct timer *));
	if (!heap)
		return false;
	l->heap = heap;
	l->heap_cap = cap;
	return true;
}

void timer_set(struct timer *t, ms_t at)
{
	struct loop *l = t->loop;

	t->at = at;
	if (at == MS_NEVER) {
		if (t->place)
			take_out(l, t);
		return;
	}
	/* one that sets itself again at once must not keep everything else waiting */
	if (l->ringing && at <= l->now)
		at = l->now + 1;
	if (t->place && at >= t->filed)
		return;
	t->filed = at;
	if (!t->place) {
		/* a deadline that cannot be kept is a promise that cannot be kept */
		BUG_IF(!heap_has_room(l));
		place(l, ++l->heap_count, t);
	}
	sift_up(l, t);
}

void timer_stop(struct timer *t)
{
	if (t->loop)
		timer_set(t, MS_NEVER);
}

static ms_t clock_ms(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (ms_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

ms_t loop_now(const struct loop *l)
{
	return l->now;
}

ms_t loop_now_exact(struct loop *l)
{
	return l->now = clock_ms(CLOCK_MONOTONIC);
}

uint64_t loop_clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

ms_t loop_wall(const struct loop *l)
{
	(void)l;
	return clock_ms(CLOCK_REALTIME);
}

/* ---- threads ------------------------------------------------------------------------- */

struct work {
	uv_work_t uv;
	void (*run)(void *arg);
	void (*on_done)(void *arg);
	void *arg;
};

static void run_work(uv_work_t *uv)
{
	struct work *w = uv->data;

	w->run(w->arg);
}

static void on_work_done(uv_work_t *uv, int status)
{
	struct work *w = uv->data;
	struct work done = *w;

	(void)status; /* nothing is ever cancelled */
	free(w);
	done.on_done(done.arg);
}

bool work_run(struct loop *l, void (*run)(void *arg), void (*on_done)(void *arg),
	      void *arg)
{
	struct work *w = malloc(sizeof(*w));

	if (!w)
		return false;
	w->run = run;
	w->on_done = on_done;
	w->arg = arg;
	w->uv.data = w;
	l->uv_due |= !l->threads;
	l->threads = true;
	BUG_IF(uv_queue_work(&l->uv, &w->uv, run_work, on_work_done) != 0);
	return true;
}

/* ---- signals ------------------------------------------------------------------------- */

static void on_uv_signal(uv_signal_t *uv, int signal)
{
	struct signal_watch *s = uv->data;

	s->on_signal(s->arg, signal);
}

bool loop_signal(struct loop *l, int signal, void (*on_signal)(void *arg, int signal),
		 void *arg)
{
	struct signal_watch *s = calloc(1, sizeof(*s));

	if (!s)
		return false;
	if (uv_signal_init(&l->uv, &s->uv) != 0) {
		free(s);
		return false;
	}
	s->uv.data = s;
	s->on_signal = on_signal;
	s->arg = arg;
	s->next = l->signals;
	l->signals = s;
	l->uv_due = true;
	return uv_signal_start(&s->uv, on_uv_signal, signal) == 0;
}

/* ---- the loop itself ------------------------------------------------------------------- */

void loop_each_round(struct loop *l, void (*on_round)(void *arg), void *arg)
{
	l->on_round = on_round;
	l->round_arg = arg;
}

static void on_uv(void *arg, unsigned ready)
{
	struct loop *l = arg;

	(void)ready;
	l->uv_due = false;
	uv_run(&l->uv, UV_RUN_NOWAIT);
}

bool loop_open(struct loop **out, struct err *err)
{
	struct loop *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return err_set(err, "out of memory");
	signal(SIGPIPE, SIG_IGN);
	rc = uv_loop_init(&l->uv);
	if (rc != 0) {
		free(l);
		return err_set(err, "cannot make an event loop: %s", uv_strerror(rc));
	}
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0 ||
	    !watch_start(l, &l->uv_watch, uv_backend_fd(&l->uv), WATCH_READ, on_uv, l)) {
		err_set(err, "cannot make an epoll set: %s", strerror(errno));
		loop_close(&l);
		return false;
	}
	loop_now_exact(l);
	*out = l;
	return true;
}

/* How long until the first timer; it may turn out to have been moved later. */
static int patience(const struct loop *l)
{
	ms_t left = l->heap_count ? l->heap[1]->filed - l->now : INT_MAX;

	return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

static void dispatch(struct loop *l)
{
	for (l->ready_at = 0; l->ready_at < l->ready_count;) {
		struct epoll_event *e = &l->ready[l->ready_at++];
		struct watch *w = e->data.ptr;

		if (w)
			w->on_ready(w->arg, from_epoll(e->events, w->mask));
	}
	l->ready_count = 0;
}

/*
 * Who was stopped and goes on (SIGCONT) has waited for nothing, says epoll_wait(), whatever
 * came meanwhile. That is looked at first: no time is up for an answer that is here.
 */
static int wait(struct loop *l)
{
	int n = epoll_wait(l->epoll, l->ready, ROUND, l->stopping ? 0 : patience(l));

	if (n < 0 && errno == EINTR)
		n = epoll_wait(l->epoll, l->ready, ROUND, 0);
	return n > 0 ? n : 0;
}

void loop_run(struct loop *l)
{
	l->stopping = false;
	loop_now_exact(l);
	while (!l->stopping) {
		if (l->uv_due)
			on_uv(l, 0);
		l->ready_count = wait(l);
		loop_now_exact(l);
		dispatch(l);
		run_timers(l);
		if (l->on_round)
			l->on_round(l->round_arg);
	}
}

void loop_stop(struct loop *l)
{
	l->stopping = true;
}

static void close_handle(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

void loop_close(struct loop **loop)
{
	struct loop *l = *loop;

	if (!l)
		return;
	uv_walk(&l->uv, close_handle, NULL);
	uv_run(&l->uv, UV_RUN_DEFAULT); /* ends when the last work is done */
	BUG_IF(uv_loop_close(&l->uv) != 0);
	while (l->signals) {
		struct signal_watch *s = l->signals;

		l->signals = s->next;
		free(s);
	}
	if (l->epoll >= 0)
		close(l->epoll);
	free(l->heap);
	free(l);
	*loop = NULL;
}
