/*
 * ban_table - the bans that are known, by the key of whom they are on
 *
 * Open addressing. What a pointer into it points to may move when a ban is kept or dropped.
 */
#ifndef WATCH_BAN_TABLE_H
#define WATCH_BAN_TABLE_H

#include "guard/memory.h"

struct ban_place {
	bool used;
	struct ban_note note;
};

struct ban_table {
	uint64_t hash_key[2];
	struct ban_place *place;
	size_t cap; /* a power of two */
	size_t used, observed;
};

/* hash_key: random, or the table could be aimed at, by who gets banned. */
MUST bool ban_table_open(struct ban_table *t, const uint64_t hash_key[2]);
void ban_table_close(struct ban_table *t);

/* Where it is, or where it would be. */
struct ban_place *ban_table_find(const struct ban_table *t, struct guard_key k);
/* If there is no more room, it holds all the same, and is only not listed. */
void ban_table_keep(struct ban_table *t, const struct ban_note *note);
void ban_table_drop(struct ban_table *t, struct ban_place *p);
/* One after another; *at begins as 0. Keeping or dropping one ends that. */
MUST bool ban_table_each(const struct ban_table *t, size_t *at, struct ban_note *out);

#endif
