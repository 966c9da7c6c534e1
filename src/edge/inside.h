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
#define STRANDED_AFTER \
	(5 * MS_SECOND) /* without a store, if nobody says that it is gone */

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
	bool storage_full;

	struct pool conn_pool, in_pool, rest_pool, out_pool;
	struct pool envelope_pool, body_pool, poor_pool, full_pool; /* by size */
	int64_t letter_memory, letter_memory_max;

	uint8_t in[IN_MAX];    /* for one step; what is left over moves to a lent block */
	uint8_t out[OUT_MAX];  /* likewise */
	struct sasl_room room; /* likewise, for who logs in; wiped behind it */
};

enum conn_state {
	CONN_TALKS,
	CONN_HANDSHAKE, /* TLS */
	CONN_RELAYS,  /* no more steps; client and mailbox server talk with each other */
	CONN_ENDING,  /* no more steps; our last words are on their way */
	CONN_LINGERS, /* all is said; what the peer still sends is thrown away */
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
	WAITS_AUTH,
	WAITS_BACKEND, /* its mailbox server */
	WAITS_BOX,     /* the store, about its Maildir */
	WAITS_READ,    /* a thread reads from it */
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
	bool known_device; /* so auth said of its last attempt */
	bool hasty;
	bool peer_ended; /* it will send nothing more */
	bool offer;	 /* the session stopped reading for want of room to answer */
	bool ended_well; /* QUIT, and nothing behind it */
	bool spoke;	 /* since it was last read from */
	unsigned orders; /* what waits for the output to be written */

	uint8_t *in, *out; /* lent; NULL: nothing is pending */
	uint16_t in_n, out_n;
	bool in_small; /* in is a block of the rest_pool: half a line of one who takes his time */

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

	struct box *box; /* a Maildir that it reads; NULL: none */

	struct inquest *inquest;  /* what is asked about the client; NULL: nothing */
	struct conn *next_asking; /* about the same client */

	uint64_t hello;	   /* of its TLS, see io/tls.h */
	uint64_t auth_ask; /* of the exchange that auth leads; 0: none */
	uint64_t auth_login; /* of the one that let it in to read mail, which auth counts; 0: none */
	uint8_t *ticket; /* that auth gave it, TICKET_SIZE bytes; NULL: none */
	uint32_t tried;	 /* the last mechanisms, four bits each */
	struct auth_reply *auth_reply; /* not yet heard; NULL: none, or "later" */
	struct mailbox_way *mailbox; /* on its way to its mailbox server; NULL: it is not */
	struct relaying *relay;	     /* there; NULL: it is not */

	uint64_t number; /* of the session, as in the log */
	int32_t points;
	uint16_t seen[EVENT_COUNT];

	/* what visit.c knows of the client */
	struct guard_visit visit;
	uint32_t seat; /* SEAT_NONE: it has none */
	uint64_t user; /* who has logged in, as the seat says it; 0: nobody */
	bool judged;   /* else it is a front, which has not said yet for whom it comes */
	bool passed;
	bool delays;	    /* answers to its offences are held back, */
	uint8_t delayed;    /* so often already */
	bool held_back;	    /* one is now: it is in memory_delayed() */
	bool has_handshake; /* taken from this second's budget */
	bool over;	    /* refused from now on: it ends at the next step */
	enum rule late;
	uint32_t would; /* rules that would have refused it, as far as they are logged */
	char code[CODE_MAX]; /* the client's code, for whatever rule */
	uint64_t busy_us;
	ms_t moved;	     /* the last time that it got ahead */
	enum rule dismissed; /* it has to go; NONE: it may stay */
	bool again;	     /* the guard has news for it: one more step */
	bool kicked, evicted;

	struct session session;
};

/* A connection, and what the guard says to it. */
struct arrival {
	struct endpoint peer;
	size_t listener;
	bool judged; /* no: it is a front that we trust, and tells for whom it comes, or local */
	bool local; /* it came over a socket of this machine, and is the user uid */
	uint32_t uid;
	struct span login; /* what that user's login is; borrowed until it is in */
	struct guard_visit visit;
	struct guard_verdict verdict;
};

/* ---- conn.c ---------------------------------------------------------------------------- */

/* Takes over fd and the visit. Whatever happens, the conn looks after itself from here. */
void conn_open(struct edge *e, int fd, const struct arrival *a);
/* Step it as far as it goes now. */
void conn_go_on(struct conn *c);
/* What it waited for has come: it goes on with this, at once. */
void conn_answer(struct conn *c, enum session_in_kind kind, uint8_t value);
/* Likewise, when the order is being carried out: it goes on with this afterwards. */
void conn_answer_soon(struct conn *c, enum session_in_kind kind, uint8_t value);
/* We are stopping; now: it is cut off in a moment. */
void conn_stop(struct conn *c, bool now);
/* It reads mail, and may go on with that though this edge drains. */
bool conn_stays(const struct conn *c);
/* Without another word. */
void conn_abort(struct conn *c);
/* With the reply of this rule, as soon as no message of it is with the store. */
void conn_dismiss(struct conn *c, enum rule why);
/*
 * For mailbox.c, from mailbox_relay() on: what no step has taken of the client's bytes, and
 * that they are taken now. c->timer is mailbox.c's then.
 */
struct span conn_left_over(const struct conn *c);
void conn_left_over_taken(struct conn *c);
/* That was all: mailbox_end() follows, and the session is over. */
void conn_relayed(struct conn *c, enum end why);

/* ---- hand.c ---------------------------------------------------------------------------- */

/* What no step has taken stays with it: bytes in c->in or in edge->in. */
void hand_keep_input(struct conn *c, struct span left);
void hand_give_in(struct conn *c);
/* So does what cannot be written now, behind what is pending. */
void hand_keep_output(struct conn *c, struct span said);
void hand_give_out(struct conn *c);

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
/* DO_VERIFY, DO_MAY_SEND, DO_SUBMIT, and for letter.c: DO_ROOM beyond memory. */
void store_verify(struct conn *c, struct span address);
void store_may_send(struct conn *c, struct span address);
void store_submit(struct conn *c);
void store_ask_spool(struct conn *c);
/* DO_DROP */
void store_drop(struct conn *c);
/* We drain: it is to give us nothing new to deliver. */
void store_tell_leaves(struct edge *e);
/* What it wanted the guard to remember is merged. */
void store_remembered(struct edge *e, size_t rows, size_t torn);
/* A nonce for the message under way, and another id for the next one. */
void store_next_id(struct conn *c);
/* Messages were put on the link: watch for room if it needs it. */
void store_sent(void *edge);
/* Is there a link with room? Then the message that was begun can be sent. */
bool store_can_send(const struct edge *e);
MUST bool store_send(struct edge *e);

/* ---- box_link.c ------------------------------------------------------------------------ */

/*
 * For POP3 without a mailbox server: have the Maildir of session_login() opened. False: the
 * store cannot be asked, and nothing follows; else IN_BACKEND does, with what box_fill() says.
 */
MUST bool box_open(struct conn *c);
/* DO_TEXT, DO_REMOVE */
void box_text(struct conn *c, uint32_t number);
void box_remove(struct conn *c);
/* What the session may see of it in a step, and what it took. */
void box_fill(struct conn *c, struct session_in *in);
void box_settle(struct conn *c, const struct session_out *out);
/* The session is over, or nobody is logged in any more. */
void box_end(struct conn *c);
/* BOX_IS, BOX_TEXT, BOX_CLOSED. False: it makes no sense. */
MUST bool box_take(struct edge *e, struct frame *f);
/* The store is gone, and its boxes with it; another one is there. */
void box_link_lost(struct edge *e);
void box_link_set(struct edge *e);

/* ---- waiting.c ------------------------------------------------------------------------- */

/* It waits for this, until that is found here and it is forgotten. */
void waiting_for(struct conn *c, enum conn_waits what, uint64_t key);
struct conn *waiting_find(struct edge *e, uint64_t key, enum conn_waits what);
void waiting_forget(struct conn *c);
/* It was not asked yet, for want of a link or of room on it. */
void waiting_set_unsent(struct conn *c, bool unsent);

/* ---- auth_link.c ----------------------------------------------------------------------- */

#define AUTH_DELAY_MAX ((uint32_t)MS_MINUTE) /* as auth.delay-max */

void auth_link_set(struct edge *e, struct link *link);
void auth_link_lost(struct edge *e);
/* DO_AUTH, DO_AUTH_MORE */
void auth_ask(struct conn *c, const struct session_credentials *with);
void auth_more(struct conn *c, struct span text);
/* The exchange is over, whoever ended it, and so is waiting for it. */
void auth_over(struct conn *c);
/* The answer, for the step in which the session hears it; and after that. */
void auth_fill(struct conn *c, struct session_in *in);
void auth_heard(struct conn *c);
/* What the mailbox server said to AUTHED_ASK; another AUTHED follows. */
void auth_judged(struct conn *c, enum judged how);
/* A session that auth let in to IMAP or POP3 is over. */
void auth_left(struct conn *c);
/*
 * What the store wants to see of who has logged in, and another one instead of it: empty, or
 * TICKET_SIZE bytes. False: there is no memory, and it has none now.
 */
struct span auth_ticket(const struct conn *c);
MUST bool auth_keep_ticket(struct conn *c, struct span ticket);
void auth_drop_ticket(struct conn *c);
/* A new auth hears who is reading mail, as far as its link takes it now. */
void auth_tell_held(struct edge *e);
/* For the deliveries: deliveries_setup.ask_credential. */
bool auth_ask_credential(void *edge, uint64_t ask, struct span name);

/* ---- mailbox.c ------------------------------------------------------------------------- */

/*
 * Who logs in to IMAP or POP3, and the mailbox server behind. DO_AUTH: what was given is kept,
 * apart and for as long as it takes to log in there, then wiped.
 */
void mailbox_keep(struct conn *c, const struct session_credentials *with);
/* AUTHED_ASK: the mailbox server of that login is to judge it; auth_judged() follows. */
void mailbox_judge(struct conn *c, struct span login);
/* DO_BACKEND: IN_BACKEND follows; and what it is to hear, for that step. */
void mailbox_open(struct conn *c);
void mailbox_fill(struct conn *c, struct session_in *in);
/* DO_RELAY, once the output is written: bytes only from here on. */
void mailbox_relay(struct conn *c);
/* While it relays: the client's stream may be read or written, c->timer has come. */
void mailbox_ready(struct conn *c);
void mailbox_time(struct conn *c);
/* It reads IMAP, and can hear a word of ours now: there is nothing else on its way. */
bool mailbox_can_hear(const struct conn *c);
/* The session is over: let go of whatever there is. Harmless if there is nothing. */
void mailbox_end(struct conn *c);
/* IMAP: what the mailbox servers offer before a login, as far as that is known. */
struct span mailbox_offers(const struct edge *e);
/* What was relayed so far: to the mailbox server, and from it; and its name. */
struct span mailbox_relayed(const struct conn *c, uint64_t *up, uint64_t *down);

/* Before the sandbox closes, behind the deliveries, whose resolver and authorities it uses. */
MUST bool mailboxes_open(struct edge *e, struct err *err);
void mailboxes_close(struct edge *e);
/* e->rules are about to be let go for these; and what the administrator has ordered. */
void mailboxes_reconf(struct edge *e, const struct conf *conf);
void mailboxes_tick(struct edge *e);
/* The answer to LOCATE; the store, who would answer, is gone. */
void mailbox_located(struct edge *e, uint64_t ask, struct span name);
void mailbox_not_located(struct edge *e);
/* CREDENTIAL_IS. False: it was not asked for by us. */
bool mailbox_credential(struct edge *e, uint64_t ask, bool ok, struct span user,
			struct span secret);

/* ---- ports.c --------------------------------------------------------------------------- */

void ports_set(struct edge *e, const struct start_listener *l);
void ports_drop(struct edge *e, uint64_t id);
/* Watch them, or not. */
void ports_accept(struct edge *e, bool on);
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
struct tls *certs_read(int fd, const struct conf *conf, struct err *err);

/* ---- edge.c ---------------------------------------------------------------------------- */

struct rules *rules_hold(struct rules *r);
void rules_let_go(struct rules **r);
/* Take what has come over a link. False: it is broken or has ended; the reason was told. */
MUST bool edge_receive(struct edge *e, struct peer_link *p, const char *key,
		       bool (*take)(struct edge *e, struct frame *f));
/* A session or delivery has ended: was it the last of a draining edge? */
void edge_less_busy(void *edge);

#endif
