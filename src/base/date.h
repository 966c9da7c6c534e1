/*
 * date - a time of the wall clock as mail writes it
 */
#ifndef BASE_DATE_H
#define BASE_DATE_H

#include "base/buf.h"

/* A day since 1970-01-01 as a date of the Gregorian calendar. */
void date_of(int64_t days, int *year, int *month, int *day);
/* Milliseconds since 1970 as "Fri, 16 Oct 2026 12:00:00 +0000" (RFC 5322, 3.3). */
void date_print(int64_t wall, struct buf *out);

#endif
