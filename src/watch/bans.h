/*
 * bans - the bans that the guard puts on clients and prefixes, as they come and go
 *
 * Edges tell each in the guard's memory (memory_note). Here they are logged, handed to
 * the kernel, and kept in a table, so that `bans` and `status` walk nothing. When notes
 * were lost, or watch is new, the table is filled by a walk over the memory.
 */
#ifndef WATCH_BANS_H
#define WATCH_BANS_H

#include "guard/memory.h"
#include "watch/asked.h"

struct bans;

MUST bool bans_open(struct bans **out, struct sight *s, struct err *err);
void bans_close(struct bans **b);

/* Bans of the guard that are in force, observed ones not included. */
size_t bans_count(const struct bans *b);
/* All known ones, one after another; *at begins as 0. Adding or dropping one ends that. */
MUST bool bans_next(const struct bans *b, size_t *at, struct ban_note *out);
/*
 * All bans of keys that are inside that net are lifted: forget them, tell the log and the
 * kernel. How many there were.
 */
size_t bans_lift(struct bans *b, const struct net *net);

/* `bans [--limit N]` */
void bans_say(const struct asked *a);

#endif
