#include "conf/check_inner.h"

#include "base/siphash.h"

static bool is_local(const struct listener *l)
{
	return *l->path || addr_is_loopback(&l->at.addr);
}

/* Would the kernel refuse the second? *:25 is both families, 0.0.0.0:25 all of one. */
static bool overlap(const struct listener *a, const struct listener *b)
{
	const struct addr *x = &a->at.addr, *y = &b->at.addr;
	const struct addr any6 = { 0 };
	bool same_family = addr_is_v4(x) == addr_is_v4(y);

	if (*a->path || *b->path)
		return strcmp(a->path, b->path) == 0;
	if (a->at.port != b->at.port)
		return false;
	if (addr_eq(x, y) || addr_eq(x, &any6) || addr_eq(y, &any6))
		return true;
	return same_family && (addr_is_any(x) || addr_is_any(y));
}

static void name_listener(struct listener *l)
{
	static const uint64_t key[2] = { 0x686f6c6466617374u, 0x6c697374656e6572u };
	static const char *const services[SERVICE_COUNT] = { "smtp", "submission", "imap",
							     "pop3" };
	uint8_t bytes[18];
	struct buf b;

	memcpy(bytes, l->at.addr.ip, 16);
	bytes[16] = (uint8_t)(l->at.port >> 8);
	bytes[17] = (uint8_t)l->at.port;
	l->id = siphash(key, *l->path ? span_str(l->path) : span_of(bytes, sizeof(bytes)));

	memset(l->name, 0, sizeof(l->name));
	buf_init(&b, l->name, sizeof(l->name) - 1);
	buf_fmt(&b, "%s ", services[l->service]);
	if (*l->path) {
		buf_put(&b, SPAN("unix:"));
		/* of a long one its end, which tells it from others */
		buf_put(&b, span_tail(span_str(l->path), buf_room(&b)));
	} else {
		endpoint_print(&l->at, &b);
	}
}

static void check_tls(const struct check *c, const struct listener *l, struct origin at)
{
	if (*l->path) {
		if (l->tls != TLS_NONE)
			problem(c->problems, at,
				"listen: %s: there is no TLS on a socket of this machine",
				l->name);
		return;
	}
	if (l->tls != TLS_NONE && c->conf->certificate_count == 0)
		problem(c->problems, at,
			"listen: %s is to speak TLS, but there is no certificate (tls: { "
			"certificates = ... })",
			l->name);
	if (l->auth && l->tls == TLS_NONE && !c->conf->set.auth_clear && !is_local(l))
		doubt(c->problems, at,
		      "listen: %s: nobody can log in there, as no passwords are taken without "
		      "TLS: give it a certificate, or set auth.without-tls",
		      l->name);
}

static void check_service(const struct check *c, const struct listener *l,
			  struct origin at)
{
	if (*l->path && l->service != SERVICE_SUBMISSION)
		problem(c->problems, at,
			"listen: %s: unix:/path is for service = \"submission\" only",
			l->name);
	if (l->service != SERVICE_SMTP && !l->auth)
		doubt(c->problems, at,
		      "listen: %s has auth = false: nobody can log in there, and so nobody can "
		      "%s",
		      l->name, l->service == SERVICE_SUBMISSION ? "send" : "read mail");
	if (l->proxy && *l->path)
		problem(c->problems, at,
			"listen: %s: there is no PROXY header on a socket of this machine",
			l->name);
	else if (l->proxy && c->conf->proxy_count == 0)
		problem(c->problems, at,
			"listen: %s has proxy = true, but proxy-from is empty: nobody could "
			"connect",
			l->name);
}

void check_listeners(const struct check *c)
{
	struct conf *conf = c->conf;

	for (size_t i = 0; i < conf->listener_count; i++) {
		struct listener *l = &conf->listeners[i];
		struct origin at = c->origins->listeners[i];

		name_listener(l);
		check_tls(c, l, at);
		check_service(c, l, at);
		for (size_t j = 0; j < i; j++)
			if (overlap(l, &conf->listeners[j]))
				problem(c->problems, at, "listen: %s overlaps with %s",
					l->name, conf->listeners[j].name);
	}
}
