/*
 * judge - one decision of the guard, between its parts; for guard/ only
 *
 * guard.c asks who may come in, deeds.c weighs what they do, ladder.c bans, score.c
 * reckons, room.c knows how full it is. Rows are opened here, so that nobody sees what was
 * pardoned, or a ban that is over. Scores are as they were when they last changed: who
 * needs them fades them (score_fade), as most decisions do not.
 */
#ifndef GUARD_JUDGE_H
#define GUARD_JUDGE_H

#include "guard/guard.h"

struct judge {
	struct guard *g;
	struct guard_key key[LEVEL_COUNT];
	struct memory_place place[LEVEL_COUNT];
	ms_t now;
	gsec_t at;		      /* the same, in guard seconds */
	gsec_t pardoned[LEVEL_COUNT]; /* 0: never */
};

void judge_begin(struct judge *j, struct guard *g, const struct addr *a, ms_t now,
		 int64_t wall);
/* NULL: it could not be locked; with `known`: or nobody knows it. */
struct guard_hot *judge_open(struct judge *j, enum guard_level level, bool known);
/* What an open row did, to be written to. */
struct guard_detail *judge_detail(struct judge *j, struct guard_hot *row);
void judge_close(struct judge *j, struct guard_hot *row);
/* The next of many numbers that nobody can tell beforehand. */
uint64_t judge_chance(struct guard *g);

/* ---- score.c ---------------------------------------------------------------------------- */

void score_fade(struct guard_hot *row, const struct guard_limits *l, ms_t now);
/* One more connection. */
void score_connection(struct guard_hot *row, gsec_t at);
/* A known-good client, or a prefix whose known-good clients may be gone: HOT_GOOD. */
bool score_is_good(const struct guard_hot *row, const struct guard_limits *l);
/* Much more good than bad came from here, so others than the offender live here too. */
bool score_is_shared(const struct guard_hot *row, const struct guard_limits *l);
/* How many guard seconds ago; never less than 0. */
static inline int64_t score_age(gsec_t then, gsec_t at)
{
	return at > then ? (int64_t)(at - then) : 0;
}

/* ---- ladder.c --------------------------------------------------------------------------- */

bool ladder_holds(const struct guard_hot *row, gsec_t at);
/* The ban that follows from the scores of a row that has just got more of them. */
enum rule ladder_rule(const struct judge *j, const struct guard_hot *row, bool history);
void ladder_ban(struct judge *j, struct guard_hot *row, enum rule rule);
/* A connection while the ban holds. */
void ladder_tried(struct judge *j, struct guard_hot *row);
/* Lift what was put on it until then, and forget its points. */
void ladder_pardon(struct judge *j, struct guard_hot *row, gsec_t until);
/* A ban that ran out is told once. */
void ladder_over(struct judge *j, struct guard_hot *row);
bool ladder_observed(const struct guard *g, enum rule rule);
/* Is this refusal worth a line? Then *tries: how many since the last. */
bool ladder_tells(struct guard_hot *row, uint64_t *tries);

/* ---- deeds.c ---------------------------------------------------------------------------- */

/* Charge one event to whose limit it was, a client or a prefix, and to all around it. */
void deeds_charge(struct judge *j, struct guard_visit *v, enum event e,
		  enum guard_level level);

/* ---- room.c ----------------------------------------------------------------------------- */

bool room_for(const struct guard *g, bool known_good);

#endif
