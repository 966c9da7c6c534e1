/*
 * target - where a rehearsal may go: this machine, and nowhere else
 *
 * This is the only place that makes an address to connect to. There is no way around it: no
 * option, no environment variable, no build flag.
 */
#ifndef REHEARSE_TARGET_H
#define REHEARSE_TARGET_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "base/err.h"
#include "rehearse/words.h"

struct target {
	bool set;
	struct sockaddr_storage to;
	socklen_t to_n;
	char text[64]; /* "127.0.0.1:25" */
};

/*
 * HOST:PORT, [V6]:PORT, HOST (then the usual port of the service). HOST is an address or a name;
 * a name is resolved, and *every* address it has must be allowed. Allowed are 127.0.0.0/8 and
 * ::1; in a namespace that space_open() made, also what lies in the nets that it routed to
 * itself. Refused: everything else, IPv4-mapped and IPv4-compatible IPv6 (also of 127.0.0.1), a
 * scope id, port 0, 0.0.0.0 and ::, and numbers that are not four decimal ones with dots. e says
 * what is allowed.
 *
 * A name is looked up here and never again: *t has one of the addresses that were looked at, an
 * IPv4 one if there is one (127.0.0.0/8 has room for many clients, ::1 for one).
 *
 * What this cannot see: a forwarder on this machine that carries a loopback port elsewhere.
 */
MUST bool target_parse(struct target *t, const char *text, enum service service,
		       struct err *e);

/*
 * The same question about an address that is about to be used; workers ask before each connect.
 * Whether the port makes sense is not asked.
 */
MUST bool target_allowed(const struct sockaddr *to);

/*
 * A network namespace of our own with loopback up, and 198.18.0.0/15 and 2001:db8::/32 routed to
 * itself, so that any address of these can be bound and reached there and nowhere else. Needs
 * root, and the ip program. The calling process (and what it starts) moves into it; on failure it
 * is where it was.
 */
MUST bool space_open(struct err *e);
/* True in the process that succeeded with space_open(), and in those it forks. */
bool space_is_ours(void);

#endif
