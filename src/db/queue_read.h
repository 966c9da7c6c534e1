/*
 * queue_read - the queue, for answers to the administrator
 *
 * A connection of its own that only reads: it sees what is committed, never waits for the
 * writer and is never waited for. One thread at a time may use it. Spans handed to a
 * callback are good until it returns.
 */
#ifndef DB_QUEUE_READ_H
#define DB_QUEUE_READ_H

#include "db/queue_job.h"
#include "db/where.h"

struct queue_reader;

MUST bool queue_reader_open(struct queue_reader **out, const char *path, struct err *err);
void queue_reader_close(struct queue_reader **r);

/* One recipient, as the administrator may see it. */
struct queue_line {
	struct queue_to to;
	enum to_state state;
	int64_t tried; /* 0: never */
	struct span answer;
	int hop; /* enum hop */
	struct span target;
};

enum queue_scope {
	SCOPE_ALL,  /* all but what was purged, unless the condition asks for states */
	SCOPE_HOLD, /* what an order of that kind would change */
	SCOPE_RELEASE,
	SCOPE_PURGE,
	SCOPE_RETRY,
};

/*
 * Looking for messages: from the oldest on, a window at a time, so that nobody waits long for
 * the reader. Begin with zeroes but for the first members; call it until `over`.
 */
#define LOOK_NO_PEER   (1u << 0)
#define LOOK_NO_LOGIN  (1u << 1)
#define LOOK_NO_SENDER (1u << 2)

struct queue_look {
	const struct where *where; /* NULL: every message */
	enum queue_scope scope;
	unsigned without; /* LOOK_NO_: what nobody will read, which saves time */
	int64_t wall;	  /* ages are counted from then */
	size_t most;	  /* messages given at once */
	size_t looks;	  /* messages looked at, at once */
	uint64_t after;	  /* the last one looked at */
	bool over;
};

/*
 * Of each message: id, state, flags, size, wall, peer, login, sender, rcpt_total and incident;
 * destination is that of its first recipient.
 */
MUST bool queue_look(struct queue_reader *r, struct queue_look *look,
		     void (*each)(void *arg, const struct queue_message *m,
				  int64_t destination),
		     void *arg, struct err *err);

/*
 * The first `max` recipients of a message that are not delivered. May be called for the
 * message that queue_look() just gave.
 */
MUST bool queue_look_to(struct queue_reader *r, uint64_t id, size_t max,
			void (*each)(void *arg, const struct queue_line *line), void *arg,
			struct err *err);

/* Does some recipient of it wait that was tried? As state=deferred of a condition. */
MUST bool queue_is_deferred(struct queue_reader *r, uint64_t id, bool *out,
			    struct err *err);
/* The destinations of its recipients that are not delivered, each as often as it has one. */
MUST bool queue_look_hops(struct queue_reader *r, uint64_t id,
			  void (*each)(void *arg, int64_t destination), void *arg,
			  struct err *err);

MUST bool queue_each_target(struct queue_reader *r,
			    void (*each)(void *arg, int64_t id, int hop,
					 struct span target),
			    void *arg, struct err *err);

struct queue_job {
	uint32_t number;
	enum queue_job_kind kind;
	enum queue_job_state state;
	bool standing;
	int64_t made, until, ended; /* 0: none */
	struct span condition, why;
	int64_t messages, bytes;
};

/* Orders with a number below `before`, the newest first; standing: those in force that stand. */
MUST bool queue_each_job(struct queue_reader *r, uint32_t before, bool standing,
			 size_t limit, void (*each)(void *arg, const struct queue_job *j),
			 void *arg, struct err *err);

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
/* What is held of the mail that somebody logged in has sent. */
struct queue_held {
	int64_t messages;
	int64_t oldest;	  /* when that came */
	int64_t incident; /* of all of them; 0: of several, or of none */
};

MUST bool queue_held_of(struct queue_reader *r, struct span login, struct queue_held *out,
			struct err *err);
MUST bool queue_is_spooled(struct queue_reader *r, uint64_t id, bool *out,
			   struct err *err);

#endif
