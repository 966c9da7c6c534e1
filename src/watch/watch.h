/*
 * watch - the role that sees: the log and the control socket
 */
#ifndef WATCH_WATCH_H
#define WATCH_WATCH_H

#include "link/start.h"

/* Serve until the supervisor is gone or says that it is over; the exit code. */
int watch_main(struct start *s);

#endif
