/*
 * logins - how many IMAP and POP3 sessions of a user, and of a user and network, are open
 *
 * Counted from AUTHED_YES until the edge says AUTH_LEFT, or is gone. What an earlier life of
 * auth let in counts once the edge has told of it (AUTH_HELD). An edge of another version
 * cannot: its sessions count for nothing, so nobody is locked out by sessions of which
 * nobody would say that they have ended. Keys are hashes (accounts_hash).
 */
#ifndef AUTH_LOGINS_H
#define AUTH_LOGINS_H

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

struct logins;

/* Who let it in: an exchange of an edge, in that generation of its link. */
struct login_id {
	unsigned edge;
	uint32_t generation;
	uint64_t ask;
};

/* NULL: out of memory. */
struct logins *logins_open(void);
void logins_close(struct logins **l);

/* How many are open with this key. */
uint32_t logins_count(const struct logins *l, uint64_t key);
/*
 * One more, of this user and this (user, network). False: it is not counted, for want of
 * memory or because LOGINS_MAX are. An id that is there already is given back first.
 */
bool logins_take(struct logins *l, const struct login_id *id, uint64_t user,
		 uint64_t network);
/* It has ended; one that is not known does no harm. */
void logins_give(struct logins *l, const struct login_id *id);
/* The edge is gone, and with it all its sessions. */
void logins_lost(struct logins *l, unsigned edge, uint32_t generation);

#endif
