/*
 * fetch_link - the link to the fetch role, which has the web
 *
 * Every question is answered: with what was fetched, or with not ok if it cannot be, if
 * there is no such role now, or if it goes away before it has answered.
 */
#ifndef EDGE_FETCH_LINK_H
#define EDGE_FETCH_LINK_H

#include "io/loop.h"
#include "link/frame.h"

struct fetched {
	bool ok;
	uint32_t keep;	  /* for so many seconds; 0: not said */
	struct span body; /* or why there is none */
};

/* Embed it, zeroed. Members are for fetch_link.c only. */
struct fetch_ask {
	struct fetch_ask *next, **back; /* back: NULL if it is not under way */
	uint64_t number;
	void (*on_fetched)(void *arg, const struct fetched *f);
	void *arg;
};

/* Embed it. Members are for fetch_link.c only. */
struct fetch_link {
	struct loop *loop;
	struct link *link; /* NULL: not there now */
	struct watch watch;
	struct fetch_ask *first;
	uint64_t last;
};

void fetch_link_init(struct fetch_link *f, struct loop *loop);
/* Takes over the link. NULL: it is gone. */
void fetch_link_set(struct fetch_link *f, struct link *link);

/* on_fetched is called once, possibly before this returns. */
void fetch_link_ask(struct fetch_link *f, struct fetch_ask *a, enum fetch_kind what,
		    struct span name,
		    void (*on_fetched)(void *arg, const struct fetched *f), void *arg);
/* on_fetched will not be called. One that is not under way is fine. */
void fetch_link_forget(struct fetch_ask *a);

#endif
