/*
 * program - which files must be there, and may be used, so that nft can be run
 *
 * Landlock knows files, not names: when a package brings a new nft, the one that we may
 * run is gone. Then only a new process can be closed in anew around it.
 */
#ifndef FIREWALL_PROGRAM_H
#define FIREWALL_PROGRAM_H

#include <sys/stat.h>

#include "base/err.h"
#include "spec/limits.h"

#define PROGRAM_DIRS 6

struct program {
	const char *path;	    /* borrowed */
	char interpreter[TEXT_MAX]; /* what loads it; "": it needs none */
	bool there;
	struct stat seen[2]; /* both, as they were */
	/* for struct sandbox */
	const char *execute[3];
	const char *read_only[PROGRAM_DIRS + 1];
};

/* False: it is not there, or nothing that can be run; *p is good all the same. */
MUST bool program_find(struct program *p, const char *path, struct err *err);
/* Is it, or its loader, another file by now, or there at last? */
bool program_changed(const struct program *p);

#endif
