/*
 * imap_word - the words in a command of IMAP: atoms, quoted strings, literals, lists
 *
 * What is cut here is a whole command: the bytes of its literals are behind their lines. All
 * spans point into it.
 */
#ifndef WIRE_IMAP_WORD_H
#define WIRE_IMAP_WORD_H

#include "base/buf.h"

enum imap_word_kind {
	IMAP_WORD_END, /* there is nothing more */
	IMAP_WORD_ATOM,
	IMAP_WORD_QUOTED,  /* text is without the quotes, but \" and \\ are in it */
	IMAP_WORD_LITERAL, /* whatever its bytes are */
	IMAP_WORD_OPEN,	   /* ( */
	IMAP_WORD_CLOSE,   /* ) */
	IMAP_WORD_BAD,	   /* nothing that may be there */
};

struct imap_word {
	enum imap_word_kind kind;
	struct span text;
};

/* Put what it stands for. */
void imap_word_put(const struct imap_word *w, struct buf *out);

/* "{42}" or "{42+}" at the end of a line. */
struct imap_literal {
	uint64_t size;
	bool waits; /* the client wants to hear first that it may send it */
};

/* False: the line announces none. A size beyond all numbers is UINT64_MAX. */
bool imap_announces(struct span line, struct imap_literal *l);

/* LOGIN: a name and a password. False: that is not what is there. */
bool imap_login_parse(struct span text, struct imap_word *user, struct imap_word *secret);

/*
 * ID (RFC 2971): what the client says it is, as "NAME VERSION", with only printable ASCII in
 * it, cut to the room of out; nothing if it says neither. False: it is not what ID says.
 */
bool imap_id_parse(struct span text, struct buf *out);

#endif
