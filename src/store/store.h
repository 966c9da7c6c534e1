/*
 * store - the role that has the files: queue, mailboxes, who gets mail here
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "link/start.h"

/* Serve until the supervisor is gone or says that it is over; the exit code. */
int store_main(struct start *s);

#endif
