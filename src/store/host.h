/*
 * host - servers that several destinations share
 *
 * Ten thousand domains of one provider are as many destinations, but they have the room of
 * one server. Which server that is shows when it has answered.
 */
#ifndef STORE_HOST_H
#define STORE_HOST_H

#include "store/schedule.h"

/* It goes to that server now. Without memory for it, the server is not known. */
void host_join(struct schedule *s, struct destination *d, struct span name);
void host_leave(struct schedule *s, struct destination *d);
/* It may have room again for who waits there. */
void host_wake(struct schedule *s, struct host *h);

#endif
