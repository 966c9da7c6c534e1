/*
 * ordering_inner - what the files of ordering share
 */
#ifndef WATCH_ORDERING_INNER_H
#define WATCH_ORDERING_INNER_H

#include "watch/ordering.h"

/* Looking who is concerned, a piece at a time. */
#define COUNT_WITHIN (2 * MS_SECOND)
#define ROWS_A_STEP  256

/* net may be NULL, until 0 and why empty: then the line has none. */
void ordering_log_net(const struct sight *s, const char *what, const struct net *net,
		      int64_t until, struct span why);

#endif
