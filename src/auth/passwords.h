/*
 * passwords - the administrator's commands about passwords
 *
 *     passwd list
 *     passwd remove ADDRESS
 *     passwd [set] ADDRESS SECRET
 *
 * Hashing and the database are another thread's work. Secrets are wiped when they have
 * been used, and neither they nor hashes are ever told to anybody.
 */
#ifndef AUTH_PASSWORDS_H
#define AUTH_PASSWORDS_H

#include "base/err.h"
#include "base/span.h"
#include "io/loop.h"

struct passwords;

struct passwords_answers {
	bool (*row)(void *arg, uint32_t ask, struct span row); /* false: nobody listens */
	void (*end)(void *arg, uint32_t ask, bool ok, struct span text);
	bool (*wait)(void *arg); /* no more rows until passwords_go_on() */
	void (*changed)(void *arg, struct span address, const char *what);
};

MUST bool passwords_open(struct passwords **out, struct loop *loop, const char *path,
			 const struct passwords_answers *answers, void *arg,
			 struct err *err);
/* After the loop was closed: no thread works on it any more. */
void passwords_close(struct passwords **p);

/* words is a list; it is not needed after the call. */
void passwords_command(struct passwords *p, uint32_t ask, struct span words, int64_t wall);
void passwords_go_on(struct passwords *p);

#endif
