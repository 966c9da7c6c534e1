/*
 * names - one account has one name, however it is written
 *
 * In lower case (ASCII), with a domain: that of the configuration if it came without one,
 * without dots at its end, and that as the DNS has it (io/idn.h). What is not ASCII before the @
 * is taken byte for byte, after a look whether it is UTF-8 at all: no Unicode form is made
 * of another here, so a name in NFD is another name than in NFC, as for Dovecot.
 */
#ifndef AUTH_NAMES_H
#define AUTH_NAMES_H

#include "base/attr.h"
#include "base/buf.h"

/* False: nobody can be called that. domain: "" if there is none to add. */
MUST bool name_normal(struct span user, struct span domain, struct buf *out);

/* The part before the last @, or all of it. */
struct span name_local(struct span name);
/* The part behind it, or nothing. */
struct span name_domain(struct span name);

#endif
