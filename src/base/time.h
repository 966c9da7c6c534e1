/*
 * time - milliseconds as a number
 *
 * Pure code never asks what time it is: it is told. Two clocks exist, and the name
 * of a variable says which: `now` is monotonic, `wall` is milliseconds since 1970.
 */
#ifndef BASE_TIME_H
#define BASE_TIME_H

#include <stdint.h>

typedef int64_t ms_t;

#define MS_SECOND ((ms_t)1000)
#define MS_MINUTE (60 * MS_SECOND)
#define MS_HOUR	  (60 * MS_MINUTE)
#define MS_DAY	  (24 * MS_HOUR)
#define MS_NEVER  INT64_MAX

#endif
