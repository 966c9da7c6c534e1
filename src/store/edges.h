/*
 * edges - the links to the edges
 */
#ifndef STORE_EDGES_H
#define STORE_EDGES_H

#include "io/loop.h"
#include "link/frame.h"

struct store;

/* One edge worker. Another process of the same number gets another generation. */
struct edge_link {
	struct store *store;
	struct link *link; /* NULL: there is none now */
	struct watch watch;
	unsigned number;
	uint64_t generation;
	unsigned jobs; /* deliveries and probes it has from us */
	bool leaves;   /* it is to get no more of them */
	bool owed;     /* it has not got the newest recipients: they are sent again */
};

/* A link to an edge, taken over; it replaces one of the same number. */
void edges_meet(struct store *s, struct link *link);
void edges_close(struct store *s);
/* The link of that generation, or NULL if it is another by now. */
struct edge_link *edges_get(struct store *s, unsigned number, uint64_t generation);
/* After sending: wait for what the socket did not take. */
void edges_sent(struct edge_link *e);
/* To all: who gets mail here, and whether there is room. */
void edges_tell_recipients(struct store *s);
void edges_tell_room(struct store *s);
/* Once a second: what could not be had or sent before. */
void edges_tick(struct store *s);
/* Read no more while batches hold too much memory. */
void edges_pace(struct store *s);

#endif
