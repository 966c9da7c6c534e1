/*
 * base64 - RFC 4648, 4; strict: padding must be there, nothing else may
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/attr.h"
#include "base/buf.h"

void base64_print(struct span bytes, struct buf *out);

/* False, and nothing written, if it is not base64 or does not fit. */
MUST bool base64_parse(struct span text, struct buf *out);

#endif
