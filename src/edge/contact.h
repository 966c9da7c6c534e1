/*
 * contact - a connection to a next hop, and those that are kept for the next message
 *
 * A contact belongs to a job, or waits for one for delivery.reuse after a message that
 * was taken. Who comes next to the same hop in the same way finds it greeted, inside TLS
 * and logged in.
 */
#ifndef EDGE_CONTACT_H
#define EDGE_CONTACT_H

#include "conf/conf.h"
#include "io/stream.h"
#include "wire/smtp_peer.h"

#define CONTACT_IN	 4096  /* more than a line of a reply */
#define CONTACT_OUT	 16384 /* what is written at once */
#define CONTACTS_WAITING 100   /* at most, of an edge */
#define CONTACT_MAILS	 100   /* over one connection: others want the host, too */

struct contacts {
	struct loop *loop;
	struct contact *first;
	size_t count;
};

/* To whom, and how: whoever wants the same can have it. */
struct contact_key {
	enum hop hop;
	enum hop_tls tls;
	struct span target, credential, helo;
};

struct contact {
	struct contacts *all;
	struct contact *next, **back; /* of those that wait; back: NULL if it does not */
	void (*on_ready)(void *arg);  /* for who has it */
	void *arg;
	struct stream stream;
	struct timer timer;
	struct smtp_peer peer; /* what the host can do */
	enum hop hop;
	enum hop_tls tls;
	uint8_t key_n[3];
	uint8_t key[3][TEXT_MAX]; /* target, credential, helo */
	char host[TEXT_MAX];	  /* for DELIVERED */
	char tls_words[64];
	unsigned mails;
	size_t in_n;
	struct buf out;
	uint8_t in[CONTACT_IN], out_mem[CONTACT_OUT];
};

/* Not connected yet; NULL: out of memory. */
struct contact *contact_new(struct contacts *all, void (*on_ready)(void *arg), void *arg);
/* For on_ready of its stream: calls whoever has it. */
void contact_on_ready(void *contact);
/* Close it, wipe what was said over it, free it. */
void contact_drop(struct contact **c);

/* One that waits for a message like this; NULL: none. */
struct contact *contact_find(struct contacts *all, const struct contact_key *key,
			     void (*on_ready)(void *arg), void *arg);
/* It may wait for so long. Takes it over. */
void contact_keep(struct contact **c, const struct contact_key *key, ms_t how_long);
/* Nobody is to find one any more. */
void contacts_drop(struct contacts *all);

#endif
