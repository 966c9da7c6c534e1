/*
 * places - who the roles are, and the directories that belong to them
 *
 * As root, each role has a user of its own; otherwise all are whoever we are. The
 * directories are made before any role starts, because roles cannot.
 */
#ifndef APP_PLACES_H
#define APP_PLACES_H

#include <sys/types.h>

#include "base/err.h"
#include "conf/conf.h"

struct owner {
	uid_t uid;
	gid_t gid;
};

struct owners {
	bool drop; /* we are root: roles change to their users */
	struct owner of[ROLE_COUNT];
	gid_t control;		/* group of the control socket */
	struct err no_firewall; /* why there can be no firewall role, or empty */
	struct err no_fetch;	/* likewise */
};

/* A user's name, or "uid", or "uid:gid". */
MUST bool owner_find(const char *text, struct owner *out, struct err *err);
/* Not root, that is. text: as it was named. */
MUST bool owner_is_fit(const char *text, const struct owner *o, struct err *err);
MUST bool owners_find(struct owners *out, const struct settings *set, struct err *err);

/*
 * Make DIR and what is below it, and lock it: *lock is to be kept open. One of them
 * that is there already and belongs to somebody else is an error with a remedy.
 */
MUST bool places_make(const struct conf *conf, const struct owners *owners, int *lock,
		      struct err *err);

/*
 * A listening socket of that name, to which only we can connect until its mode is
 * changed. One that is left over is removed, one that answers is not. -1 on failure.
 */
MUST int places_socket(const char *path, int backlog, struct err *err);

/* The listening control socket; -1 on failure. */
MUST int places_control(const struct conf *conf, const struct owners *owners,
			struct err *err);

#endif
