/*
 * bans_inner - what the files of bans share
 */
#ifndef WATCH_BANS_INNER_H
#define WATCH_BANS_INNER_H

#include "watch/ban_table.h"
#include "watch/bans.h"

struct bans {
	struct sight *sight;
	struct timer tick;
	uint64_t notes_at;
	struct ban_table table;
	size_t looked; /* where the search for what is over goes on */
	bool walking;
};

/* What the memory says of a ban now: tries grow without a note. */
void bans_refresh(const struct bans *b, struct ban_note *note);

const char *bans_rule_of(const struct guard_ban *ban);
const char *bans_step_of(const struct guard_ban *ban);
/* A time in the guard's memory; left out if it never was. */
void bans_field_second(const struct sight *s, struct buf *out, const char *name,
		       gsec_t at);

#endif
