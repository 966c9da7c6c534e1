/*
 * smtp_text - where a message ends, and what in it could look like an end to others
 *
 * The part of smtp.c that reads message text, of DATA and of BDAT. For smtp.c only.
 */
#ifndef WIRE_SMTP_TEXT_H
#define WIRE_SMTP_TEXT_H

#include "wire/smtp.h"

/* A message begins: nothing is known of it. */
void smtp_text_begin(struct smtp *s);
/* Of DATA: dots are removed, and CRLF.CRLF ends it. */
struct smtp_event smtp_body_next(struct smtp *s, struct span *in);
/* Of BDAT: s->left bytes are a chunk. */
struct smtp_event smtp_chunk_next(struct smtp *s, struct span *in);

#endif
