/*
 * deed - something a client did, in words
 */
#ifndef WATCH_DEED_H
#define WATCH_DEED_H

#include "base/buf.h"
#include "conf/conf.h"
#include "link/pulse.h"

/* As fields (base/fields.h), at most DEED_FIELDS bytes. conf names the listener. */
#define DEED_FIELDS (512 + LOG_TEXT_MAX)

void deed_fields(const struct pulse_deed *d, const struct conf *conf, struct buf *row);

#endif
