/*
 * schedule - when which destination gets how much
 *
 * A destination is one next hop, or all Maildirs. Each has its own room and its own
 * back-off, so one that is dead never holds up another: what waits for it stays in the
 * database, and one delivery at a time finds out whether it is back.
 *
 * Who has mail and room stands in line and gets a turn; who has neither stands where the
 * event that it waits for finds it: a heap by time, the list of a server that it shares
 * with others. Nothing ever looks through all destinations. Lines are by what is known:
 * servers that answered last time may use all deliveries there are (delivery.max), those
 * never tried half of them, those that did not answer a quarter; and an eighth is kept for
 * who has nothing under way. So neither ten thousand dead hosts nor a million messages for
 * one that lives keep a single message from its server.
 *
 * There is a ceiling. Destinations beyond it are in the database only, and come in when
 * others have nothing left; who has something new comes in at once, in place of one that
 * waits. No I/O here, and the time is told.
 */
#ifndef STORE_SCHEDULE_H
#define STORE_SCHEDULE_H

#include "base/span.h"
#include "base/time.h"
#include "conf/conf.h"
#include "conf/hop.h"
#include "store/names.h"
#include "store/pace.h"

#define DESTINATIONS_MAX 100000

enum destination_at {
	AT_REST,  /* nothing waits for it: the first to go when there is no room */
	AT_WORK,  /* what is under way will tell */
	AT_DUE,	  /* its mail is not due yet */
	AT_PAUSE, /* it did not answer */
	AT_HOST,  /* the server that it shares has enough to do */
	AT_READY,
};

/* The lines. */
enum standing_of {
	OF_LOCAL, /* no network */
	OF_KNOWN, /* it answered when it was last tried */
	OF_NEW,
	OF_DEAD,
	OF_COUNT
};

struct destination {
	struct name name; /* a byte of hop, then the target */
	int64_t id;	  /* in the database */
	enum hop hop;
	const char *target;
	unsigned under_way; /* deliveries that were started, or promised room */
	unsigned trials;    /* of these, begun before it was known */
	unsigned users;	    /* others that hold a pointer to it */
	unsigned fails;	    /* in a row in which nobody answered */
	ms_t not_before;    /* backing off until then (monotonic) */
	int64_t next_due; /* wall clock; of what waits in the database; MS_NEVER: nothing */
	bool taking;	  /* an operation that takes what is due is under way */
	bool known;
	struct window window;
	struct host *host; /* that took mail for it last; NULL: not known */
	unsigned at_host;  /* of under_way, counted there */
	/* where it stands; for place.c */
	enum destination_at at;
	enum standing_of line, tried_as;
	struct destination *next, *prev;
	int64_t key;
	uint32_t place;
};

struct line {
	struct destination *first, *last;
	size_t count;
};

struct heap {
	struct destination **list; /* from 1 */
	uint32_t count, cap;
};

/* A server that several destinations may share. */
struct host {
	struct name name;
	unsigned users; /* destinations */
	unsigned under_way;
	struct window window;
	struct line waiting;
};

struct schedule {
	struct names table, hosts;
	size_t most; /* destinations */
	struct line resting, ready[OF_COUNT];
	struct heap due, paused;
	unsigned under_way;	   /* over the network */
	unsigned trials[OF_COUNT]; /* of these */
	unsigned turns;
	bool overflow; /* some have mail in the database, and no place here */
	/* set with schedule_clock(), schedule_limit() */
	ms_t now;
	int64_t wall;
	unsigned per_destination, total;
	ms_t retry_first, retry_max;
};

/* key: random, but the same after a restart; ids are made with it. */
void schedule_open(struct schedule *s, const uint64_t key[2], size_t most);
void schedule_close(struct schedule *s);

void schedule_clock(struct schedule *s, ms_t now, int64_t wall);
void schedule_limit(struct schedule *s, const struct settings *set);

/* The id of a destination that the database does not know yet; above all that counted. */
int64_t schedule_id(const struct schedule *s, enum hop hop, struct span target);
struct destination *schedule_find(const struct schedule *s, enum hop hop,
				  struct span target);
/* NULL: out of memory, or none of the others has nothing to do. */
struct destination *schedule_add(struct schedule *s, int64_t id, enum hop hop,
				 struct span target);
/*
 * All places are taken by others with mail: give up one that is not needed at once, so that
 * the next schedule_add() has a place. What waits for it is found in the database again
 * (overflow). False: all are in use.
 */
bool schedule_make_room(struct schedule *s);
/* Visit each: as names_each(). */
struct destination *schedule_each(const struct schedule *s, size_t *at);

void destination_print(const struct destination *d, struct buf *out);

/* Something for it waits in the database until then. */
void destination_due(struct schedule *s, struct destination *d, int64_t due);
/* Somebody holds a pointer to it, so that it stays. */
void destination_hold(struct schedule *s, struct destination *d);
void destination_let_go(struct schedule *s, struct destination *d);

/* What is due for it is being taken; or was, and this is due next. */
void destination_taking(struct schedule *s, struct destination *d);
void destination_taken(struct schedule *s, struct destination *d, int64_t next_due);

/* May one delivery begin? It is counted, until destination_over(). */
bool destination_begin(struct schedule *s, struct destination *d);
void destination_over(struct schedule *s, struct destination *d);

/* What came of one: it answered, whatever it said (host: who; may be empty). */
void destination_answered(struct schedule *s, struct destination *d, struct span host);
/* It answered that it has too much to do (421). */
void destination_pressed(struct schedule *s, struct destination *d, struct span host);
/* Nobody answered. */
void destination_failed(struct schedule *s, struct destination *d);
/* The administrator says that it may be back. */
void destination_retry(struct schedule *s, struct destination *d);

/*
 * Whose turn it is, and how many deliveries it may begin; NULL: nobody has mail that is
 * due and room. local: how many may begin without the network; network: those with it may.
 * Whoever gets a turn says destination_taking() and leaves the line.
 */
struct destination *schedule_turn(struct schedule *s, unsigned local, bool network,
				  unsigned *count);

#endif
