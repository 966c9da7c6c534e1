/*
 * auth - the role that keeps secrets
 */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "link/start.h"

/* From GO to the end of the process; returns its exit code. */
int auth_main(struct start *start);

#endif
