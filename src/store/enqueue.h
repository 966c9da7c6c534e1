/*
 * enqueue - a message that an edge handed in, on its way into the queue
 */
#ifndef STORE_ENQUEUE_H
#define STORE_ENQUEUE_H

#include "conf/conf.h"
#include "store/submit.h"

/* A SUBMIT that is whole and makes sense. */
struct coming {
	unsigned edge;
	uint64_t generation;
	struct span frame;
	const struct early_rcpts *early; /* NULL: none */
	struct span prefix;		 /* fields that go before it on its way out */
	bool held;			 /* auth says so */
	enum submitted refused; /* unless it is in the queue already; OK: not refused */
};

/* It is answered when that is committed. All texts are copied. */
void enqueue(struct store *s, const struct coming *c);

void submit_answer(struct store *s, unsigned edge, uint64_t generation, uint64_t id,
		   uint64_t nonce, enum submitted result);

/* Of the MAIL_ bits that an edge says those that may be true. */
uint32_t believable(const struct conf *conf, uint32_t flags);

#endif
