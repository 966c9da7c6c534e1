/*
 * crowd - how many sessions each address has
 *
 * A fixed table, as large as there may be sessions; IPv6 counts by /64. Keyed with a
 * secret, so that nobody can make a slow one.
 */
#ifndef EDGE_CROWD_H
#define EDGE_CROWD_H

#include "base/addr.h"

struct crowd;

/* Room for that many addresses. False: out of memory. */
MUST bool crowd_open(struct crowd **out, size_t addresses, const uint64_t key[2]);
void crowd_close(struct crowd **c);

uint32_t crowd_count(const struct crowd *c, const struct addr *a);
/* One more, one less. A full table does not count. */
void crowd_enter(struct crowd *c, const struct addr *a);
void crowd_leave(struct crowd *c, const struct addr *a);

#endif
