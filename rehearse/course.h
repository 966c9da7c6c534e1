/*
 * course - what happened over time, thinned until it can be drawn
 */
#ifndef REHEARSE_COURSE_H
#define REHEARSE_COURSE_H

#include "rehearse/figures.h"

#define COURSE_POINTS 300 /* of a line over time, at most */
#define COURSE_STEPS  150 /* of a quantile over time, at most */

/*
 * The "time" of a result, as digest.h describes it; null if there is none. room: how many visits of
 * each kind of honest client may stay (2 or more). A new value; *failed is set if memory was not
 * there for all of it.
 */
json_t *course_of(const json_t *result, size_t room, bool *failed);

#endif
