#include "app/loader_inner.h"

#include <sys/un.h>

#include "base/utf8.h"
#include "conf/hop.h"
#include "conf/https.h"
#include "io/idn.h"

/* Its NUL included. */
#define SOCKET_PATH_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

bool walk_take(struct walk *w, const config_setting_t *s, const char *what,
	       const char *text, char *out, size_t cap)
{
	struct span in = span_str(text ? text : "");
	bool good = in.n < cap && utf8_ok(in);

	for (size_t i = 0; i < in.n; i++)
		good &= in.p[i] > ' ' && in.p[i] != 0x7f;
	if (!good) {
		problem(w->problems, walk_origin(s),
			"%s: \"%.*s\" is not a text of at most %zu visible characters",
			what, SPAN_ARG(span_head(in, 100)), cap - 1);
		return false;
	}
	memset(out, 0, cap);
	memcpy(out, in.p, in.n);
	return true;
}

static void lower(char *text)
{
	for (; *text; text++)
		*text = (char)byte_lower((uint8_t)*text);
}

bool walk_account(struct walk *w, const config_setting_t *s, const char *what, char *text,
		  size_t cap)
{
	uint8_t mem[TEXT_MAX];
	const char *why;
	struct buf b;

	lower(text);
	buf_init(&b, mem, sizeof(mem) < cap ? sizeof(mem) : cap - 1);
	why = idn_address(span_str(text), &b);
	if (b.full)
		why = "it is too long";
	if (why) {
		problem(w->problems, walk_origin(s), "%s: \"%s\" has no domain: %s", what,
			text, why);
		return false;
	}
	memset(text, 0, cap);
	memcpy(text, b.mem, b.len);
	return true;
}

void walk_relay(struct walk *w, const config_setting_t *s)
{
	uint32_t i = w->conf->relay_count;
	struct span domain = span_str(walk_text(s, "domain"));
	const char *to = walk_text(s, "to");
	char place[TEXT_MAX];
	struct relay r = {
		.below = span_starts(domain, SPAN(".")),
		/* the words are in the order of the enum */
		.tls = (enum hop_tls)walk_word(s, SECTION_RELAYS, "tls", HOP_TLS_MAY),
	};
	struct err err;

	if (!walk_domain(w, s, span_skip(domain, r.below), r.domain) ||
	    !walk_take(w, s, "relays: login", walk_text(s, "login"), r.login, TEXT_MAX) ||
	    (to && !walk_host(w, s, "relays", span_str(to), place)))
		return;
	if (to && !relay_parse(span_str(place), &r.hop, r.target, &err)) {
		problem(w->problems, walk_origin(s), "relays: %s", err.text);
		return;
	}
	w->relay_given[i] = (struct relay_given){
		.to = to != NULL,
		.tls = walk_has(s, "tls"),
		.login = walk_has(s, "login"),
	};
	w->origins->relays[i] = walk_origin(s);
	w->conf->relays[i] = r;
	w->conf->relay_count++;
}

static bool passwords_path(struct walk *w, const config_setting_t *s,
			   struct password_source *p)
{
	const char *path = walk_text(s, "path");
	bool wants = p->kind == PASSWORDS_FILE || p->kind == PASSWORDS_DOVECOT;

	if (wants != (path && *path)) {
		problem(w->problems, walk_origin(s), "auth.sources: %s",
			wants ? "\"path\" is missing" : "this kind has no \"path\"");
		return false;
	}
	if (wants && !walk_path(w, s, path, p->path))
		return false;
	if (p->kind != PASSWORDS_DOVECOT || strlen(p->path) < SOCKET_PATH_MAX)
		return true;
	problem(w->problems, walk_origin(s),
		"auth.sources: a path of %zu bytes is too long for a socket: at most %zu",
		strlen(p->path), SOCKET_PATH_MAX - 1);
	return false;
}

void walk_passwords(struct walk *w, const config_setting_t *s)
{
	struct password_source p = {
		/* the words are in the order of the enum */
		.kind = (enum password_kind)walk_word(s, SECTION_PASSWORDS, "kind",
						      PASSWORDS_DATABASE),
	};
	const char *domain = walk_text(s, "domain");
	uint32_t i = w->conf->password_source_count;

	if ((domain && !walk_domain(w, s, span_str(domain), p.domain)) ||
	    !passwords_path(w, s, &p))
		return;
	w->origins->password_sources[i] = walk_origin(s);
	w->conf->password_sources[i] = p;
	w->conf->password_source_count++;
}

void walk_trap(struct walk *w, const config_setting_t *s)
{
	char *trap = w->conf->traps[w->conf->trap_count];

	if (!walk_take(w, s, "auth.traps", config_setting_get_string(s), trap,
		       sizeof(w->conf->traps[0])) ||
	    !walk_account(w, s, "auth.traps", trap, sizeof(w->conf->traps[0])))
		return;
	if (!*trap) {
		problem(w->problems, walk_origin(s), "auth.traps: a name is empty");
		return;
	}
	w->conf->trap_count++;
}

static bool is_https(const char *text)
{
	struct https unused;

	return https_parse(span_str(text), &unused);
}

static bool oauth_places(struct walk *w, const config_setting_t *s, struct oauth *o)
{
	const char *keys = walk_text(s, "keys");

	if (*o->introspect && !is_https(o->introspect)) {
		problem(w->problems, walk_origin(s),
			"auth.oauth: introspect: \"%s\" is not an https address",
			o->introspect);
		return false;
	}
	if (keys && strstr(keys, "://") && !is_https(keys)) {
		problem(w->problems, walk_origin(s),
			"auth.oauth: keys: \"%s\" is neither an https address nor a file",
			keys);
		return false;
	}
	if (!keys || !*keys || is_https(keys))
		return true;
	return walk_path(w, s, keys, o->keys);
}

void walk_oauth(struct walk *w, const config_setting_t *s)
{
	struct oauth o = { 0 };
	const struct {
		const char *member, *what;
		char *out;
	} texts[] = {
		{ "issuer", "auth.oauth: issuer", o.issuer },
		{ "keys", "auth.oauth: keys", o.keys },
		{ "introspect", "auth.oauth: introspect", o.introspect },
		{ "login", "auth.oauth: login", o.login },
		{ "audience", "auth.oauth: audience", o.audience },
		{ "user", "auth.oauth: user", o.user },
	};
	uint32_t i = w->conf->oauth_count;

	for (size_t t = 0; t < COUNT_OF(texts); t++)
		if (!walk_take(w, s, texts[t].what, walk_text(s, texts[t].member),
			       texts[t].out, TEXT_MAX))
			return;
	if (!*o.user)
		memcpy(o.user, "email", sizeof("email"));
	if (!oauth_places(w, s, &o))
		return;
	w->origins->oauth[i] = walk_origin(s);
	w->conf->oauth[i] = o;
	w->conf->oauth_count++;
}

/* "info@example.org", or "@example.org" for the whole domain. */
static bool is_sender(const char *address)
{
	struct span a = span_str(address);
	size_t at = span_find_last(a, '@');

	return at < a.n && host_name_ok(span_skip(a, at + 1));
}

void walk_send_as(struct walk *w, const config_setting_t *s)
{
	struct send_as a = { 0 };
	uint32_t i = w->conf->send_as_count;

	if (!walk_take(w, s, "send-as: login", walk_text(s, "login"), a.login,
		       sizeof(a.login)) ||
	    !walk_take(w, s, "send-as: address", walk_text(s, "address"), a.address,
		       sizeof(a.address)) ||
	    !walk_account(w, s, "send-as: login", a.login, sizeof(a.login)) ||
	    !walk_account(w, s, "send-as: address", a.address, sizeof(a.address)))
		return;
	if (!*a.login || !is_sender(a.address)) {
		problem(w->problems, walk_origin(s),
			"send-as: wanted are a login, and an address or @domain");
		return;
	}
	w->origins->send_as[i] = walk_origin(s);
	w->conf->send_as[i] = a;
	w->conf->send_as_count++;
}

void walk_dkim(struct walk *w, const config_setting_t *s)
{
	struct dkim_key k = {
		/* the words are in the order of the enum */
		.algorithm = (enum dkim_algorithm)walk_word(s, SECTION_DKIM, "algorithm",
							    DKIM_RSA),
	};
	struct span selector = span_str(walk_text(s, "selector"));
	uint32_t i = w->conf->dkim_count;

	if (!walk_domain(w, s, span_str(walk_text(s, "domain")), k.domain))
		return;
	if (selector.n > SELECTOR_MAX || !host_name_ok(selector)) {
		problem(w->problems, walk_origin(s),
			"dkim: the selector \"%.*s\" is not a name of at most %d letters, digits "
			"and hyphens (RFC 6376, 3.1)",
			SPAN_ARG(span_head(selector, 100)), SELECTOR_MAX);
		return;
	}
	memcpy(k.selector, selector.p, selector.n);
	lower(k.selector);
	w->origins->dkim[i] = walk_origin(s);
	w->conf->dkim[i] = k;
	w->conf->dkim_count++;
}
