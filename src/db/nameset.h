/*
 * nameset - which names a table has, in memory: a set of keyed hashes
 *
 * For whoever is asked about ever different names and must not wait for the database. Two
 * names in 2^64 are taken for the same, and nobody without the key can find such a pair. One
 * thread at a time may change it; any may ask meanwhile.
 */
#ifndef DB_NAMESET_H
#define DB_NAMESET_H

#include "base/err.h"
#include "base/span.h"

struct nameset;

MUST bool nameset_open(struct nameset **out, struct err *err);
void nameset_close(struct nameset **n);

void nameset_put(struct nameset *n, struct span name);
void nameset_drop(struct nameset *n, struct span name);
/* False: there are, or were, more than there is room for, and only the database knows. */
MUST bool nameset_ask(struct nameset *n, struct span name, bool *has);

#endif
