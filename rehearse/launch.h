/*
 * launch - the server as a child of ours, when it is given as a command
 */
#ifndef REHEARSE_LAUNCH_H
#define REHEARSE_LAUNCH_H

#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"

/*
 * Start argv (NULL-terminated, looked up in PATH) in a process group of its own, standard input
 * from /dev/null. It gets SIGTERM if we die. e says why not.
 */
MUST bool launch_start(char *const *argv, pid_t *pid, struct err *e);

/* SIGTERM to its group, and SIGKILL ten seconds later; returns when it is gone. 0 is fine. */
void launch_stop(pid_t *pid);

#endif
