/*
 * backends - backend list, drain, resume: the mailbox servers, as all edges see them
 *
 * Edges show what they see in their pulses, and read from the orders who is drained, so both
 * work while they are busy. A server that is drained gets no new sessions; those that it
 * has end when they end. It outlives a restart.
 */
#ifndef WATCH_BACKENDS_H
#define WATCH_BACKENDS_H

#include "watch/asked.h"

void backends_say(const struct asked *a);

#endif
