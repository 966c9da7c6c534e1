/*
 * number - numbers as people write them, and as files hold them
 */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"
#include "base/time.h"

/* Decimal digits only, no sign, up to max. */
MUST bool number_parse(struct span text, uint64_t max, uint64_t *out);

/* A size in bytes: "512", "64k", "25m", "2g" (powers of 1024). */
MUST bool size_parse(struct span text, int64_t *out);

/* A length of time: "500ms", "30s", "5m", "12h", "31d"; "0" alone is allowed. */
MUST bool duration_parse(struct span text, ms_t *out);

/* The same, backwards, in the largest unit that divides: 300000 is "5m". */
void size_print(int64_t n, struct buf *out);
void duration_print(ms_t t, struct buf *out);

#endif
