/*
 * sets - the kernel's table, kept as it should be
 *
 * One nft at a time: is there a table, is it ours, make it anew, put in what is due, look
 * whether it is still all there, count. What fails is tried again, with growing pauses.
 */
#ifndef FIREWALL_SETS_H
#define FIREWALL_SETS_H

#include "firewall/blocks.h"
#include "firewall/nft.h"
#include "spec/messages.h"

#define SETS_WHY 240

enum sets_step {
	SETS_ABSENT, /* is there no table of that name? */
	SETS_OURS,   /* or one that we made? */
	SETS_MAY,    /* or may we not even ask? */
	SETS_MAKE,
	SETS_ITEMS,
	SETS_PORTS,
	SETS_LOOK,  /* is it still all there? */
	SETS_COUNT, /* packets */
	SETS_REMOVE,
};

struct sets {
	struct loop *loop;
	char name[TEXT_MAX], path[TEXT_MAX]; /* of the table, of nft */
	struct nft nft;
	struct blocks blocks;
	struct table table;

	enum firewall_state state;
	char why[SETS_WHY]; /* unless it works */
	uint64_t packets;   /* dropped so far */
	uint32_t refused;   /* prefixes that nft would not have */

	enum sets_step step; /* under way, or the next one */
	bool made;	     /* the table is there, as far as we know */
	bool replaces;	     /* an old one of ours must go first */
	bool proved;	     /* it was found whole since it was made */
	bool never;	     /* there is nothing that could be tried */
	bool ports_due;
	bool doubted; /* a batch failed: is it the batch or the table? */
	bool removing;
	ms_t look_at, again_at, pause, within;
	struct timer timer;

	size_t batch_max, taken;
	struct batch_item items[FIREWALL_BATCH];
	uint8_t mem[BATCH_BYTES];

	/* borrowed; what happened, for the log */
	void (*on_state)(void *arg, const char *what);
	/* the table is gone, or nothing can be done about it */
	void (*on_removed)(void *arg);
	void *arg;
};

/* s is zeroed but for on_state, on_removed and arg. Nothing is done before sets_go_on(). */
MUST bool sets_open(struct sets *s, struct loop *loop, const struct settings *set,
		    const uint64_t key[2], struct err *err);
void sets_close(struct sets *s);

/* It cannot work here, and trying again would not help. */
void sets_never(struct sets *s, const char *why);
void sets_ports(struct sets *s, const struct conf *conf);
/* Do what is due, unless nft runs or a pause is on. Call it when blocks have changed. */
void sets_go_on(struct sets *s);
/* Take the table away, within that time, then on_removed. */
void sets_remove(struct sets *s, ms_t within);

#endif
