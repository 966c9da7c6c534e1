/*
 * top - `top`: who costs most now, what is refused, how much room is left, and how that
 * compares with the hour before
 *
 * The rows say in `part` what they are: server (one), rate (one for each count),
 * offender (clients) and prefix (the prefixes around them). Totals are noted every ten
 * seconds for an hour and a minute; offenders come from the guard's hot memory.
 */
#ifndef WATCH_TOP_H
#define WATCH_TOP_H

#include "watch/asked.h"

struct history;

MUST bool history_open(struct history **out, struct sight *s, struct err *err);
void history_close(struct history **h);

void top_say(const struct asked *a);

#endif
