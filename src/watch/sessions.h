/*
 * sessions - who is here, from the scoreboard that edges keep in the guard's memory
 *
 * Nobody is asked, so it works while an edge spins, stands still or is dead.
 */
#ifndef WATCH_SESSIONS_H
#define WATCH_SESSIONS_H

#include "watch/asked.h"

/* `sessions [--client NET] [--limit N]`: the worst standing first, then the oldest. */
void sessions_say(const struct asked *a);

#endif
