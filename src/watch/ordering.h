/*
 * ordering - ban, unban, allow, kick, lockdown: what the administrator orders
 *
 * An order holds as soon as it stands in the memory that edges read. It is answered when
 * it is on disk too, or after ANSWER_WITHIN, and then the answer says that it is not yet.
 */
#ifndef WATCH_ORDERING_H
#define WATCH_ORDERING_H

#include "watch/asked.h"

struct ordering;

/* Orders of an earlier life are read from the directory if the memory is new. */
MUST bool ordering_open(struct ordering **out, struct sight *s, const char *directory,
			struct err *err);
/* After loop_close(). */
void ordering_close(struct ordering **o);
/* Why orders cannot be written to the disk; empty if they can. */
const char *ordering_trouble(const struct ordering *o);
/* How many bans and allows there are. */
void ordering_counts(const struct sight *s, size_t *bans, size_t *allows);

/* For orders of other files: it holds, so have it written, and answer then. */
void ordering_save(const struct asked *a, const char *text);
void ordering_log(const struct sight *s, const char *what, struct span why);

void ordering_ban(const struct asked *a);
void ordering_unban(const struct asked *a);
void ordering_allow(const struct asked *a);
void ordering_kick(const struct asked *a);
void ordering_lockdown(const struct asked *a);

#endif
