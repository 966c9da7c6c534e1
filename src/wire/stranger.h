/*
 * stranger - is this the protocol of some other port?
 */
#ifndef WIRE_STRANGER_H
#define WIRE_STRANGER_H

#include "base/span.h"

/* A line that is no command of ours: is it the web, a shell, binary? */
bool stranger_line(struct span line);

/*
 * The first bytes of a line: is it a TLS ClientHello? It need not hold a CRLF, ever: one
 * byte tells.
 */
static inline bool stranger_tls(struct span in)
{
	return in.n && in.p[0] == 0x16;
}

#endif
