/*
 * jobs - what is to be fetched: whose turn it is, how long it may take, what waits
 *
 * Every question gets one answer. FETCH_AT_ONCE are under way, FETCH_WAITING wait, more
 * are refused. What has failed is not tried again for a while, but answered at once, so
 * that a server that hangs costs one place in five minutes and not all of them.
 */
#ifndef FETCH_JOBS_H
#define FETCH_JOBS_H

#include "conf/conf.h"
#include "io/dns.h"

struct jobs;
struct web;

struct jobs_setup {
	struct loop *loop;
	struct dns *dns;
	struct web *web;
	uint64_t key[2]; /* of the table of pauses: names come from strangers */
	/* The answer for who asked; m->body is good until it returns. */
	void (*on_answer)(void *arg, enum role role, unsigned number,
			  const struct msg_FETCHED *m);
	/* Why something could not be fetched. */
	void (*on_failed)(void *arg, const char *what, const char *why);
	void *arg;
};

MUST bool jobs_open(struct jobs **out, const struct jobs_setup *setup);
/* Nobody is answered any more. */
void jobs_close(struct jobs **j);

/* The answer may come before this returns. */
void jobs_ask(struct jobs *j, const struct conf *conf, enum role role, unsigned number,
	      const struct msg_FETCH *m);
/* That one has ended: its questions are dropped. */
void jobs_forget(struct jobs *j, enum role role, unsigned number);
/* There is another configuration: what failed may be tried anew. */
void jobs_reset(struct jobs *j);

#endif
