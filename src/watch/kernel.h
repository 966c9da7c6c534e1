/*
 * kernel - what the firewall role is told to have the kernel drop
 *
 * Watch decides, the firewall makes it so (spec/messages.def, BLOCK). What is to be told
 * waits here and goes out in batches. When the firewall asks for everything, or what
 * waits has become too much, all that holds is gathered anew and told in a row.
 */
#ifndef WATCH_KERNEL_H
#define WATCH_KERNEL_H

#include "spec/messages.h"
#include "watch/view.h"
#include "watch/walk.h"

struct sight;
struct kernel;

MUST bool kernel_open(struct kernel **out, struct sight *s, struct err *err);
void kernel_close(struct kernel **k);

/* Drop it for so long; 0: until it is unblocked. What is too wide is left out. */
void kernel_block(struct kernel *k, const struct net *net, ms_t within);
void kernel_unblock(struct kernel *k, const struct net *net);
/* Send what waits, as far as the link takes it. */
void kernel_flush(struct kernel *k);
/* Tell everything anew: after a reload, say. */
void kernel_refresh(struct kernel *k);

/* The firewall said how it is, or is gone. */
void kernel_told(struct kernel *k, const struct msg_BLOCKED *m);
void kernel_lost(struct kernel *k);

struct kernel_state {
	enum firewall_state state;
	bool there; /* the role answers */
	uint32_t held, refused;
	uint64_t packets;
	char why[200];
};

void kernel_state(const struct kernel *k, struct kernel_state *out);
extern const char *const kernel_state_word[FIREWALL_STATES];

#endif
