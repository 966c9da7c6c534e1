/*
 * stage - sessions in memory, with a clock and a store that the test owns
 *
 * What edge/ and the store are to a session, without sockets and without waiting: bytes
 * are fed in pieces, questions are answered at once or when the test says so, and what a
 * session promises in session.h is checked after every step.
 */
#ifndef TESTS_STAGE_H
#define TESTS_STAGE_H

#include "session/session.h"
#include "tests/kit/stage_box.h"

#define STAGE_NO_ANSWER (-1)

/* A message that the store was given. */
struct stage_mail {
	uint64_t id;
	uint32_t flags;
	struct buf envelope, body; /* body: spooled part and all */
};

struct stage_peer {
	struct stage *stage;
	struct session session;
	struct buf in, unsent, said, spool; /* unsent: of the peer, not in `in` yet */
	struct buf peer;
	struct letter letter;
	char refused[ADDRESS_MAX]; /* the text of the last refusal, cut */
	enum reply refusal;
	enum rule refused_by; /* the last one */
	bool only_observed, passed;
	ms_t wake;
	unsigned asks; /* the open question: an order */
	char asked[ADDRESS_MAX + 1];
	char credentials[512]; /* of the last DO_AUTH or DO_AUTH_MORE: "PLAIN authzid user secret" */
	char not_own[ADDRESS_MAX + 1];
	unsigned exchanges; /* that were begun */
	bool deaf;	    /* does not read what we say */
	bool offer;	    /* the last step stopped for want of room to answer */
	bool closed, aborted;
	bool has_box;
	bool relays; /* it talks with its mailbox server now: p->in is what that gets first */
	unsigned drops, submits;
};

struct stage {
	struct conf conf;
	struct listener *listener; /* conf.listeners[0] */
	uint8_t *map;
	size_t map_n;
	struct endpoint local;
	ms_t now;
	int64_t wall;
	uint64_t next_id;
	bool tls_ready, storage_full, no_letters, map_stale;
	struct standing standing; /* of all peers */
	bool no_guard;		  /* no standing at all */
	struct span access;	  /* borrowed */
	size_t chop;		  /* how many bytes arrive at once; 0: all */
	/* what the store answers, or STAGE_NO_ANSWER */
	int verdict, submitted, room;
	/* whether the sender may be used: an enum verdict */
	int may_send;
	/* auth: challenges in turn, then what comes of it, or STAGE_NO_ANSWER */
	int authed;
	size_t challenge_count, challenge_at;
	char challenges[4][128];
	enum event auth_event;
	ms_t auth_delay;
	char login[ADDRESS_MAX + 1], last_words[128];
	/* the mailbox server: an enum session_backend_result, or STAGE_NO_ANSWER; and what it
	   offers after the login, and before */
	int backend;
	char capability[256], offers[256];
	struct stage_box box;	 /* of BACKEND_BOX */
	const char *local_login; /* of who comes over a socket of this machine */
	uint64_t seen[EVENT_COUNT];
	uint64_t mails;
	struct stage_mail last;
};

/*
 * Nobody waits for the greeting. here.example has alice, bob and full (over quota);
 * any.example is a catch-all, and ask.example is asked about.
 */
void stage_open(struct stage *g);
void stage_close(struct stage *g);

void stage_peer_open(struct stage *g, struct stage_peer *p, struct addr from);
void stage_peer_close(struct stage_peer *p);

/* The peer sends bytes. */
void stage_send(struct stage_peer *p, struct span bytes);
/* Something else happens. */
void stage_happen(struct stage_peer *p, enum session_in_kind kind);
/* Answer what is open, as g->verdict, g->submitted, g->room and g->standing.facts say. */
void stage_answer(struct stage_peer *p);
/* Time goes by; IN_TIME happens when it was asked for. */
void stage_pass(struct stage *g, struct stage_peer **peers, size_t count, ms_t time);

#endif
