/*
 * mailbox - a session on its way to its mailbox server
 *
 * What mailbox.c (what the session and auth want, and what they hear), mailbox_way.c (which
 * server, with which login, the call) and relay.c's owner share. Secrets are here from the
 * moment that somebody gives them until the server has heard them or nobody wants it to.
 */
#ifndef EDGE_MAILBOX_H
#define EDGE_MAILBOX_H

#include "edge/backends.h"
#include "edge/call.h"
#include "edge/gates.h"
#include "edge/inside.h"
#include "edge/lately.h"
#include "edge/relay.h"

#define MAILBOX_BUCKETS 1024
#define MAILBOX_CALLS	4096		    /* at once, of an edge; more hear "later" */
#define MAILBOX_ASK	(UINT64_C(1) << 63) /* tells our asks from those of deliveries */
#define MAILBOX_WAIT	(10 * MS_SECOND)    /* for the store, for auth, in line */

struct mailboxes {
	struct backends *backends;
	struct gates gates;
	struct relays relays;
	struct pool calls;
	struct lately lately;
	uint64_t asked;
	struct mailbox_way *asking[MAILBOX_BUCKETS]; /* the store or auth, by ask */
};

/* Name and secret, and where in mem they are; wiped when it is freed. */
struct login_words {
	enum sasl_mechanism mechanism; /* PLAIN, or one of tokens: then there is only */
	struct span first; /* NUL and NUL between: what RFC 4616 makes of them */
	struct span authzid, user, secret;
	size_t n;
	uint8_t mem[];
};

enum mailbox_state {
	MAILBOX_IDLE,	 /* what was given is kept, that is all */
	MAILBOX_LOCATES, /* the store was asked */
	MAILBOX_CREDITS, /* auth was asked for what we log in with */
	MAILBOX_IN_LINE, /* many want the same server now */
	MAILBOX_CALLS_IT,
	MAILBOX_CALLED, /* talk.got says how it went */
};

struct mailbox_way {
	struct conn *conn;
	struct rules *rules; /* held, with the backends in it; NULL: not on the way */
	enum mailbox_state state;
	bool judging; /* for auth, else for the session */
	bool ahead;   /* nobody wants it yet: it goes up to the login, in silence */
	uint64_t who; /* in `lately` */
	bool at_once; /* the order is being carried out: the answer waits for its end */
	struct login_words *given, *used; /* used: NULL if it is what was given */
	uint8_t login_n;
	char login[USER_MAX]; /* whose mailbox */
	char session[ID_PRINTED + 1];
	const struct backend *backend;
	uint64_t tried; /* of conf.backends */
	uint64_t ask;	/* MAILBOX_LOCATES, MAILBOX_CREDITS */
	struct mailbox_way *next_asking;
	struct timer timer;
	struct gate_pass pass;
	struct call *call;
	enum backend_got got;
	bool none; /* there is no server for this login at all */
	struct session_backend told;
};

/* ---- mailbox.c -------------------------------------------------------------------------- */

/* The way has ended: m->got and m->none say where. */
void mailbox_arrived(struct mailbox_way *m);

/* ---- mailbox_words.c -------------------------------------------------------------------- */

/* NULL: out of memory. */
struct login_words *words_make(struct span authzid, struct span user, struct span secret);
/* What is said with a token; user may be empty. NULL likewise. */
struct login_words *words_make_token(enum sasl_mechanism m, struct span user,
				     struct span token);
/* For that login there, with a credential of ours. */
struct login_words *words_for(const struct backend *b, struct span login,
			      struct span user, struct span secret);
void words_free(struct login_words **w);

/* ---- mailbox_way.c ---------------------------------------------------------------------- */

static inline bool mailbox_is_pop3(const struct conn *c)
{
	return c->session.listener->service == SERVICE_POP3;
}

/*
 * Find the server of m->login and log in there; mailbox_arrived(), possibly at once. With
 * m->ahead only up to where the server would be told who logs in, and if anything is in the
 * way it ends without a word.
 */
void mailbox_way_begin(struct mailbox_way *m);
/* It is wanted now: from where it is. False: nothing is under way that leads there. */
MUST bool mailbox_way_go(struct mailbox_way *m, struct span login);
/* Break it off. The connection, if there is one, is c->relay's, which stays. */
void mailbox_way_end(struct mailbox_way *m);

#endif
