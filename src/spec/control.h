/*
 * control - what is said on the control socket
 *
 * The command line connects, says one command and reads the answer: rows, then one end.
 * Everything is frames: a length (32 bits, little-endian), a byte that says what it is,
 * and so many bytes less one:
 *
 *     'C' words of a command (base/list.h)      to the server, once
 *     'R' a row (base/fields.h)                 from it, any number
 *     'E' done or not (one byte), then a text   from it, once, at the end
 */
#ifndef SPEC_CONTROL_H
#define SPEC_CONTROL_H

#include "base/buf.h"
#include "base/span.h"
#include "spec/limits.h"

#define CONTROL_TEXT_MAX  1024			 /* of an end */
#define CONTROL_FRAME_MAX (CONTROL_LINE_MAX + 5) /* the longest frame of any kind */

/* What `passwd remove` says then, which is all the same to `user remove`. */
#define CONTROL_NO_PASSWORD "That address has no password."

enum control_kind {
	CONTROL_MORE, /* not a whole frame yet */
	CONTROL_BAD,  /* never will be one */
	CONTROL_WORDS,
	CONTROL_A_ROW,
	CONTROL_THE_END,
};

struct control_frame {
	enum control_kind kind;
	bool ok;
	struct span body; /* the words, the row or the text; points into the input */
};

void control_put_words(struct buf *out, struct span words);
void control_put_row(struct buf *out, struct span row);
/* A text that is too long is cut. */
void control_put_end(struct buf *out, bool ok, struct span text);

/* Take the next frame off the front of *in. Words are whole lists, rows whole rows. */
struct control_frame control_next(struct span *in);

#endif
