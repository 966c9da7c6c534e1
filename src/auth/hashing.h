/*
 * hashing - threads that check passwords, and who comes first
 *
 * Two lanes with threads of their own: known devices at normal priority, strangers at nice
 * 10. Within a lane each prefix and each account has its turn: one that has asked for a
 * hundred checks has the hundredth of them done after the first of everybody else (start
 * tags of fair queueing). Places are bounded: strangers have half of them, known devices
 * what is left; when the strangers' half is full, the job that would be done last of all
 * gives its place to one that would come before it.
 *
 * Strangers may spend only so much: a bucket of CPU time, filled with their share of all
 * processors, from which each check takes what its thread really used.
 */
#ifndef AUTH_HASHING_H
#define AUTH_HASHING_H

#include "base/err.h"
#include "base/time.h"
#include "io/loop.h"

struct hashing;

/* Embed it. It belongs to hashing from hashing_put() until one of its callbacks. */
struct hashing_job {
	uint64_t prefix, account; /* keyed hashes */
	bool known;		  /* a known device */
	void (*run)(void *arg);	  /* in a thread */
	void (*on_done)(void *arg);
	void (*on_lost)(void *arg); /* its place went to another; before hashing_put() ends */
	void *arg;
	/* members are for hashing.c from here on */
	uint64_t tag, number;
	size_t at; /* in the heap, from 1; 0: not waiting */
	struct hashing_job *next;
};

/* processors: how many this machine has. Starts the threads: close the sandbox before. */
MUST bool hashing_open(struct hashing **out, struct loop *loop, size_t threads,
		       size_t processors, struct err *err);
/* Ends the threads when what they have in hand is done; no callback is called any more. */
void hashing_close(struct hashing **h);

/* places: auth.queue. share: of all processors, of a hundred, for strangers. */
void hashing_limit(struct hashing *h, size_t places, unsigned share);

/* False: there is no place for it. */
MUST bool hashing_put(struct hashing *h, struct hashing_job *job);
/* Take it back, if it is still waiting: then no callback is called. False: it is not. */
MUST bool hashing_take_back(struct hashing *h, struct hashing_job *job);

struct hashing_state {
	size_t known, strangers; /* waiting */
	uint64_t done, lost;
	uint64_t cpu_us; /* of strangers, since the start */
};

void hashing_look(struct hashing *h, struct hashing_state *out);

#endif
