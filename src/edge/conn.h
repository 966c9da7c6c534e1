/*
 * conn - one session and its connection
 *
 * A conn is driven from conn.c only (and what belongs to it: conn_inner.h); the other files
 * carry out one kind of order each and come back with conn_answer(). Nothing frees a conn but
 * the end of the round in which it died.
 */
#ifndef EDGE_CONN_H
#define EDGE_CONN_H

#include "guard/guard.h"
#include "io/loop.h"
#include "io/stream.h"
#include "session/session.h"

struct edge;
struct rules;

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
	int fd;		   /* -1: it is whole, and closed */
	int error;	   /* errno of the last write */
	struct buf body;   /* what the thread writes */
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
	bool sure;	   /* likewise, of AUTHED_ASK: yes of the mailbox server is yes */
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
MUST bool letter_spool(struct conn *c, int fd);
/* Write what is left of the body to the file; then store_submit() follows. */
void letter_write_rest(struct conn *c);
/* All is in the file, if there is one: the store takes it once nobody can write to it. */
void letter_written(struct conn *c);
/* Forget the file. */
void letter_drop_spool(struct conn *c);

/* ---- waiting.c ------------------------------------------------------------------------- */

/* It waits for this, until that is found here and it is forgotten. */
void waiting_for(struct conn *c, enum conn_waits what, uint64_t key);
struct conn *waiting_find(struct edge *e, uint64_t key, enum conn_waits what);
void waiting_forget(struct conn *c);
/* It was not asked yet, for want of a link or of room on it. */
void waiting_set_unsent(struct conn *c, bool unsent);

#endif
