/*
 * blocks - what the kernel is to drop, and how far it knows that
 *
 * A table of prefixes. What has changed is due; blocks_take() hands it out in batches. What
 * was handed out counts as known to the kernel, whatever came of it: a batch made of such
 * (BATCH_RENEW, BATCH_DROP) is good in either case.
 */
#ifndef FIREWALL_BLOCKS_H
#define FIREWALL_BLOCKS_H

#include "base/time.h"
#include "firewall/batch.h"

struct block; /* one row */

struct blocks {
	struct block *rows; /* a hash table with open places; NULL: none yet */
	size_t room;	    /* places, a power of two */
	size_t count;	    /* taken ones */
	size_t due;	    /* of them, to be told to the kernel */
	size_t cursor;	    /* where blocks_take() goes on */
	size_t max;	    /* of one length */
	bool in_list;	    /* between the beginning of a list and its end */
	size_t lengths[BATCH_LENGTHS];
	uint64_t key[2]; /* of the hash, random: who comes from many places chooses them */
};

void blocks_init(struct blocks *b, size_t max, const uint64_t key[2]);
void blocks_close(struct blocks *b);

/*
 * until: MS_NEVER is for good; two seconds more or less are the same. False: that length is
 * full, or there is no memory.
 */
MUST bool blocks_put(struct blocks *b, const struct net *n, ms_t until);
void blocks_drop(struct blocks *b, const struct net *n);
/* A list of all there are begins: those that are not put again until its end go then. */
void blocks_list_begins(struct blocks *b);
/* Without a beginning nothing happens. */
void blocks_list_ends(struct blocks *b);
/* Drop those that `may` says no to. */
void blocks_judge(struct blocks *b, bool (*may)(void *arg, const struct net *n),
		  void *arg);
/* The kernel knows nothing any more: all are due. */
void blocks_again(struct blocks *b);
/* Forget what has run out: the kernel did so by itself. */
void blocks_expire(struct blocks *b, ms_t now);

/* At most max items; additions come before removals as long as there are any. */
size_t blocks_take(struct blocks *b, struct batch_item *out, size_t max, ms_t now);
/* The kernel has done this. */
void blocks_done(struct blocks *b, const struct batch_item *items, size_t n);
/* It has not: they are due again. */
void blocks_undo(struct blocks *b, const struct batch_item *items, size_t n);
/* One that the kernel will not have: forgotten. */
void blocks_forget(struct blocks *b, const struct net *n);
/* How many the kernel holds. */
size_t blocks_held(const struct blocks *b);

#endif
