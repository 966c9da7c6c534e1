/*
 * systemd - telling the service manager how we are, and taking over its sockets
 *
 * Everything here does nothing where there is no service manager.
 */
#ifndef LINK_SYSTEMD_H
#define LINK_SYSTEMD_H

#include "base/addr.h"
#include "base/attr.h"
#include "base/time.h"

/* sd_notify(3) lines: "READY=1\nSTATUS=...". */
void systemd_notify(const char *fmt, ...) PRINTF(1, 2);
/* RELOADING=1 with the time that systemd wants beside it. */
void systemd_reloading(void);
/* How often WATCHDOG=1 is wanted; MS_NEVER if it is not. */
ms_t systemd_watchdog(void);

#define SYSTEMD_SOCKETS_MAX 64

struct systemd_sockets {
	unsigned count;
	struct {
		int fd; /* -1: taken */
		struct endpoint at;
	} socket[SYSTEMD_SOCKETS_MAX];
};

/* The listening TCP sockets that were handed to this process; all are close-on-exec. */
void systemd_sockets(struct systemd_sockets *out);
/* Take the socket for that endpoint out; -1 if there is none. */
int systemd_take(struct systemd_sockets *s, const struct endpoint *at);

#endif
