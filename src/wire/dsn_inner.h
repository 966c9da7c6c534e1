/*
 * dsn_inner - text of others, made harmless; for the files of dsn only
 */
#ifndef WIRE_DSN_INNER_H
#define WIRE_DSN_INNER_H

#include "wire/dsn.h"

/* Printable ASCII, and with utf8 all that is visible; a tab is a space, all else a question mark. */
void dsn_put_safe(struct span text, bool utf8, struct buf *out);
/*
 * Words of others in lines of ours, each behind the same indentation, and no more of them
 * than one answer has. `at` is the column after what is in the first line already.
 */
void dsn_put_words(struct span text, bool utf8, const char *indent, size_t at,
		   struct buf *out);

/* Is it lines that anybody may be sent (RFC 5322, 2.1.1 and 2.3), to the last one? */
bool dsn_is_lines(struct span text);
/* As many whole lines of the message's header as `room` takes. */
void dsn_put_header(const struct dsn *d, size_t room, struct buf *out);
/* The Message-ID of that message, if it is one that we can repeat. */
struct span dsn_message_id(struct span text);

#endif
