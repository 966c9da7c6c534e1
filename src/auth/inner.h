/*
 * inner - what the files of the auth role share; for auth/ only
 *
 * auth.c starts it and hears the supervisor, peers.c the edges, watch and fetch, store_link.c
 * the store. attempt.c is the life of one attempt to log in, underway.c knows which there are,
 * answer.c tells the edge how it ended, and report.c everybody else.
 */
#ifndef AUTH_INNER_H
#define AUTH_INNER_H

#include "auth/cache.h"
#include "auth/hashing.h"
#include "auth/keeper.h"
#include "auth/logins.h"
#include "auth/oauth.h"
#include "auth/passwords.h"
#include "auth/sources.h"
#include "auth/store_link.h"
#include "crypt/keyed.h"
#include "guard/accounts.h"
#include "io/loop.h"
#include "link/start.h"

struct attempt;
struct auth;
struct client_authorities;

/* Another role. An edge of the same number that comes later has another generation. */
struct peer {
	struct auth *auth;
	struct link *link; /* NULL: it is not there */
	struct watch watch;
	enum role role;
	unsigned number;
	uint32_t generation;
};

#define ATTEMPT_CHAINS 1024

struct auth {
	struct start *start;
	struct loop *loop;
	struct watch life;
	struct timer beat;
	struct peer watcher, fetch, edges[EDGES_MAX];
	uint32_t generations;

	struct keeper *keeper;
	struct passwords *passwords;
	struct store_link *store; /* signatures, and notices to owners */
	struct sources *sources;
	struct hashing *hashing;
	struct cache *cache;
	struct oauth_checker *oauth;
	struct vault_credential credential; /* that oauth asked for last */

	struct accounts guard;
	void *own_memory; /* of the guard, if the supervisor gave us none */
	uint8_t key_secrets[KEYED_KEY], key_salts[KEYED_KEY];
	size_t dummy_n; /* the hash that nobody has: what an unknown user costs */
	uint8_t dummy[VAULT_HASH_MAX];

	struct client_authorities *authorities; /* of auth.mechanisms external; NULL: none */
	struct logins *logins;			/* IMAP and POP3 sessions that are open */
	size_t judging;	   /* unknown devices that mailbox servers are asked about */
	size_t attempts;   /* under way */
	size_t challenged; /* of them, who have to answer first */
	struct attempt *by_ask[ATTEMPT_CHAINS];	 /* chains: of (edge, ask) */
	struct attempt *by_pair[ATTEMPT_CHAINS]; /* and of (user, prefix) */
	struct attempt *ready, **ready_end;	 /* may ask the guard again */
	int exit_code;
};

/* ---- auth.c ---- */

void auth_trouble(struct auth *a, enum record kind, const char *why);

/* ---- authorities.c ---- */

/* Takes over the descriptor; -1: there are none. */
void authorities_read(struct auth *a, int fd);

/* ---- peers.c ---- */

/* A link, taken over; it replaces one of the same role and number. */
void peers_meet(struct auth *a, struct link *link);
void peers_close(struct auth *a);
/* After something was packed with link_begin(): send it. False: nobody is there. */
bool peer_send(struct peer *p);
/* That edge, if it is still the one of that generation. */
struct peer *peers_edge(struct auth *a, unsigned number, uint32_t generation);

/* ---- attempt.c ---- */

/* False: that is nothing that an edge of ours would say. */
MUST bool attempts_auth(struct auth *a, struct peer *edge, struct span frame);
MUST bool attempts_more(struct auth *a, struct peer *edge, struct span frame);
MUST bool attempts_over(struct auth *a, struct peer *edge, struct span frame);
MUST bool attempts_judged(struct auth *a, struct peer *edge, struct span frame);
MUST bool attempts_left(struct auth *a, struct peer *edge, struct span frame);
/* AUTH_HELD */
MUST bool attempts_held(struct auth *a, struct peer *edge, struct span frame);
/* The edge is gone, and everybody on it. */
void attempts_lost(struct auth *a, struct peer *edge);
/* Once a second: what has waited for too long. */
void attempts_tick(struct auth *a);
/* Give those their turn who have been waiting for it. The last thing of each callback. */
void attempts_go_on(struct auth *a);
void attempts_close(struct auth *a);

#endif
