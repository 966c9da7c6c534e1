/*
 * commands - what the words on the control socket mean
 *
 * A few are answered here, at once and without asking anybody, so that they work
 * whatever else does not; orders go to the supervisor; all others go as they are to the
 * role that owns what they are about.
 */
#ifndef WATCH_COMMANDS_H
#define WATCH_COMMANDS_H

#include "watch/sight.h"

/* For struct control_hook; arg is the struct sight. */
void commands_on_command(void *arg, uint32_t ask, struct span words);

#endif
