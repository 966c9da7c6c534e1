/*
 * client - the visits of one worker on their connections
 *
 * What happens to a socket is told to its visit, and what the visit says is done. An idle client
 * is some 200 bytes: it has a buffer only for what its server does not take, or has sent too
 * early.
 */
#ifndef REHEARSE_CLIENT_H
#define REHEARSE_CLIENT_H

#include "rehearse/conn.h"
#include "rehearse/counts.h"
#include "rehearse/timers.h"

/* An actor as this worker plays it. */
struct role {
	const struct actor *actor;   /* borrowed; NULL: not played here */
	const struct target *target; /* borrowed */
	struct pool pool;
	struct crowd crowd;
	struct visitor who; /* whose turn it is; what all have in common is filled in */
	bool tells_address; /* its texts ask for them */
	bool tells_port;
	bool told_no_room; /* on standard error */
	double cut;	   /* ms: from then on nobody stays */
};

struct client;

struct clients {
	struct client *all;	    /* owned */
	uint32_t most, used, never; /* all; taken; from `never` on none was ever taken */
	uint32_t free;		    /* the first one that was and is not, + 1; 0: none */
	int poller;		    /* owned */
	SSL_CTX *tls;		    /* owned */
	uint8_t *in, *out;	    /* owned: for the client whose turn it is */
	struct timers timers;
	struct counts counts;
	struct role roles[ACTORS_MAX];
	unsigned roles_n;
	uint64_t seed;
	double now;	/* ms */
	bool spent;	/* it cannot go on; said on standard error */
	bool cut_short; /* the run was stopped: who waits is nobody's fault */
};

/* The roles and the counts are left to the caller. */
MUST bool clients_open(struct clients *h, uint32_t most, struct err *e);
void clients_close(struct clients *h);

/* The clock is read. */
void clients_look_up(struct clients *h);

/* A visit begins, as crowd_next() said. */
void client_begin(struct clients *h, unsigned role, const struct crowd_visit *v);

/* What epoll_wait() said. */
void client_event(struct clients *h, uint64_t tag, uint32_t events);

/* All whose time has come. */
void clients_wake(struct clients *h);

/* Whoever plays a role whose `cut` has come goes home: among `n` from *at on, which moves on. */
void clients_send_home(struct clients *h, uint32_t *at, uint32_t n);

#endif
