/*
 * selfsigned - a key, and a certificate for it that only proves itself
 *
 * For demos and first steps: enough for STARTTLS between strangers, who do not look at
 * names, and nothing that a mail program would trust.
 */
#ifndef IO_SELFSIGNED_H
#define IO_SELFSIGNED_H

#include "base/buf.h"
#include "base/err.h"

#define SELFSIGNED_PEM 2048 /* enough for either */

/* For that host name, for a year: PEM texts. */
MUST bool selfsigned_make(const char *name, struct buf *cert, struct buf *key,
			  struct err *err);

#endif
