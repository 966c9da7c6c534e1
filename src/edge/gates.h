/*
 * gates - so many connections to one server on their way at once, the others in a line
 *
 * When thousands come back at the same time, a server's queue of connections that it has not
 * taken yet would overflow, and those that fall out of it would look as if it were dead. Who
 * was greeted has left the gate: a slow login keeps nobody waiting.
 *
 * There are two lines. Known devices go first, and strangers never take all of the gate: when
 * a server comes back, its users are in before those who only guess.
 *
 * Gates are found by a hash, so that two servers may share one; that only makes it narrower.
 */
#ifndef EDGE_GATES_H
#define EDGE_GATES_H

#include "base/span.h"
#include "io/loop.h"

#define GATES	   128
#define GATE_WIDTH 64
#define GATE_OPEN  48 /* of these, for strangers */

/* Embed it, zeroed. Members are for gates.c only. */
struct gate_pass {
	struct gates *all;
	struct gate *gate; /* NULL: neither in it nor in line */
	bool inside, known;
	struct gate_pass *next, **back; /* in line */
	void (*on_open)(void *arg);
	void *arg;
};

struct gate_line {
	struct gate_pass *first, **last;
};

struct gate {
	unsigned inside;
	struct gate_line lines[2]; /* of strangers, and of known devices */
};

struct gates {
	struct loop *loop;
	struct timer open; /* somebody may go in */
	struct gate gates[GATES];
};

void gates_init(struct gates *all, struct loop *l);
void gates_close(struct gates *all);
/* True: go on. False: on_open(arg) will be called when it may. known: the device is. */
MUST bool gate_enter(struct gates *all, struct span server, bool known,
		     struct gate_pass *p, void (*on_open)(void *arg), void *arg);
/* It is through, or wants to go there no more. One that never came is fine. */
void gate_leave(struct gate_pass *p);

#endif
