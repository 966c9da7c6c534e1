/*
 * passwd_file - a file of users and hashes, held in memory
 *
 * Another thread looks every two seconds whether it has changed (inode, size, time), reads
 * it, and the loop changes over to what was read; nobody waits for a disk. One that cannot
 * be read, or is being written just now, leaves in force what was read before.
 */
#ifndef AUTH_PASSWD_FILE_H
#define AUTH_PASSWD_FILE_H

#include "base/err.h"
#include "base/span.h"
#include "io/loop.h"

#define PASSWD_FILE_MAX	 ((size_t)64 << 20)
#define PASSWD_USERS_MAX 1000000
#define PASSWD_EVERY	 ((ms_t)2000)

struct passwd_file;

struct passwd_calls {
	void (*trouble)(void *arg, const char *why);
	/* That user has another password now, or none any more. */
	void (*changed)(void *arg, struct span user);
	void *arg;
};

/*
 * domain: of users that are written without one. Reads it at once, so that who logs in
 * first is known; if that fails, trouble() says why, and later reads go on.
 */
MUST bool passwd_file_open(struct passwd_file **out, struct loop *loop, const char *path,
			   struct span domain, const struct passwd_calls *calls,
			   struct err *err);
void passwd_file_close(struct passwd_file **f);

enum passwd_found { PASSWD_HAS, PASSWD_HAS_NOT, PASSWD_UNREAD };

struct passwd_entry {
	struct span hash; /* good until the loop's next round */
	bool locked;
};

/* user: as name_normal() makes it */
enum passwd_found passwd_file_find(const struct passwd_file *f, struct span user,
				   struct passwd_entry *out);

#endif
