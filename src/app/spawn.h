/*
 * spawn - a child process of this very program
 *
 * The program file is kept open, so that children are of the same version as the
 * supervisor even when the file on disk has been replaced.
 */
#ifndef APP_SPAWN_H
#define APP_SPAWN_H

#include <sys/types.h>

#include "app/places.h"

struct spawn {
	int program; /* open descriptor of the program; -1: path */
	const char *path;
	char *const *argv;	   /* argv[0] is what ps shows */
	int link;		   /* becomes LINK_FD; -1: none */
	const struct owner *owner; /* NULL: stay who we are */
	bool net_admin; /* keep CAP_NET_ADMIN, if we have it, for it and its children */
	bool urgent; /* little work, for which somebody waits: before the others, if we may */
	bool quiet; /* what it prints is of no interest */
};

/* -1 on failure, of which the child itself only notices what its exit code says. */
MUST pid_t spawn(const struct spawn *what, struct err *err);

/* "exit code 1", "signal 9 (Killed)". */
void spawn_ended(int status, struct buf *out);

#endif
