/*
 * canned_tls - TLS for a server that proves nothing: a certificate made in memory
 */
#ifndef REHEARSE_CANNED_TLS_H
#define REHEARSE_CANNED_TLS_H

#include <openssl/ssl.h>

#include "base/attr.h"
#include "base/err.h"

/* A new key (P-256) and a certificate that only proves itself. */
MUST bool canned_tls_open(SSL_CTX **out, struct err *e);
void canned_tls_close(SSL_CTX **tls);

#endif
