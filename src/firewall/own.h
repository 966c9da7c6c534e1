/*
 * own - the addresses of this machine
 */
#ifndef FIREWALL_OWN_H
#define FIREWALL_OWN_H

#include <stddef.h>

#include "base/addr.h"
#include "base/err.h"

#define OWN_MAX \
	65536 /* addresses; a machine with more is told that it cannot be protected */

struct own {
	struct addr *list; /* sorted; NULL: never read */
	size_t count;
};

/* Ask the kernel. *changed: they are others than before. What was known stays if it fails. */
MUST bool own_read(struct own *o, bool *changed, struct err *err);
void own_close(struct own *o);

#endif
