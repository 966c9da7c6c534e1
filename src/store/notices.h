/*
 * notices - who is told what became of a message, by mail
 *
 * A notice about a delivery (DSN, RFC 3464) goes only to a sender that authenticated here,
 * and never about a message without a sender or one that we made ourselves: nothing that
 * came from a stranger makes us write to anybody. What fails and may not be told is dead:
 * kept for the administrator.
 *
 * A notice is an ordinary message with the null sender, put into the queue in the
 * transaction that marks the recipient: a crash loses none and doubles none. There is a
 * budget for each hour (queue.bounces-per-hour). Notices above it are held, and those above
 * ten times as many are not made at all: the message they are about is kept in any case.
 */
#ifndef STORE_NOTICES_H
#define STORE_NOTICES_H

#include "base/id.h"
#include "store/batch.h"
#include "wire/dsn.h"

struct store;

/* In an hour, as a sliding sum. For the writer's thread only. */
struct notices {
	struct store *store;
	struct id_maker ids;
	uint64_t key[2];
	int64_t most; /* of the configuration; set in the loop: atomic */
	int64_t since;
	int64_t before, now; /* made in the hour before, and in this one */
	bool over;
};

void notices_open(struct notices *n, struct store *s, const uint64_t key[2]);
void notices_limit(struct notices *n, int64_t most);

/* One recipient, and what was said; empty: what is in the database. */
struct notice_item {
	uint32_t number;
	struct span answer;
};

struct notice_want {
	uint64_t id;
	enum dsn_action action;
	struct span us;	  /* our name */
	struct span host; /* of the next hop; empty: none said anything */
	ms_t lifetime;	  /* DELAYED: after which we give up */
	const struct notice_item *items;
	size_t count;
};

/* What was made, for the log. It lies on the batch's pile. */
struct noticed {
	struct noticed *next;
	uint64_t id, about;
	enum dsn_action action;
	struct span to;
	size_t recipients;
	bool held;
	bool first_over; /* the first that is held for the budget */
};

/* In the thread, inside a transaction of the queue, before the rows change. */
MUST bool notices_tell(struct notices *n, struct tools *t, const struct notice_want *want,
		       struct noticed **made, struct err *err);
/* In the loop, once it is committed. */
void notices_made(struct store *s, const struct noticed *made);

/* A message of our own to somebody who gets mail here, with a subject and a text of lines. */
void notices_mail(struct store *s, struct span to, struct span subject, struct span text);

/* Messages that have waited for queue.delay-notice: tell their senders. Each minute. */
void notices_delays(struct store *s);

#endif
