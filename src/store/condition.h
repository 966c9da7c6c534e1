/*
 * condition - what an operator asks of the queue, with its domains as the queue has them
 *
 * In front of where_parse() (db/where.h), which knows bytes only. A domain in letters of other
 * scripts becomes its A-labels (io/idn.h); what can be no domain stays as it is, and fits
 * nothing. Names in front of an @ stay, too.
 */
#ifndef STORE_CONDITION_H
#define STORE_CONDITION_H

#include "base/buf.h"

/* A condition of db/where.h, of at most WHERE_MAX bytes. It did not fit: out->full. */
void condition_put(struct span text, struct buf *out);

#endif
