/*
 * edge - the role that owns every network session
 */
#ifndef EDGE_EDGE_H
#define EDGE_EDGE_H

#include "link/start.h"

/* From GO to the end of the process; returns its exit code. */
int edge_main(struct start *start);

#endif
