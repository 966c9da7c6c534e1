/*
 * peer_line - the lines that servers answer us with
 *
 * Only CRLF ends one. A server that has anything else is not spoken with any further.
 */
#ifndef WIRE_PEER_LINE_H
#define WIRE_PEER_LINE_H

#include "base/span.h"

enum peer_line { PEER_LINE_WHOLE, PEER_LINE_MORE, PEER_LINE_BAD };

/*
 * Find the end of the first line. *seen: how much of it was looked at; nothing is looked at
 * twice. BAD: *why says it in words.
 */
enum peer_line peer_line_find(size_t *seen, struct span in, size_t most, const char **why);

#endif
