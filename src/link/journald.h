/*
 * journald - lines to systemd's journal, in its native protocol
 *
 * One datagram per line. The socket is not connected, so that the journal may be
 * restarted; it may be opened before the journal is there.
 */
#ifndef LINK_JOURNALD_H
#define LINK_JOURNALD_H

#include "base/attr.h"
#include "base/span.h"
#include "spec/records.h"

/* A descriptor for journald_send(), or -1. */
int journald_open(void);

/* The line must not hold an end of line. May wait for the journal. False: see errno. */
MUST bool journald_send(int fd, enum log_level level, struct span line);

#endif
