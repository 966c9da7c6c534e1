/*
 * place - how much room a destination has, and where it stands accordingly
 *
 * For schedule.c and what it is made of. A destination stands in one place, that of what it
 * waits for; whoever changes something about it says place_settle().
 */
#ifndef STORE_PLACE_H
#define STORE_PLACE_H

#include "store/schedule.h"

/* By what is known of it. */
enum standing_of place_standing(const struct destination *d);

unsigned place_host_room(const struct schedule *s, const struct host *h);
/* What all of its kind together may still begin. */
unsigned place_common_room(const struct schedule *s, const struct destination *d);
/* What it may still begin, whoever is in the way. */
unsigned place_room(const struct schedule *s, const struct destination *d);
/* It has room for one; so many are its part if all in its line get the same. */
unsigned place_share(const struct schedule *s, const struct destination *d, unsigned line);

/* Something changed. Who stands right already keeps the place in the line. */
void place_settle(struct schedule *s, struct destination *d);
/* It stands nowhere, until place_take(). */
void place_leave(struct schedule *s, struct destination *d);
void place_take(struct schedule *s, struct destination *d);

#endif
