/*
 * wire_box - the words of .wire scripts about Maildirs that are read over POP3
 *
 *     box add UID TEXT       one more message in it, with escapes
 *     box piece 3            so many bytes of a text come at once
 *     box gone 2             that one is not there any more
 *     box removes all | 1 | nothing       at QUIT: all, all but so many, or no answer yet
 *     box marked 1 3         these were to be removed, at last
 *
 * `backend says box` is what tells a session of it.
 */
#ifndef TESTS_WIRE_WIRE_BOX_H
#define TESTS_WIRE_WIRE_BOX_H

#include "tests/kit/stage.h"

/* NULL: well; else what is wrong. text is unescaped already. */
const char *wire_box(struct stage *g, struct span text);

#endif
