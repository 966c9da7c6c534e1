/*
 * trace - `watch ADDRESS|PREFIX`: what is recorded about it, as it happens
 *
 * The answer stays open: each record of any role that is from there becomes a row, also
 * those that the log folds or leaves out, until the client hangs up. Who reads slowly
 * loses rows and is told how many (watch/control.h).
 */
#ifndef WATCH_TRACE_H
#define WATCH_TRACE_H

#include "watch/asked.h"

struct trace;

MUST bool trace_open(struct trace **out, struct sight *s, struct err *err);
void trace_close(struct trace **t);
void trace_say(const struct asked *a);

#endif
