/*
 * queue_read - the queue, for answers to the administrator
 *
 * A connection of its own that only reads: it sees what is committed, never waits for the
 * writer and is never waited for. One thread at a time may use it. Spans handed to a
 * callback are good until it returns.
 */
#ifndef DB_QUEUE_READ_H
#define DB_QUEUE_READ_H

#include "db/queue.h"

struct queue_reader;

MUST bool queue_reader_open(struct queue_reader **out, const char *path, struct err *err);
void queue_reader_close(struct queue_reader **r);

/* Patterns are globs (*, ?, [a-z]) in lower case; empty: any. */
struct queue_filter {
	int state; /* enum queue_state; -1: any */
	struct span sender, recipient;
	bool by_peer;
	struct addr peer;
};

/* One recipient, as the administrator may see it. */
struct queue_line {
	struct queue_to to;
	enum to_state state;
	int64_t tried; /* 0: never */
	struct span answer;
	int hop; /* enum hop */
	struct span target;
};

/*
 * The next `limit` messages with an id above `after`; *last is where to go on, 0 at the
 * end. `first` is the first recipient that is not delivered, NULL if there is none.
 */
MUST bool queue_list(struct queue_reader *r, const struct queue_filter *filter,
		     uint64_t after, size_t limit,
		     void (*each)(void *arg, const struct queue_message *m,
				  const struct queue_line *first),
		     void *arg, uint64_t *last, struct err *err);

/* One message, called once or not at all; and the first bytes of its body if inline. */
MUST bool queue_show(struct queue_reader *r, uint64_t id, size_t body_max,
		     void (*each)(void *arg, const struct queue_message *m), void *arg,
		     struct err *err);

/* Its recipients with a number above `after`; *last as above, -1 at the end. */
MUST bool queue_show_lines(struct queue_reader *r, uint64_t id, int64_t after,
			   size_t limit,
			   void (*each)(void *arg, const struct queue_line *line),
			   void *arg, int64_t *last, struct err *err);

struct queue_stat {
	int hop;
	struct span target;
	enum to_state state;
	int64_t recipients;
	int64_t next;  /* when the first is due; MS_NEVER: none has a time */
	int64_t tried; /* recipients that were tried at least once */
};

MUST bool queue_stats(struct queue_reader *r,
		      void (*each)(void *arg, const struct queue_stat *stat), void *arg,
		      struct err *err);

/* Is it a message whose body is a file? For finding files that nobody needs. */
MUST bool queue_is_spooled(struct queue_reader *r, uint64_t id, bool *out,
			   struct err *err);

#endif
