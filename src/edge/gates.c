#include "edge/gates.h"

#include "base/siphash.h"

static void join_line(struct gate_pass *p)
{
	struct gate *g = p->gate;

	p->next = NULL;
	p->back = g->last;
	*g->last = p;
	g->last = &p->next;
}

static void leave_line(struct gate_pass *p)
{
	struct gate *g = p->gate;

	*p->back = p->next;
	if (p->next)
		p->next->back = p->back;
	else
		g->last = p->back;
}

/* One after the other, not one out of the other: each may fail at once. */
static void on_open(void *arg)
{
	struct gates *all = arg;

	for (size_t i = 0; i < GATES; i++) {
		struct gate *g = &all->gates[i];

		while (g->first && g->inside < GATE_WIDTH) {
			struct gate_pass *p = g->first;

			leave_line(p);
			g->inside++;
			p->inside = true;
			p->on_open(p->arg);
		}
	}
}

void gates_init(struct gates *all, struct loop *l)
{
	*all = (struct gates){ .loop = l };
	timer_init(&all->open, l, on_open, all);
	for (size_t i = 0; i < GATES; i++)
		all->gates[i].last = &all->gates[i].first;
}

void gates_close(struct gates *all)
{
	timer_stop(&all->open);
}

bool gate_enter(struct gates *all, struct span server, struct gate_pass *p,
		void (*open)(void *arg), void *arg)
{
	static const uint64_t key[2] = { 0x6761746573, 0x7365727665 };
	struct gate *g = &all->gates[siphash(key, server) % GATES];

	gate_leave(p);
	*p = (struct gate_pass){ .all = all, .gate = g, .on_open = open, .arg = arg };
	if (g->first || g->inside == GATE_WIDTH) {
		join_line(p);
		return false;
	}
	g->inside++;
	p->inside = true;
	return true;
}

void gate_leave(struct gate_pass *p)
{
	struct gate *g = p->gate;

	if (!g)
		return;
	if (p->inside)
		g->inside--;
	else
		leave_line(p);
	p->gate = NULL;
	p->inside = false;
	if (g->first && g->inside < GATE_WIDTH)
		timer_set(&p->all->open, loop_now(p->all->loop));
}
