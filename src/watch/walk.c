#include "watch/walk.h"

#define SLICE ((ms_t)5)

static void over(struct walk *w, enum walk_end how)
{
	timer_stop(&w->timer);
	*w->here = w->next;
	if (w->next)
		w->next->here = w->here;
	w->on_end(w, how);
}

static void on_turn(void *arg)
{
	struct walk *w = arg;
	struct loop *loop = w->timer.loop;
	ms_t now = loop_now_exact(loop), pause = now + SLICE;

	while (now < pause) {
		if (!w->step(w)) {
			over(w, WALK_DONE);
			return;
		}
		now = loop_now_exact(loop);
	}
	if (now >= w->until)
		over(w, WALK_LATE);
	else
		timer_set(&w->timer, now);
}

void walk_start(struct walk *w, struct walk **all, struct loop *loop, ms_t within)
{
	timer_init(&w->timer, loop, on_turn, w);
	w->until = loop_now(loop) + within;
	w->next = *all;
	w->here = all;
	if (w->next)
		w->next->here = &w->next;
	*all = w;
	on_turn(w);
}

void walks_drop(struct walk **all)
{
	while (*all)
		over(*all, WALK_DROPPED);
}
