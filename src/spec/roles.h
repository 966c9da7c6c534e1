/*
 * roles - the processes, one for each kind of power
 */
#ifndef SPEC_ROLES_H
#define SPEC_ROLES_H

enum role {
	ROLE_NONE,
	ROLE_SUPERVISOR,
	ROLE_LOADER,
	ROLE_EDGE,
	ROLE_STORE,
	ROLE_AUTH,
	ROLE_WATCH,
	ROLE_FIREWALL,
	ROLE_FETCH,
	ROLE_COUNT
};

/* The word for it, as in logs, in the process title and after `--role`. */
extern const char *const role_word[ROLE_COUNT];

#endif
