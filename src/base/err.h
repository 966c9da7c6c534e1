/*
 * err - why an operation of ours failed
 *
 * Functions that can fail for more than one reason return bool and take a struct err
 * last. The place that notices fills it in, once; callers add context on the way up;
 * the top of the stack logs it, once.
 *
 * This is for *our* failures: a bad setting, a full disk, a lost backend. What a peer
 * does wrong is never an err. It is an event: see spec/events.h.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

#include "base/attr.h"

struct err {
	char text[400];
};

/* Always returns false, so that a function can end `return err_set(...)`. */
bool err_set(struct err *e, const char *fmt, ...) PRINTF(2, 3);

/* Put context in front: "smtp.greet-delay: 90s is above the limit of 60s". */
bool err_within(struct err *e, const char *fmt, ...) PRINTF(2, 3);

#endif
