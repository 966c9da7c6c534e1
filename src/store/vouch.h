/*
 * vouch - what the store knows by itself of who sends
 *
 * An edge hears strangers and may be in their hands, so the store does not take its word for
 * who somebody is, nor for which addresses are theirs. Of who logged in, auth has said it
 * (crypt/ticket.h); of a program of this machine, the kernel says whose its socket is. From
 * that follows from which addresses they may write (submission.senders, submission.from).
 */
#ifndef STORE_VOUCH_H
#define STORE_VOUCH_H

#include "crypt/ticket.h"
#include "link/frame.h"
#include "store/recipients.h"
#include "wire/header.h"

struct store;

#define VOUCH_FROM_MAX 1024 /* of From, as in a session: a longer one names nobody */

/* What an edge says. Borrowed. */
struct claim {
	unsigned edge;
	struct span login, ticket;
	int socket; /* -1: none went along */
};

struct vouched {
	enum ticket_says says; /* LATE: true once, perhaps; the others are good for nothing */
	bool held;	       /* what it sends is to be held */
	bool any_sender;       /* root may use any address */
};

/* Somebody who logged in. */
struct vouched vouch_login(const struct store *s, const struct claim *c);
/* A program of this machine. */
struct vouched vouch_program(const struct store *s, const struct claim *c);

/* The From field of a message that is looked through from its beginning, in pieces. */
struct vouch_from {
	struct header header;
	uint8_t mem[VOUCH_FROM_MAX];
	struct buf text;
};

void vouch_from_init(struct vouch_from *f);
void vouch_from_scan(struct vouch_from *f, struct span text);

/* What a message that is being handed in says of where it is from. */
struct origin_said {
	struct span login, sender;
	const struct vouch_from *from;
};

/* YES; NO: it is somebody else's; UNKNOWN: out of memory. */
enum verdict vouch_sender(const struct store *s, const struct origin_said *o);
/* Likewise of the addresses in From. */
enum verdict vouch_from(const struct store *s, const struct origin_said *o);

#endif
