/*
 * view - the guard as watch sees it: its memory, the orders, the access lists, the limits
 *
 * Only looks, except for the orders, which are ours to write. Everything is an argument,
 * so that what is said about a client can be tested with a memory that the test made.
 */
#ifndef WATCH_VIEW_H
#define WATCH_VIEW_H

#include "conf/conf.h"
#include "guard/access.h"
#include "guard/account_look.h"
#include "guard/guard.h"

struct view {
	struct guard guard;
	bool has_memory;	  /* else guard.memory is nothing */
	struct accounts accounts; /* read only */
	bool has_accounts;
	struct orders *orders;	 /* NULL: none; guard.orders is the same */
	const struct conf *conf; /* borrowed */
};

struct start;

/* What the supervisor gave us. What is missing, or of another version, is left out. */
void view_init(struct view *v, const struct start *start, const struct conf *conf);
/* A new configuration: other limits. */
void view_conf(struct view *v, const struct conf *conf);
/* A new access list, or NULL. */
void view_access(struct view *v, const void *mem, size_t n);

/* A time of the guard's memory as wall clock, for people; 0: never. */
int64_t view_wall(gsec_t at, ms_t now, int64_t wall);

/* ---- what is held against whom -------------------------------------------------------- */

/* Does a ban hold on this row, and was it not forgiven since? Observed ones do, too. */
bool view_banned(const struct view *v, const struct guard_hot *row, ms_t now,
		 int64_t wall);
/* When it was forgiven what the guard held against it until then; 0: never. */
int64_t view_pardoned(const struct view *v, const struct net *net);
/* Connections per hour since the ban began (or for as long as it lasted). */
double view_tries_after(const struct guard_ban *ban, ms_t now);
/* Does the guard refuse for this rule, or only say that it would? */
bool view_enforces(const struct view *v, enum rule rule);

/* Is one net inside the other, or the same? */
bool net_inside(const struct net *small, const struct net *large);

enum view_by {
	BY_NOBODY,
	BY_ACCESS, /* a list of the configuration */
	BY_ORDER,  /* the administrator's */
	BY_LOCKDOWN,
	BY_BAN,	     /* the guard's */
	BY_STANDING, /* it gets in, and is answered late or not at all */
};

/* What happens to a client that connects now. Rate, sessions and room are not asked. */
struct view_fate {
	enum view_by by;
	bool in;       /* it gets in */
	bool observed; /* would not, if the guard were not only observing */
	bool known_good;
	enum guard_step step;
	enum rule rule;
	int64_t since, until; /* wall; 0: nothing has an end, INT64_MAX: for good */
	struct net net;	      /* what is banned, ordered or listed */
	struct access_hit hit;
	struct order order;
};

/* For a client, or for a prefix as a whole. */
void view_fate(const struct view *v, const struct net *net, ms_t now, int64_t wall,
	       struct view_fate *out);

#endif
