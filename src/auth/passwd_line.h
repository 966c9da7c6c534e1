/*
 * passwd_line - one line of a passwd-file as Dovecot has it
 *
 *     user:{SCHEME}hash:uid:gid:gecos:home:shell:extra fields
 *
 * Only the first two count here, and of the extra fields those that forbid something: who
 * has `nologin` cannot log in, nor who may only from some networks (allow_nets), because
 * that would have to be looked at and is not.
 */
#ifndef AUTH_PASSWD_LINE_H
#define AUTH_PASSWD_LINE_H

#include "base/attr.h"
#include "base/span.h"

enum passwd_says {
	PASSWD_USER,
	PASSWD_NOTHING, /* empty, or a comment */
	PASSWD_BROKEN,
};

struct passwd_row {
	struct span user, hash; /* of the line */
	bool locked;		/* there is no password, or it may not be used */
};

/* line: without its end. */
enum passwd_says passwd_line(struct span line, struct passwd_row *out);

#endif
