#include "edge/gates.h"

#include "base/siphash.h"

static struct gate_line *line_of(const struct gate_pass *p)
{
	return &p->gate->lines[p->known];
}

static void join_line(struct gate_pass *p)
{
	struct gate_line *line = line_of(p);

	p->next = NULL;
	p->back = line->last;
	*line->last = p;
	line->last = &p->next;
}

static void leave_line(struct gate_pass *p)
{
	*p->back = p->next;
	if (p->next)
		p->next->back = p->back;
	else
		line_of(p)->last = p->back;
}

static bool has_room(const struct gate *g, bool known)
{
	return g->inside < (known ? GATE_WIDTH : GATE_OPEN);
}

/* Whose turn it is; NULL: nobody's. */
static struct gate_pass *next_in(const struct gate *g)
{
	bool known = g->lines[true].first != NULL;

	return has_room(g, known) ? g->lines[known].first : NULL;
}

/* One after the other, not one out of the other: each may fail at once. */
static void on_open(void *arg)
{
	struct gates *all = arg;

	for (size_t i = 0; i < GATES; i++) {
		struct gate *g = &all->gates[i];
		struct gate_pass *p;

		while ((p = next_in(g))) {
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
		for (size_t known = 0; known < 2; known++) {
			struct gate_line *line = &all->gates[i].lines[known];

			line->last = &line->first;
		}
}

void gates_close(struct gates *all)
{
	timer_stop(&all->open);
}

bool gate_enter(struct gates *all, struct span server, bool known, struct gate_pass *p,
		void (*open)(void *arg), void *arg)
{
	static const uint64_t key[2] = { 0x6761746573, 0x7365727665 };
	struct gate *g = &all->gates[siphash(key, server) % GATES];

	gate_leave(p);
	*p = (struct gate_pass){
		.all = all, .gate = g, .known = known, .on_open = open, .arg = arg
	};
	if (g->lines[true].first || (!known && g->lines[false].first) ||
	    !has_room(g, known)) {
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
	if (next_in(g))
		timer_set(&p->all->open, loop_now(p->all->loop));
}
