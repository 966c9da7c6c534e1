/*
 * imap_answers - whether an IMAP server is between two answers, as a bystander can tell
 *
 * Who relays a session and has to end it may say "* BYE" only where the client reads a new
 * answer: elsewhere it would be taken for a part of a mail. An answer is a line; a line that
 * ends with "{n}" or "~{n}" goes on behind n bytes (RFC 9051, 4.3, RFC 3516). Once the client
 * has asked for compression (RFC 4978) no word of ours can be understood, so then, and
 * whenever something is not as IMAP has it, this is never again sure.
 *
 * Literals are stepped over, not looked at. A text for people that ends with "{5}" is taken
 * for a literal, too: then, too, nothing is said until that line and the next are through.
 */
#ifndef WIRE_IMAP_ANSWERS_H
#define WIRE_IMAP_ANSWERS_H

#include <stdint.h>

#include "base/span.h"

/* Zeroed: at the beginning of an answer. */
struct imap_answers {
	uint64_t number; /* of bytes that a literal has; then those to come */
	uint8_t at;
	bool unsure; /* for good */
};

/* What the server has said. */
void imap_answers_see(struct imap_answers *a, struct span said);
/*
 * What the client has said, as it was read at once. It sends nothing behind COMPRESS until
 * that is answered (RFC 4978, 3), so only the end of what it says is looked at.
 */
void imap_answers_asked(struct imap_answers *a, struct span said);
/* Bytes went by that nobody saw. */
void imap_answers_missed(struct imap_answers *a);
bool imap_answers_between(const struct imap_answers *a);

#endif
