/*
 * job - one delivery or probe on its way: its hosts, the connection, the dialogue
 *
 * What delivery.c and job*.c share. A job is driven from job.c (the dialogue) and
 * job_way.c (the way there) only and ends itself; only a thread that reads from its file,
 * and a result that the store cannot take yet, keep it for longer.
 */
#ifndef EDGE_JOB_H
#define EDGE_JOB_H

#include <sys/types.h>

#include "edge/contact.h"
#include "edge/delivery.h"
#include "edge/hosts.h"
#include "session/delivery.h"

struct deliveries {
	struct deliveries_setup setup;
	struct dns *dns;
	struct tls *tls;
	struct policies *policies;
	struct contacts contacts;
	struct job *first;
	size_t count;
	struct link *store; /* NULL: not there now */
	bool stopping;
	uint64_t asked;			 /* credentials */
	uint8_t answers[LIST_FRAME_MAX]; /* for one DELIVERED */
};

enum job_state {
	JOB_ASKS, /* for its credential */
	JOB_LOOKS_UP,
	JOB_CONNECTS,
	JOB_TALKS,
	JOB_SHAKES, /* hands, in the middle of the talk */
	JOB_OVER,
};

/* The message's bytes, from the frame or from a file. */
struct job_body {
	struct span inlined;
	int fd;		  /* -1: inline */
	size_t offset;	  /* what was read of the file */
	uint8_t *piece;	  /* of it */
	struct span left; /* of the piece, or of the inline body */
	size_t at;	  /* where the thread reads */
	ssize_t got;	  /* by the thread; -1: failed */
	bool reading;	  /* the thread has it */
};

/* NUL, user, NUL, secret: what AUTH PLAIN says. */
#define JOB_LOGIN (USER_MAX + SECRET_MAX + 2)

struct job {
	struct deliveries *all;
	struct job *next, **back;
	bool wanted; /* the answer: it was not given yet, and somebody waits for it */
	bool owed;   /* the job is over but for its answer */
	enum job_state state;
	uint64_t number;
	enum hop hop;
	enum hop_tls tls;
	struct span target, credential;
	uint8_t *frame; /* what all spans point into */
	struct job_body body;

	/* the way there */
	uint64_t ask; /* for the credential */
	struct hosts hosts;
	size_t tried;	 /* of the host's addresses */
	unsigned tries;	 /* of all hosts */
	bool in_clear;	 /* TLS has failed with this address, and need not be */
	bool elsewhere;	 /* it is to go on with another address or host */
	ms_t connect_by; /* to this host */
	ms_t awaited_by; /* of a probe: the answer, by a client */
	ms_t until;	 /* then no further one is tried */
	struct contact *c;
	struct timer timer;

	/* the dialogue */
	struct delivery_setup setup;
	struct delivery delivery;
	unsigned orders;
	ms_t wake;
	uint8_t login[JOB_LOGIN]; /* wiped */
};

/* All of it is filled in but the way there and the dialogue: go. May end it at once. */
void job_begin(struct job *j);
/* Break it off, without an answer. */
void job_end(struct job *j);
/* Free one that is in no list and that no thread reads for. */
void job_release(struct job *j);
/* Has the end of the message been sent, or is the job over anyway? */
bool job_is_beyond_recall(const struct job *j);
/* The answer that was owed was given, or nobody wants it any more. */
void job_settled(struct job *j);

/* ---- job.c, for job_way.c ---------------------------------------------------------------- */

/* There is a connection: talk. host: what is known of it, NULL if it is new. */
void job_talk(struct job *j, const struct smtp_peer *host);
void job_go_on(struct job *j);
void job_on_time(struct job *j);
/* Nobody was reached: that is the answer. */
void job_fail(struct job *j, int code, struct span why);

/* ---- job_way.c --------------------------------------------------------------------------- */

/* From the start: find out who the hosts are, and connect. */
void way_begin(struct job *j);
/* The address did not do: another one, or another host. False: there is no point. */
bool way_can_go_on(const struct job *j);
void way_go_on(struct job *j, struct span why);
void way_on_time(struct job *j);
/* The credential that was asked for. */
void way_on_credential(struct job *j, bool ok, struct span user, struct span secret);
/* The connection is there, or not. */
void way_on_ready(struct job *j);
struct contact_key way_key(const struct job *j);

/* ---- delivery.c ------------------------------------------------------------------------- */

/* False: the store cannot take it now. */
MUST bool deliveries_send(struct deliveries *d, const struct msg_DELIVERED *m);
void deliveries_leave(struct job *j);

#endif
