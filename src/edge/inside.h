/*
 * inside - what the files of edge/ share
 *
 * One struct edge per process, one struct conn per session. A conn is driven from
 * conn.c only; the other files carry out one kind of order each and come back with
 * conn_answer(). Nothing frees a conn but the end of the round in which it died.
 */
#ifndef EDGE_INSIDE_H
#define EDGE_INSIDE_H

#include "base/id.h"
#include "edge/crowd.h"
#include "edge/delivery.h"
#include "edge/edge.h"
#include "io/loop.h"
#include "io/pool.h"
#include "io/stream.h"
#include "session/session.h"

#define ACCEPTS_MAX	  16 /* per wake-up: the other workers want some, too */
#define STEPS_MAX	  32 /* per wake-up of one session, before others have their turn */
#define WAITING_BUCKETS	  4096
#define ENVELOPE_FIRST	  LETTER_ENVELOPE_MIN
#define BODY_FIRST	  8192
#define BODY_POOR	  LETTER_BODY_MIN /* when the budget is spent */
#define BODY_FULL	  (BODY_INLINE_MAX + TRACE_MAX)
#define ACCEPT_PAUSE	  ((ms_t)100) /* when descriptors have run out */
#define FULL_PAUSE	  ((ms_t)20)  /* when sessions have */
#define YIELD_PAUSE	  ((ms_t)5)   /* when they nearly have, so that others go first */
#define NEARLY_FULL_SHARE 4	      /* the last quarter of the sessions */
#define FLUSH_TIME	  (10 * MS_SECOND) /* for our last words */
#define LINGER_TIME	  (2 * MS_SECOND)  /* for the peer's, see stream_finish() */
#define STRANDED_AFTER \
	(5 * MS_SECOND) /* without a store, if nobody says that it is gone */

/* A configuration in force, for as long as a session uses it. */
struct rules {
	const struct conf *conf;
	size_t holders;
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
	struct inquiry *inquiry; /* look-ups about clients */
	struct timer beat, accept_again, drain_end, steps_again, stranded;

	struct peer_link life, store, watcher;
	struct port ports[LISTENERS_MAX];
	bool accepting;
	bool draining;
	int spare_fd; /* given up to accept and refuse when descriptors have run out */

	struct conn *conns; /* the living */
	struct conn *dead;  /* freed at the end of the round */
	size_t conn_count, conn_max;
	struct conn *hasty; /* had their share of this round: go on in the next */
	struct crowd *crowd;

	struct conn *waiting[WAITING_BUCKETS]; /* for the store, by what they wait for */
	size_t unsent; /* of them, what the store was not told yet */
	uint64_t last_ask;
	struct id_maker ids;
	uint64_t key[2]; /* for hashes and nonces */
	uint64_t nonces;

	struct span recipients; /* the map in force; SPAN_NONE before the first */
	bool storage_full;

	struct pool conn_pool, in_pool, out_pool;
	struct pool envelope_pool, body_pool, poor_pool, full_pool; /* by size */
	int64_t letter_memory, letter_memory_max;

	uint8_t in[IN_MAX];   /* for one step; what is left over moves to a lent block */
	uint8_t out[OUT_MAX]; /* likewise */
};

enum conn_state {
	CONN_TALKS,
	CONN_HANDSHAKE, /* TLS */
	CONN_ENDING,	/* no more steps; our last words are on their way */
	CONN_LINGERS,	/* all is said; what the peer still sends is thrown away */
	CONN_DEAD,
};

/* What a session waits for. */
enum conn_waits {
	WAITS_NOT,
	WAITS_VERDICT,
	WAITS_SPOOL, /* the store makes a file */
	WAITS_WRITE, /* a thread writes to it */
	WAITS_FINAL, /* likewise, the last of the body */
	WAITS_SUBMITTED,
	WAITS_FACTS, /* look-ups about the client */
};

/* A body that goes through a file. */
struct spool {
	struct edge *edge;
	struct conn *conn; /* NULL: given up while the thread was writing */
	int fd;
	int error;	 /* errno of the last write */
	struct buf body; /* what the thread writes */
};

struct conn {
	struct edge *edge;
	struct rules *rules;	   /* held */
	struct conn *next, **back; /* in edge->conns, or edge->dead */
	struct conn *next_hasty;
	struct stream stream;
	struct timer timer;
	enum conn_state state;
	bool hasty;
	bool peer_ended; /* it will send nothing more */
	bool offer;	 /* the session stopped reading for want of room to answer */
	bool ended_well; /* QUIT, and nothing behind it */
	bool spoke;	 /* since it was last read from */
	unsigned orders; /* what waits for the output to be written */

	uint8_t *in, *out; /* lent; NULL: nothing is pending */
	uint16_t in_n, out_n;

	enum session_in_kind answer; /* IN_OPENED: none */
	uint8_t answer_value;

	enum conn_waits waits;
	bool is_unsent;
	uint64_t waits_for; /* an id or the number of a question */
	struct conn *next_waiting;
	uint64_t id, nonce; /* of the message under way, since its body began */
	uint64_t next_id;   /* what the next one will have */
	struct spool *spool;
	struct letter letter; /* lent; memory NULL: none */
	int64_t charged;      /* its part of edge->letter_memory */

	struct inquest *inquest; /* what is asked about the client; NULL: nothing */
	struct conn *next_asking; /* about the same client */

	uint64_t number; /* of the session, as in the log */
	int32_t points;
	uint16_t seen[EVENT_COUNT];
	struct session session;
};

/* ---- conn.c ---------------------------------------------------------------------------- */

/* Takes over fd. Whatever happens, the conn looks after itself from here. */
void conn_open(struct edge *e, int fd, const struct endpoint *peer, size_t listener);
/* Step it as far as it goes now. */
void conn_go_on(struct conn *c);
/* What it waited for has come: it goes on with this, at once. */
void conn_answer(struct conn *c, enum session_in_kind kind, uint8_t value);
/* Likewise, when the order is being carried out: it goes on with this afterwards. */
void conn_answer_soon(struct conn *c, enum session_in_kind kind, uint8_t value);
/* We are stopping. */
void conn_stop(struct conn *c);
/* Without another word. */
void conn_abort(struct conn *c);

/* ---- letter.c -------------------------------------------------------------------------- */

/* Have a letter for the next step. False: out of memory. */
bool letter_lend(struct conn *c);
/* Take it back unless a transaction is under way. */
void letter_settle(struct conn *c);
void letter_give_back(struct conn *c);
/* DO_ROOM */
void letter_make_room(struct conn *c);
/* The store made a file, or did not. */
void letter_spool(struct conn *c, int fd);
/* Write what is left of the body to the file; then store_submit() follows. */
void letter_write_rest(struct conn *c);
/* Forget the file. */
void letter_drop_spool(struct conn *c);

/* ---- store_link.c ---------------------------------------------------------------------- */

void store_link_set(struct edge *e, struct link *link);
void store_link_lost(struct edge *e);
/* DO_VERIFY, DO_SUBMIT, and for letter.c: DO_ROOM beyond memory. */
void store_verify(struct conn *c, struct span address);
void store_submit(struct conn *c);
void store_ask_spool(struct conn *c);
/* DO_DROP */
void store_drop(struct conn *c);
/* It waits no more. */
void store_forget(struct conn *c);
/* A nonce for the message under way, and another id for the next one. */
void store_next_id(struct conn *c);
/* Messages were put on the link: watch for room if it needs it. */
void store_sent(void *edge);

/* ---- ports.c --------------------------------------------------------------------------- */

void ports_set(struct edge *e, const struct start_listener *l);
void ports_drop(struct edge *e, uint64_t id);
/* Watch them, or not. */
void ports_accept(struct edge *e, bool on);
void ports_close(struct edge *e);
void ports_on_pause_over(void *arg);

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
void report_step(struct conn *c, const struct session_out *out);
void report_accepted(struct conn *c);
void report_end(struct conn *c);
/* One that was refused before it was a session. */
void report_busy(struct edge *e, const struct addr *from, const char *listener);
void report_capacity(struct edge *e, const char *key, const char *text);
void report_trouble(struct edge *e, const char *key, const char *text);

/* ---- certs.c --------------------------------------------------------------------------- */

/* Read the CERTS blob; takes over fd. NULL and an empty err: there are no certificates. */
struct tls *certs_read(int fd, const struct conf *conf, struct err *err);

/* ---- edge.c ---------------------------------------------------------------------------- */

struct rules *rules_hold(struct rules *r);
void rules_let_go(struct rules **r);
/* A session or delivery has ended: was it the last of a draining edge? */
void edge_less_busy(void *edge);

#endif
