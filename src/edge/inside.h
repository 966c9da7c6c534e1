/*
 * inside - what the files of edge/ share
 *
 * One struct edge per process, one struct conn (conn.h) per session. What sessions ask of
 * others is in asks.h.
 */
#ifndef EDGE_INSIDE_H
#define EDGE_INSIDE_H

#include "base/id.h"
#include "edge/asks.h"
#include "edge/conn.h"
#include "edge/delivery.h"
#include "edge/edge.h"
#include "edge/fetch_link.h"
#include "guard/guard.h"
#include "io/loop.h"
#include "io/pool.h"
#include "io/stream.h"
#include "session/session.h"

#define ACCEPTS_MAX	  16 /* per wake-up: the other workers want some, too */
#define REFUSALS_MAX	  64 /* likewise, of those who are not let in */
#define STEPS_MAX	  32 /* per wake-up of one session, before others have their turn */
#define WAITING_BUCKETS	  4096
#define ENVELOPE_FIRST	  LETTER_ENVELOPE_MIN
#define BODY_FIRST	  8192
#define BODY_POOR	  LETTER_BODY_MIN /* when the budget is spent */
#define BODY_FULL	  (BODY_INLINE_MAX + TRACE_MAX)
#define REST_MAX	  512	      /* of bytes in hand that get a small block */
#define ACCEPT_PAUSE	  ((ms_t)100) /* when descriptors have run out */
#define FULL_PAUSE	  ((ms_t)20)  /* when sessions have */
#define YIELD_PAUSE	  ((ms_t)5)   /* when they nearly have, so that others go first */
#define NEARLY_FULL_SHARE 4	      /* the last quarter of the sessions */
#define FLUSH_TIME	  (10 * MS_SECOND) /* for our last words */
#define LINGER_TIME	  (2 * MS_SECOND)  /* for the peer's, see stream_finish() */
/* without a store, if nobody says that it is gone: who would say so may stand still for a while */
#define STRANDED_AFTER (15 * MS_SECOND)

#define TICK_EVERY	 ((ms_t)100) /* orders and moods are looked at */
#define REFUSAL_LINE_MAX 384	     /* a refusal with its code and guard.contact */

/* Time-outs and limits of strangers as they are now: 0 is as configured. */
struct shrunk {
	uint64_t tick; /* when it was reckoned */
	ms_t command, data, tls;
	int64_t errors, junk;
};

/* A configuration in force, for as long as a session uses it. */
struct rules {
	const struct conf *conf;
	size_t holders;
	struct shrunk shrunk;
};

/* A line that is printed already, but for the code in it. */
struct refusal {
	uint16_t n, code_at;
	char line[REFUSAL_LINE_MAX];
};

struct peer_link {
	struct edge *edge;
	struct link *link; /* NULL: that role is not there now */
	struct watch watch;
};

struct port {
	struct edge *edge;
	uint64_t id;
	int fd; /* -1: free */
	struct watch watch;
};

struct edge {
	struct loop *loop;
	struct start *start;
	struct pulse *pulse;
	struct rules *rules;
	struct tls *tls; /* NULL: no certificates */
	struct deliveries *deliveries;
	struct mailboxes *mailboxes;
	struct fetch_link fetch;
	struct inquiry *inquiry; /* look-ups about clients */
	struct timer beat, accept_again, drain_end, steps_again, stranded, tick;

	struct peer_link life, store, auth, watcher;
	struct port ports[LISTENERS_MAX];
	bool accepting;
	bool draining;
	bool keeps;	 /* who reads mail stays while it drains, */
	ms_t readers_by; /* until then */
	bool saying_bye; /* whom we cut off in a moment has been told */
	bool storeless;	 /* no other store will come */
	int spare_fd;	 /* given up to accept and refuse when descriptors have run out */

	struct conn *conns; /* the living */
	struct conn *dead;  /* freed at the end of the round */
	size_t conn_count, conn_max;
	size_t relay_count, socket_max; /* who reads mail has a second socket */
	size_t file_count;		/* bodies and messages that are open, as files */
	size_t descriptor_max;		/* of both; beyond it, they are for links */
	struct conn *hasty; /* had their share of this round: go on in the next */

	struct guard guard;
	struct conn **seated; /* by seat */
	struct refusal refusals[SERVICE_COUNT][RULE_COUNT];
	struct refusal kicked[SERVICE_COUNT];
	struct standing standing; /* for one step */
	uint64_t ticks;
	bool tight; /* more than half of the sessions are taken */
	uint64_t orders_version, kick_serial;
	ms_t none_worse_until; /* nobody was found to give up for a stranger */
	ms_t capacity_said;
	struct conn *running;	/* whose time it is, */
	uint64_t running_since; /* since when, in us */

	struct conn *waiting[WAITING_BUCKETS]; /* for the store, by what they wait for */
	size_t unsent; /* of them, what the store was not told yet */
	bool untold;   /* there are readers of whom this auth does not know */
	uint64_t last_ask;
	struct id_maker ids;
	uint64_t key[2]; /* for hashes and nonces */
	uint64_t nonces;

	struct span recipients; /* the map in force; SPAN_NONE before the first */
	bool recipients_stale;	/* there is a newer one, which could not be had yet */
	bool storage_full;

	struct pool conn_pool, in_pool, rest_pool, out_pool;
	struct pool envelope_pool, body_pool, poor_pool, full_pool; /* by size */
	int64_t letter_memory, letter_memory_max;

	uint8_t in[IN_MAX];    /* for one step; what is left over moves to a lent block */
	uint8_t out[OUT_MAX];  /* likewise */
	struct sasl_room room; /* likewise, for who logs in; wiped behind it */
};

/* ---- ports.c --------------------------------------------------------------------------- */

void ports_set(struct edge *e, const struct start_listener *l);
void ports_drop(struct edge *e, uint64_t id);
/* Watch them, or not. */
void ports_accept(struct edge *e, bool on);
/*
 * For a socket or file of a session that is here? Strangers leave some for that; some are
 * left for links and deliveries.
 */
bool ports_have_descriptor(const struct edge *e);
void ports_close(struct edge *e);
void ports_on_pause_over(void *arg);

/* ---- guard.c --------------------------------------------------------------------------- */

/* Before the sandbox closes: memory, orders and lists are in e->start. */
MUST bool edge_guard_open(struct edge *e, struct err *err);
void edge_guard_close(struct edge *e);
/* e->rules are in force: take limits and texts from them. */
void edge_guard_adopt(struct edge *e);
/* MSG_ACCESS, MSG_REMEMBER. False: it makes no sense. */
MUST bool edge_guard_take_access(struct edge *e, struct frame *f);
MUST bool edge_guard_take_memory(struct edge *e, struct frame *f);
/* An edge has died: what it held is free. */
void edge_guard_mend(struct edge *e, unsigned dead);
/* Kicks, lockdown; how tight it is. Every TICK_EVERY. */
void edge_guard_tick(struct edge *e);
/* The line for this client; good until the next call. */
struct span edge_guard_refusal(struct edge *e, struct refusal *r, enum rule rule,
			       const struct addr *a);
/* Have somebody worse than this client leave. False: there is nobody. */
bool edge_guard_make_room(struct edge *e, const struct addr *from, bool known_good);
/* Do we trust this address to tell for whom it comes? */
bool edge_guard_is_front(const struct edge *e, const struct listener *l,
			 const struct addr *a);

/* ---- visit.c --------------------------------------------------------------------------- */

/* It takes a seat. */
void visit_begin(struct conn *c, const struct arrival *a);
/* The seat is free, and the guard knows that it has gone. Twice does no harm. */
void visit_end(struct conn *c);
/* What the session must know before a step: edge->standing. */
void visit_prepare(struct conn *c, const struct session_in *in);
/* A front has told for whom it comes. False: that one may not come in. */
MUST bool visit_told(struct conn *c);
/* What was seen in a step, of an offence or not. */
void visit_saw(struct conn *c, const struct session_out *out, unsigned seen);
/* Show on the scoreboard how it is. */
void visit_show(struct conn *c);
/* From here on time is spent on this session, and from here on not. */
void visit_busy(struct conn *c);
void visit_idle(struct conn *c);

/* ---- facts.c --------------------------------------------------------------------------- */

/* Before the sandbox closes. */
MUST bool facts_open(struct edge *e, struct err *err);
void facts_close(struct edge *e);
/* There is a configuration: its zones are asked about their health, now and then. */
void facts_adopt(struct edge *e);
/*
 * Look up the client of this session, whom we do not know; again if it turned out to be
 * somebody else (PROXY, XCLIENT). Answers come while it talks.
 */
void facts_begin(struct conn *c);
/* What is known now. */
void facts_fill(const struct conn *c, struct facts *out);
/* DO_FACTS: IN_FACTS comes when all is known, or too late. */
void facts_wait(struct conn *c);
/* It waits no more, and wants to know nothing more. One that never asked is fine. */
void facts_forget(struct conn *c);

/* ---- report.c -------------------------------------------------------------------------- */

/* What was seen in a step: counts, offences, a refusal. */
#define SEEN_ANY     (1u << 0)
#define SEEN_OFFENCE (1u << 1)
unsigned report_step(struct conn *c, const struct session_out *out);
void report_accepted(struct conn *c);
void report_end(struct conn *c);
/* One that was refused before it was a session, or that would have been. */
void report_refused(struct edge *e, const struct arrival *a);
/* The guard would refuse this session, but only observes. Told once for each rule. */
void report_would(struct conn *c, enum rule rule);
/* It has to leave, for somebody better. */
void report_evicted(struct conn *c);
void report_capacity(struct edge *e, const char *key, const char *text);
void report_trouble(struct edge *e, const char *key, const char *text);

/* ---- certs.c --------------------------------------------------------------------------- */

/* Read the CERTS blob; takes over fd. NULL and an empty err: there are no certificates. */
struct tls *certs_read(int fd, const struct conf *conf, const struct start *s,
		       struct err *err);

/* ---- rules.c ---------------------------------------------------------------------------- */

struct rules *rules_hold(struct rules *r);
void rules_let_go(struct rules **r);
/*
 * Which listener of the configuration in force it came to, which is what others know;
 * LISTENERS_MAX: none of it any more.
 */
uint16_t rules_listener(const struct conn *c);
/* Have this configuration in force for what begins from now on. It is let go in any case. */
MUST bool rules_adopt(struct edge *e, const struct conf *conf, struct err *err);
/* Likewise the certificates in this CERTS blob, unless they are none; takes over fd. */
void rules_adopt_certs(struct edge *e, int fd);

/* ---- drain.c ---------------------------------------------------------------------------- */

/* Said again when somebody is in a hurry: who reads mail has to leave as well. */
void drain_begin(struct edge *e, ms_t within, ms_t readers);
void drain_on_end(void *edge);
void drain_on_stranded(void *edge);
/* A session or delivery has ended: was it the last of a draining edge? */
void edge_less_busy(void *edge);

/* ---- supervisor.c ----------------------------------------------------------------------- */

void supervisor_on_ready(void *edge, unsigned ready);

/* ---- edge.c ----------------------------------------------------------------------------- */

/*
 * Take what has come over a link, up to so many frames: what is left is reported again, when
 * others have had their turn. False: it is broken or has ended; the reason was told.
 */
#define LINK_FRAMES_ONCE 64
MUST bool edge_receive(struct edge *e, struct peer_link *p, const char *key,
		       bool (*take)(struct edge *e, struct frame *f));

#endif
