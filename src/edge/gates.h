/*
 * gates - so many connections to one server on their way at once, the others in a line
 *
 * When thousands come back at the same time, a server's queue of connections that it has not
 * taken yet would overflow, and those that fall out of it would look as if it were dead. Who
 * was greeted has left the gate: a slow login keeps nobody waiting.
 *
 * Gates are found by a hash, so that two servers may share one; that only makes it narrower.
 */
#ifndef EDGE_GATES_H
#define EDGE_GATES_H

#include "base/span.h"
#include "io/loop.h"

#define GATES	   128
#define GATE_WIDTH 64

/* Embed it, zeroed. Members are for gates.c only. */
struct gate_pass {
	struct gates *all;
	struct gate *gate; /* NULL: neither in it nor in line */
	bool inside;
	struct gate_pass *next, **back; /* in line */
	void (*on_open)(void *arg);
	void *arg;
};

struct gate {
	unsigned inside;
	struct gate_pass *first, **last;
};

struct gates {
	struct loop *loop;
	struct timer open; /* somebody may go in */
	struct gate gates[GATES];
};

void gates_init(struct gates *all, struct loop *l);
void gates_close(struct gates *all);
/* True: go on. False: on_open(arg) will be called when it may. */
MUST bool gate_enter(struct gates *all, struct span server, struct gate_pass *p,
		     void (*on_open)(void *arg), void *arg);
/* It is through, or wants to go there no more. One that never came is fine. */
void gate_leave(struct gate_pass *p);

#endif
