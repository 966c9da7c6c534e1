/*
 * fetch - the web: policies and keys over HTTPS, for edge and auth
 *
 * It has sockets and nothing else: no files, no secrets but those that come with a
 * question, no way to reach an address that the configuration and the DNS do not name.
 */
#ifndef FETCH_FETCH_H
#define FETCH_FETCH_H

#include "link/start.h"

/* Runs until the link to the supervisor ends or says DRAIN; the exit code. */
int fetch_main(struct start *start);

#endif
