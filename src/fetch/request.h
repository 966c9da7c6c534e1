/*
 * request - what a FETCH asks for, as HTTPS, and what is made of the answer
 *
 * What is fetched is built from the configuration and, for MTA-STS, the name of a domain;
 * whoever asks can name no address. No system calls here.
 */
#ifndef FETCH_REQUEST_H
#define FETCH_REQUEST_H

#include "base/err.h"
#include "conf/conf.h"

#define REQUEST_URL_MAX	 512
#define REQUEST_HOST_MAX (DOMAIN_MAX + 16)

struct request {
	char url[REQUEST_URL_MAX];
	char host[REQUEST_HOST_MAX]; /* to look up, and to verify */
	uint16_t port;
	bool public_only;	  /* not at addresses of private networks */
	const char *type;	  /* the media type that it must have; NULL: any */
	ms_t within;		  /* it is given up after this long */
	ms_t pause;		  /* after a failure, the next try waits this long */
	struct span token;	  /* not empty: POST it, as RFC 7662, 2.1 */
	struct span user, secret; /* HTTP Basic; empty: none */
};

/*
 * The spans point into m. False: whoever sent it may not ask for that, or the
 * configuration has nothing of that name.
 */
MUST bool request_make(const struct conf *conf, enum role from, const struct msg_FETCH *m,
		       struct request *out, struct err *err);

/*
 * Loopback, private, link-local, shared, documentation, multicast and their like (RFC
 * 6890): no address of a server in the Internet. IPv6 that holds such an IPv4 address
 * (mapped, 6to4, NAT64) included.
 */
bool request_is_private(const struct addr *a);

/* Is "text/plain; charset=utf-8" of this type? */
bool request_has_type(struct span content_type, const char *type);

/* For how many seconds a Cache-Control field lets us keep it, within bounds of ours. */
uint32_t request_keep(struct span cache_control);

/* application/x-www-form-urlencoded: letters, digits and -._~ as they are. */
void request_put_form(struct span value, struct buf *out);

#endif
