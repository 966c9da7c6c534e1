/*
 * utf8 - is this text? (RFC 3629)
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/span.h"

/*
 * How many bytes the first character of s has, 1 to 4, and which it is. 0 if s is empty
 * or does not begin with a whole, shortest, permitted character.
 */
size_t utf8_first(struct span s, uint32_t *code);

bool utf8_ok(struct span s);
bool utf8_is_ascii(struct span s);

/*
 * Does it move the cursor, end the line or turn the text around, so that a reader of a
 * terminal or a log sees something else than what is there? C0 and C1 controls, DEL, line
 * and paragraph separators, and the bidirectional overrides.
 */
bool utf8_is_control(uint32_t code);

/* The longest head of s with at most n bytes that does not end inside a character. */
struct span utf8_head(struct span s, size_t n);

#endif
