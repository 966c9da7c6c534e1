/*
 * web - one answer over HTTPS, over libcurl
 *
 * HTTPS only, TLS 1.2 or newer with a certificate that the given authorities vouch for,
 * to the addresses that the caller names and no others; no proxy whatever the environment
 * says, no redirect (RFC 8461, 3.3, forbids to follow them), nothing kept between two
 * requests, and never more than FETCH_BODY_MAX bytes.
 *
 * web_open() reads the file of authorities and starts libcurl: call it before the sandbox
 * closes. From then on no file is needed.
 */
#ifndef FETCH_WEB_H
#define FETCH_WEB_H

#include "base/addr.h"
#include "base/err.h"
#include "io/loop.h"
#include "spec/limits.h"

struct web;

struct web_answer {
	bool ok;	 /* it was 200, and whole */
	const char *why; /* else a few words */
	struct span body;
	struct span content_type, cache_control; /* empty: not said */
};

struct web_request {
	const char *url, *host;
	uint16_t port;
	const struct addr *addresses;
	size_t address_count;
	struct span form;	  /* not empty: POST it */
	struct span user, secret; /* HTTP Basic; user empty: none */
	ms_t within;
};

/* One that is under way; members are for web.c only. Embed it, zeroed. */
struct web_get {
	struct web *web; /* NULL: not under way */
	void *easy, *resolve, *fields;
	struct buf body;
	size_t header_n;
	char error[256];
	void (*on_done)(void *arg, const struct web_answer *a);
	void *arg;
	uint8_t mem[FETCH_BODY_MAX];
};

/* ca_file "": those of the system. */
MUST bool web_open(struct web **out, struct loop *loop, const char *ca_file,
		   struct err *err);
/* None may be under way. */
void web_close(struct web **w);

/*
 * on_done is called from the loop, once, unless it is false: then there was no memory. The
 * texts of the request are not needed any more when this returns.
 */
MUST bool web_begin(struct web *w, struct web_get *g, const struct web_request *r,
		    void (*on_done)(void *arg, const struct web_answer *a), void *arg);
/* on_done will not be called. One that is not under way is fine. */
void web_cancel(struct web_get *g);

#endif
