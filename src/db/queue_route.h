/*
 * queue_route - where messages go, and who is told of what became of them
 *
 * Destinations have ids that the caller chooses. Destination 0 is a recipient that was put
 * by somebody who does not know who gets mail here (a notice, made inside a transaction):
 * it is routed soon after.
 *
 * Spans handed to a callback are good until it returns; those of queue_about() lie in the
 * memory that was handed in.
 */
#ifndef DB_QUEUE_ROUTE_H
#define DB_QUEUE_ROUTE_H

#include "db/queue.h"

/* ---- destinations ------------------------------------------------------------------------ */

/* If the database knows it under another id, all of its recipients get this one. */
MUST bool queue_put_destination(struct queue *q, int64_t id, int hop, struct span target,
				struct err *err);

struct queue_destination {
	int64_t id;
	int hop;
	struct span target;
	int64_t due; /* of the first that waits */
};

/*
 * Of the next `limit` destinations after *after those that have something waiting; *after
 * is then where to go on, 0 at the end.
 */
MUST bool queue_waiting_destinations(struct queue *q, int64_t *after, size_t limit,
				     void (*each)(void *arg,
						  const struct queue_destination *d),
				     void *arg, struct err *err);

/*
 * At a start, before anybody knows one: if there are more than `most`, those that no
 * message has are forgotten.
 */
MUST bool queue_prune_destinations(struct queue *q, int64_t most, struct err *err);

/* ---- routing --------------------------------------------------------------------------------- */

struct queue_routed {
	uint64_t message;
	uint32_t number;
	struct span address; /* of one that is not routed, else its mailbox */
	int64_t destination; /* 0: none yet */
};

/* Those that are not routed yet. */
MUST bool queue_unrouted(struct queue *q, int64_t wall, size_t limit,
			 void (*each)(void *arg, const struct queue_routed *r), void *arg,
			 struct err *err);
/* In place of one that is not routed, these; `to` is changed. None: it is dead. */
MUST bool queue_route(struct queue *q, uint64_t message, uint32_t number,
		      struct queue_to *to, size_t count, int64_t wall, struct err *err);
/* Those that wait, or are held, after that one; *last is the last one looked at, message 0 at the end. */
MUST bool queue_page(struct queue *q, const struct queue_routed *after, size_t limit,
		     void (*each)(void *arg, const struct queue_routed *r), void *arg,
		     struct queue_routed *last, struct err *err);
/* It goes elsewhere from now on, unless it is in hand. */
MUST bool queue_move(struct queue *q, const struct queue_routed *r, int64_t destination,
		     struct err *err);

/* ---- what became of one ----------------------------------------------------------------------- */

struct queue_fate {
	uint32_t number;
	enum to_state state;
	struct span address, notify, origin, answer;
	int64_t tried; /* 0: never */
};

/* False: err. *found: whether there is such a message; its texts are copied into mem. */
MUST bool queue_about(struct queue *q, uint64_t id, struct queue_message *m, uint8_t *mem,
		      size_t n, bool *found, struct err *err);
/* Its body, if it is not in a file, is given to that function. */
MUST bool queue_with_body(struct queue *q, uint64_t id,
			  void (*with)(void *arg, struct span body), void *arg,
			  struct err *err);
/* One recipient, called once or not at all. */
MUST bool queue_fate(struct queue *q, uint64_t id, uint32_t number,
		     void (*each)(void *arg, const struct queue_fate *f), void *arg,
		     struct err *err);
/* The numbers of up to `max` recipients that wait: all, or only those not in hand. */
MUST bool queue_waits(struct queue *q, uint64_t id, bool in_hand, uint32_t *numbers,
		      size_t max, size_t *count, struct err *err);

struct queue_delayed {
	uint64_t after, before; /* ids */
	uint32_t with, without; /* MAIL_ bits */
};

/*
 * Of the next max messages those with a sender that still wait. *last: the last one that was
 * looked at; 0: there are no more.
 */
MUST bool queue_delayed(struct queue *q, const struct queue_delayed *want, uint64_t *ids,
			size_t max, size_t *count, uint64_t *last, struct err *err);
MUST bool queue_set_flag(struct queue *q, uint64_t id, uint32_t flag, struct err *err);
/* Fields that go before its body from now on. */
MUST bool queue_set_prefix(struct queue *q, uint64_t id, struct span prefix,
			   struct err *err);

#endif
