/*
 * explain - who, why, since when, on what evidence, and how to lift it
 *
 * A function of what the guard's memory, the orders and the lists hold at that moment.
 * The answer is rows; `part` says what a row is about:
 *
 *     code       what a refusal code stands for
 *     verdict    what happens to it now, who decided that, how it is lifted
 *     history    first, last, how often, what it cost
 *     standing   points fast and slow, known-good or not, and against which limits
 *     seen       each event, with its count
 *     ban        the last one the guard put on it, and whether it helped
 *     prefix     one row for each prefix around it: who else lives there
 *     inside     of a prefix: who is known inside it
 *     client     of a prefix: one of the clients inside that matter most
 *     diagnosis  what it is, how sure that is, and why
 *
 * Keys are stable: programs read them.
 */
#ifndef WATCH_EXPLAIN_H
#define WATCH_EXPLAIN_H

#include "watch/inside.h"
#include "watch/part.h"

struct explain {
	struct net net;		     /* an address is a net with all bits */
	const char *code;	     /* that was asked for; NULL: none */
	enum rule code_rule;	     /* with code */
	const struct inside *inside; /* of a prefix; NULL: not asked */
};

void explain(const struct view *v, const struct explain *what, ms_t now, int64_t wall,
	     const struct explain_to *to);

/* The command that lifts what view_fate() said; empty: nothing is to be lifted. */
void explain_lift(const struct view_fate *fate, const struct net *net, struct buf *out);

#endif
