/*
 * stek - session ticket encryption keys: what lets TLS sessions be taken up again
 *
 * A client that comes back shows the ticket of its last session and is spared the long
 * handshake, and we the signature (RFC 5077; RFC 8446, 2.2). The keys lie in a mapping that
 * the supervisor writes to and all edges read: whichever edge answers knows the ticket, and
 * so does one that came after a crash, a reload or an upgrade.
 *
 * A key makes tickets for STEK_PERIOD, is good for one more, and is then gone for good:
 * sessions that somebody recorded cannot be read with what is found here later.
 */
#ifndef IO_STEK_H
#define IO_STEK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/time.h"

#define STEK_PERIOD (2 * MS_HOUR) /* as long as OpenSSL lets a session be resumed */

#define STEK_NAME   16
#define STEK_SECRET 32

struct stek_key {
	uint8_t name[STEK_NAME]; /* in clear at the head of each ticket */
	uint8_t cipher[STEK_SECRET], mac[STEK_SECRET];
};

struct stek; /* the mapping; all zero: there is no key yet */

size_t stek_size(void);
/* Is it one, written by a program that lays it out like this? */
MUST bool stek_ok(const void *mem, size_t n);
/* By the supervisor alone: this one makes tickets from now on; the one before last is wiped. */
void stek_add(struct stek *s, const struct stek_key *fresh, ms_t now);
/* When the next one is to be added. */
ms_t stek_due(const struct stek *s);

/* The key that tickets are made with. False: there is none. To be wiped by the caller. */
MUST bool stek_newest(const struct stek *s, struct stek_key *out);

enum stek_found {
	STEK_NONE, /* no such key, or no longer: a whole handshake it is */
	STEK_NEWEST,
	STEK_BEFORE /* still good, but the client should get a newer ticket */
};

/* The key of that name. To be wiped by the caller. */
enum stek_found stek_find(const struct stek *s, const uint8_t name[STEK_NAME],
			  struct stek_key *out);

#endif
