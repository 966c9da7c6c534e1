/*
 * job - one delivery or probe on its way: the connection, the message, the dialogue
 *
 * What delivery.c and job.c share. A job is driven from job.c only and ends itself; only
 * a thread that reads from its file keeps the memory for longer.
 */
#ifndef EDGE_JOB_H
#define EDGE_JOB_H

#include <sys/types.h>

#include "edge/delivery.h"
#include "io/dns.h"
#include "io/stream.h"
#include "session/delivery.h"

#define JOB_IN	4096  /* more than a line of a reply */
#define JOB_OUT 16384 /* what is written at once */

struct deliveries {
	struct deliveries_setup setup;
	struct dns *dns;
	struct job *first;
	size_t count;
	struct link *store; /* NULL: not there now */
	bool stopping;
	uint8_t answers[LIST_FRAME_MAX]; /* for one DELIVERED */
};

enum job_state { JOB_LOOKS_UP, JOB_CONNECTS, JOB_TALKS, JOB_OVER };

/* The message's bytes, from the frame or from a file. */
struct job_body {
	struct span inlined;
	int fd;		  /* -1: inline */
	size_t offset;	  /* what was read of the file */
	uint8_t *piece;	  /* of it */
	struct span left; /* of the piece, or of the inline body */
	ssize_t got;	  /* by the thread; -1: failed */
	bool reading;	  /* the thread has it */
};

struct job {
	struct deliveries *all;
	struct job *next, **back;
	bool wanted; /* the answer: it was not given yet, and somebody waits for it */
	enum job_state state;
	uint64_t number;
	enum hop hop;
	struct span target;
	uint8_t *frame; /* what all spans point into */
	struct job_body body;

	/* the way there */
	uint16_t port;
	struct dns_query query;
	size_t tried; /* of its addresses */
	ms_t connect_by;
	char host[TEXT_MAX]; /* for DELIVERED */
	struct stream stream;
	struct timer timer;

	/* the dialogue */
	struct delivery_setup setup;
	struct delivery delivery;
	unsigned orders;
	ms_t wake;
	size_t in_n;
	struct buf out;
	uint8_t in[JOB_IN], out_mem[JOB_OUT];
};

/* All of it is filled in but the way there and the dialogue: go. May end it at once. */
void job_begin(struct job *j);
/* Break it off, without an answer. */
void job_end(struct job *j);
/* Free one that is in no list and that no thread reads for. */
void job_release(struct job *j);
/* Has the end of the message been sent, or is the job over anyway? */
bool job_is_beyond_recall(const struct job *j);

/* ---- delivery.c ------------------------------------------------------------------------- */

void deliveries_send(struct deliveries *d, const struct msg_DELIVERED *m);
void deliveries_leave(struct job *j);

#endif
