#include "rehearse/timers.h"

#include <stdlib.h>

bool timers_open(struct timers *t, uint32_t most, struct err *e)
{
	*t = (struct timers){
		.heap = calloc(most, sizeof(*t->heap)),
		.place = calloc(most, sizeof(*t->place)),
	};
	if (t->heap && t->place)
		return true;
	timers_close(t);
	return err_set(e, "no memory for %u timers", most);
}

void timers_close(struct timers *t)
{
	free(t->heap);
	free(t->place);
	*t = (struct timers){ 0 };
}

static void set(struct timers *t, uint32_t i, struct timer what)
{
	t->heap[i] = what;
	t->place[what.who] = i + 1;
}

static void rise(struct timers *t, uint32_t i, struct timer what)
{
	while (i && t->heap[(i - 1) / 2].at > what.at) {
		set(t, i, t->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	set(t, i, what);
}

static void sink(struct timers *t, uint32_t i, struct timer what)
{
	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= t->n)
			break;
		if (child + 1 < t->n && t->heap[child + 1].at < t->heap[child].at)
			child++;
		if (t->heap[child].at >= what.at)
			break;
		set(t, i, t->heap[child]);
		i = child;
	}
	set(t, i, what);
}

void timers_put(struct timers *t, uint32_t who, ms_t at)
{
	struct timer what = { at, who };
	uint32_t place = t->place[who];

	if (at == MS_NEVER || (place && t->heap[place - 1].at <= at))
		return;
	rise(t, place ? place - 1 : t->n++, what);
}

void timers_drop(struct timers *t, uint32_t who)
{
	uint32_t place = t->place[who];
	struct timer last;

	if (!place)
		return;
	t->place[who] = 0;
	last = t->heap[--t->n];
	if (place - 1 == t->n)
		return;
	if (place > 1 && t->heap[(place - 2) / 2].at > last.at)
		rise(t, place - 1, last);
	else
		sink(t, place - 1, last);
}

ms_t timers_next(const struct timers *t)
{
	return t->n ? t->heap[0].at : MS_NEVER;
}

bool timers_take(struct timers *t, ms_t now, uint32_t *who)
{
	if (t->n == 0 || t->heap[0].at > now)
		return false;
	*who = t->heap[0].who;
	timers_drop(t, *who);
	return true;
}
