/*
 * sight - everything the watch role holds, for its own files
 */
#ifndef WATCH_SIGHT_H
#define WATCH_SIGHT_H

#include "link/start.h"
#include "watch/control.h"
#include "watch/kernel.h"
#include "watch/log.h"
#include "watch/pulses.h"
#include "watch/view.h"
#include "watch/walk.h"

struct bans;
struct history;
struct inquiries;
struct ordering;
struct recent;
struct trace;

/* A link to another role; link is NULL while there is none. */
struct sight_peer {
	struct sight *sight;
	struct link *link;
	struct watch watch;
	bool paused; /* not read: a client must first read what it has */
};

struct sight {
	struct start *start;
	struct loop *loop;
	const struct conf *conf;
	struct keep *keep;
	struct log *log;
	struct pulses *pulses;
	struct journal *journal;
	struct control *control; /* NULL: no socket was given */
	struct sight_peer life, store, auth, firewall;
	/* the guard */
	struct view view;
	struct walk *walks; /* under way */
	struct ordering *ordering;
	struct bans *bans;
	struct kernel *kernel;
	struct history *history;
	struct trace *trace;
	struct recent *recent;
	struct inquiries *inquiries; /* what watch itself asks others */
	struct timer beat;
	struct timer last; /* while draining: then it is over */
	bool draining;
};

/* Send what was packed into link_begin(). False: there is no such link, or it broke. */
bool sight_send(struct sight_peer *to);

#endif
