/*
 * schedule - when which destination gets how much
 *
 * A destination is one next hop, or all Maildirs. Each has its own room and its own
 * back-off, so one that is dead never holds up another: what waits for it stays in the
 * database, and one delivery at a time finds out whether it is back. No I/O here, and the
 * time is told.
 */
#ifndef STORE_SCHEDULE_H
#define STORE_SCHEDULE_H

#include "base/span.h"
#include "base/time.h"
#include "conf/conf.h"

struct destination {
	int64_t id; /* in the database */
	enum hop hop;
	char target[TEXT_MAX];
	unsigned under_way; /* deliveries that were started, or promised room */
	unsigned fails;	    /* in a row in which nobody answered */
	ms_t not_before;    /* backing off until then (monotonic) */
	int64_t next_due; /* wall clock; of what waits in the database; MS_NEVER: nothing */
	bool taking;	  /* an operation that takes what is due is under way */
};

/* Ceilings: destinations that ever were in the configuration and still have mail. */
#define DESTINATIONS_MAX 1024

struct schedule {
	size_t count;
	struct destination *list[DESTINATIONS_MAX];
	int64_t last_id;
};

void schedule_close(struct schedule *s);

struct destination *schedule_find(const struct schedule *s, enum hop hop,
				  const char *target);
struct destination *schedule_by_id(const struct schedule *s, int64_t id);
/* NULL: out of memory, or too many. */
struct destination *schedule_add(struct schedule *s, int64_t id, enum hop hop,
				 struct span target);

bool hop_is_network(enum hop hop);
/* "maildir", "discard", "lmtp:unix:/path", "lmtp:host:24", "smtp:host:25" */
void destination_print(const struct destination *d, struct buf *out);

/* Something for it waits in the database until then. */
void destination_due(struct destination *d, int64_t due);
/* How many deliveries may start now. One at most while it is not known to be back. */
unsigned destination_room(const struct destination *d, unsigned most, ms_t now);
/* It answered, whatever it said. */
void destination_answered(struct destination *d);
/* It did not; the pause doubles from a tenth of `first` up to `longest`. */
void destination_failed(struct destination *d, ms_t now, ms_t first, ms_t longest);

/*
 * How long a recipient waits after that many failed tries, the last one included: `first`,
 * doubled each time, at most `longest`; less up to an eighth, so that what failed together
 * is not tried together.
 */
ms_t schedule_pause(uint32_t tries, ms_t first, ms_t longest, uint64_t seed);

#endif
