/*
 * explaining - `explain ADDRESS|PREFIX|CODE|USER`: find what is meant, then explain it; and
 * `campaigns`
 */
#ifndef WATCH_EXPLAINING_H
#define WATCH_EXPLAINING_H

#include "watch/asked.h"

struct recent;

/* Clients that were recorded lately: a code of one of them is found at once. */
MUST bool recent_open(struct recent **out, struct err *err);
void recent_close(struct recent **r);
void recent_hear(struct recent *r, const struct view *v, const struct addr *a);

void explaining_say(const struct asked *a);
void campaigns_say(const struct asked *a);

#endif
