/*
 * calls - which system calls a role may make
 */
#ifndef LINK_CALLS_H
#define LINK_CALLS_H

#include "base/err.h"
#include "spec/roles.h"

/*
 * Close this thread in, and those it starts, with the role's list (syscalls.def). False:
 * *error is the kernel's reason, if it cannot do that, or 0 for any other. connects: to
 * sockets of this machine, where the role's list has nothing of the kind.
 */
MUST bool calls_close(enum role role, bool connects, int *error, struct err *err);

#endif
