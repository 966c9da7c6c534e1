/*
 * dnsbl - which answers of a DNS blocklist count, as an operator writes it
 */
#ifndef CONF_DNSBL_H
#define CONF_DNSBL_H

#include "base/err.h"
#include "conf/conf.h"

/* "127.0.0.2-11, 127.0.0.4, 127.0.1.0-127.0.1.9"; the zone and the rest are left alone. */
MUST bool dnsbl_answers_parse(struct span text, struct dnsbl *out, struct err *err);
void dnsbl_answers_print(const struct dnsbl *d, struct buf *out);
/* Is every member what could have been put there? */
bool dnsbl_ok(const struct dnsbl *d);

#endif
