#include "rehearse/target.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>

#include "base/number.h"
#include "base/span.h"

#define NAME_MAX_BYTES 253 /* RFC 1035, 2.3.4, without the dot at the end */
#define SHOWN_MAX      60  /* of what was asked for, in an error */

/* What of the text is shown in an error: a terminal must not obey it. */
struct shown {
	char text[SHOWN_MAX + 4];
};

static struct shown show(struct span s)
{
	struct shown out;
	size_t n = s.n < SHOWN_MAX ? s.n : SHOWN_MAX;

	for (size_t i = 0; i < n; i++)
		out.text[i] = s.p[i] > ' ' && s.p[i] < 0x7f ? (char)s.p[i] : '?';
	snprintf(out.text + n, sizeof(out.text) - n, "%s", s.n > n ? "..." : "");
	return out;
}

static bool refuse(struct err *e, struct span what, const char *why)
{
	struct shown shown = show(what);

	return err_set(
		e,
		"%s: %s. A rehearsal attacks what it is pointed at, so it goes to "
		"127.0.0.0/8 and ::1%s and nowhere else, and no option changes that",
		shown.text, why,
		space_is_ours() ? ", here also to 198.18.0.0/15 and 2001:db8::/32," : "");
}

static bool allowed_v4(struct in_addr a)
{
	uint32_t ip = ntohl(a.s_addr);

	if (ip >> 24 == 127)
		return true;
	return space_is_ours() && ip >> 17 == 0xc6120000u >> 17;
}

static bool allowed_v6(const struct sockaddr_in6 *to)
{
	static const uint8_t documentation[4] = { 0x20, 0x01, 0x0d, 0xb8 };

	if (to->sin6_scope_id != 0)
		return false;
	if (IN6_IS_ADDR_LOOPBACK(&to->sin6_addr))
		return true;
	return space_is_ours() &&
	       memcmp(&to->sin6_addr, documentation, sizeof(documentation)) == 0;
}

bool target_allowed(const struct sockaddr *to)
{
	switch (to->sa_family) {
	case AF_INET:
		return allowed_v4(((const struct sockaddr_in *)(const void *)to)->sin_addr);
	case AF_INET6:
		return allowed_v6((const struct sockaddr_in6 *)(const void *)to);
	default:
		return false;
	}
}

/* HOST, [V6] or V6, with or without :PORT. False if it is none of these. */
static bool split(struct span text, struct span *host, struct span *port)
{
	*port = SPAN_NONE;
	if (text.n && text.p[0] == '[') {
		size_t end = span_find(text, ']');

		if (end == text.n)
			return false;
		*host = span_of(text.p + 1, end - 1);
		*port = span_skip(text, end + 1);
		if (span_find(*host, ':') == host->n)
			return false;
	} else {
		size_t colon = span_find(text, ':');

		*host = text;
		if (colon == text.n || span_find_last(text, ':') != colon)
			return true;
		*host = span_head(text, colon);
		*port = span_skip(text, colon);
	}
	if (port->n == 0)
		return true;
	if (port->p[0] != ':')
		return false;
	*port = span_skip(*port, 1);
	return port->n > 0;
}

/*
 * What the C library would take for a number of some kind ("127.1", "0177.0.0.1", "2130706433",
 * "0x7f.1") without being four decimal ones. It must not be looked up, because the resolver takes
 * it for an address. The rule is that of browsers: a name does not end in a number.
 */
static bool ends_in_number(struct span host)
{
	if (host.n && host.p[host.n - 1] == '.')
		host = span_head(host, host.n - 1);

	size_t dot = span_find_last(host, '.');
	struct span last = dot < host.n ? span_skip(host, dot + 1) : host;
	bool hex = span_starts_nocase(last, SPAN("0x"));

	for (size_t i = hex ? 2 : 0; i < last.n; i++) {
		uint8_t c = byte_lower(last.p[i]);

		if (!(c >= '0' && c <= '9') && !(hex && c >= 'a' && c <= 'f'))
			return false;
	}
	return true;
}

static bool of_a_name(uint8_t c)
{
	c = byte_lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Labels with dots between them, none of them empty or with a hyphen in front. */
static bool looks_like_name(struct span host)
{
	uint8_t before = '.';

	for (size_t i = 0; i < host.n; i++) {
		uint8_t c = host.p[i];

		if (c != '.' && !of_a_name(c))
			return false;
		if (before == '.' && (c == '.' || c == '-'))
			return false;
		before = c;
	}
	return host.n > 0;
}

static void take(struct target *t, const struct sockaddr *to, socklen_t n, uint16_t port)
{
	char host[INET6_ADDRSTRLEN];

	*t = (struct target){ .set = true, .to_n = n };
	memcpy(&t->to, to, n);
	if (to->sa_family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)&t->to;

		in->sin_port = htons(port);
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(t->text, sizeof(t->text), "%s:%u", host, port);
	} else {
		struct sockaddr_in6 *in = (struct sockaddr_in6 *)&t->to;

		in->sin6_port = htons(port);
		inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof(host));
		snprintf(t->text, sizeof(t->text), "[%s]:%u", host, port);
	}
}

/* The one to use, or NULL if one of them is not allowed: then that one is in *bad. */
static const struct addrinfo *choose(const struct addrinfo *all,
				     const struct addrinfo **bad)
{
	const struct addrinfo *best = NULL;

	for (const struct addrinfo *a = all; a; a = a->ai_next) {
		if (!target_allowed(a->ai_addr)) {
			*bad = a;
			return NULL;
		}
		if (!best || (a->ai_family == AF_INET && best->ai_family != AF_INET))
			best = a;
	}
	return best;
}

static bool resolve(struct target *t, const char *host, uint16_t port, struct err *e)
{
	/* not AI_ADDRCONFIG: also what this machine has no route for must be seen */
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
					.ai_socktype = SOCK_STREAM };
	struct addrinfo *all = NULL;
	const struct addrinfo *use, *bad = NULL;
	int status = getaddrinfo(host, NULL, &hints, &all);

	if (status != 0)
		return err_set(e, "%s: %s", show(span_str(host)).text,
			       gai_strerror(status));
	use = choose(all, &bad);
	if (use) {
		take(t, use->ai_addr, use->ai_addrlen, port);
	} else {
		char why[INET6_ADDRSTRLEN + 80] = "it has an address of another kind";
		char address[INET6_ADDRSTRLEN + 16];

		if (bad && getnameinfo(bad->ai_addr, bad->ai_addrlen, address,
				       sizeof(address), NULL, 0, NI_NUMERICHOST) == 0)
			snprintf(why, sizeof(why), "one of its addresses is %s", address);
		refuse(e, span_str(host), why);
	}
	freeaddrinfo(all);
	return use != NULL;
}

static bool parse_host(struct target *t, struct span host, uint16_t port, struct err *e)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	const struct sockaddr *to = NULL;
	char text[NAME_MAX_BYTES + 2];
	socklen_t n = 0;

	if (host.n >= sizeof(text))
		return refuse(e, host, "too long for a name");
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
		to = (const struct sockaddr *)&v4;
		n = sizeof(v4);
	} else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
		to = (const struct sockaddr *)&v6;
		n = sizeof(v6);
	}
	if (to && !target_allowed(to))
		return refuse(e, host, "not an address of the loopback");
	if (to) {
		take(t, to, n, port);
		return true;
	}
	if (span_find(host, '%') < host.n)
		return refuse(e, host, "an address with a scope");
	if (!looks_like_name(host))
		return refuse(e, host, "neither an address nor a name");
	if (ends_in_number(host))
		return refuse(e, host, "not four decimal numbers with dots between them");
	return resolve(t, text, port, e);
}

bool target_parse(struct target *t, const char *text, enum service service, struct err *e)
{
	struct span all = span_str(text), host, port;
	uint64_t number = service_port(service);
	struct target found;

	if (!split(all, &host, &port) || host.n == 0)
		return refuse(e, all, "not HOST:PORT, [ADDRESS]:PORT or HOST");
	if (port.n && (port.n > 5 || !number_parse(port, UINT16_MAX, &number)))
		return refuse(e, all, "its port is not a number from 1 to 65535");
	if (number == 0)
		return refuse(e, all, "port 0 is nobody's");
	if (!parse_host(&found, host, (uint16_t)number, e))
		return false;
	*t = found;
	return true;
}
