#include "app/loader_inner.h"

#include <stdio.h>

#include "conf/dnsbl.h"
#include "conf/hop.h"
#include "io/idn.h"

/* ---- members of a group in a section ---- */

const char *walk_text(const config_setting_t *group, const char *name)
{
	const config_setting_t *s = config_setting_get_member(group, name);

	return s ? config_setting_get_string(s) : NULL;
}

bool walk_has(const config_setting_t *group, const char *name)
{
	return config_setting_get_member(group, name) != NULL;
}

bool walk_flag(const config_setting_t *group, const char *name)
{
	const config_setting_t *s = config_setting_get_member(group, name);

	return s && config_setting_get_bool(s);
}

/* Its kind was checked. */
int walk_word(const config_setting_t *group, enum section section, const char *name,
	      int fallback)
{
	const char *text = walk_text(group, name);
	int index = fallback;

	if (text && !word_parse(span_str(text),
				member_find(section, span_str(name))->words, &index))
		return fallback;
	return index;
}

bool walk_path(struct walk *w, const config_setting_t *s, const char *path,
	       char out[TEXT_MAX])
{
	int n = *path == '/' ? snprintf(out, TEXT_MAX, "%s", path)
			     : snprintf(out, TEXT_MAX, "%s/%s", w->dir, path);

	if (n > 0 && n < TEXT_MAX)
		return true;
	problem(w->problems, walk_origin(s), "the path of \"%.*s\" is too long",
		SPAN_ARG(span_head(span_str(path), 100)));
	return false;
}

/* ---- one group or text of each section ---- */

bool walk_domain(struct walk *w, const config_setting_t *s, struct span text,
		 char out[DOMAIN_MAX + 1])
{
	uint8_t mem[DOMAIN_MAX];
	const char *why;
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	why = idn_domain(text, &b);
	if (why || !host_name_ok(buf_span(&b))) {
		problem(w->problems, walk_origin(s), "\"%.*s\" is not a domain%s%s",
			SPAN_ARG(span_head(text, 100)), why ? ": " : "", why ? why : "");
		return false;
	}
	memset(out, 0, DOMAIN_MAX + 1);
	memcpy(out, b.mem, b.len);
	return true;
}

/* unix:/path: programs of this machine hand in mail there. */
static bool local_listener(struct walk *w, const config_setting_t *s, const char *path,
			   struct listener *l)
{
	size_t n = strlen(path);

	if (*path != '/' || n >= sizeof(l->path)) {
		problem(w->problems, walk_origin(s),
			"listen: \"unix:%.*s\" is not unix:/path with at most %zu bytes",
			SPAN_ARG(span_head(span_str(path), 120)), sizeof(l->path) - 1);
		return false;
	}
	memcpy(l->path, path, n);
	return true;
}

static bool place_listener(struct walk *w, const config_setting_t *s, struct listener *l)
{
	const char *address = walk_text(s, "address");

	if (strncmp(address, "unix:", 5) == 0)
		return local_listener(w, s, address + 5, l);
	if (endpoint_parse(span_str(address), &l->at))
		return true;
	problem(w->problems, walk_origin(s),
		"listen: \"%s\" is none of 192.0.2.7:25, [2001:db8::1]:25, *:25, unix:/path",
		address);
	return false;
}

void walk_listener(struct walk *w, const config_setting_t *s)
{
	struct listener l = {
		/* the words are in the order of the enums */
		.service = (enum service)walk_word(s, SECTION_LISTEN, "service",
						   SERVICE_SMTP),
		.tls = (enum tls_use)walk_word(s, SECTION_LISTEN, "tls", TLS_NONE),
		.proxy = walk_flag(s, "proxy"),
	};
	uint32_t i = w->conf->listener_count;

	if (!place_listener(w, s, &l))
		return;
	l.auth = walk_has(s, "auth") ? walk_flag(s, "auth") : l.service != SERVICE_SMTP;
	w->tls_given[i] = walk_has(s, "tls");
	w->origins->listeners[i] = walk_origin(s);
	w->conf->listeners[i] = l;
	w->conf->listener_count++;
}

void walk_certificate(struct walk *w, const config_setting_t *s)
{
	w->certificates[w->certificate_count++] =
		(struct certificate_files){ .cert = walk_text(s, "cert"),
					    .key = walk_text(s, "key"),
					    .at = walk_origin(s) };
}

void walk_domains(struct walk *w, const config_setting_t *s)
{
	uint32_t i = w->conf->domain_count;

	if (!walk_domain(w, s, walk_string(s), w->conf->domains[i]))
		return;
	w->origins->domains[i] = walk_origin(s);
	w->conf->domain_count++;
}

void walk_route(struct walk *w, const config_setting_t *s)
{
	struct route r = { .verify = walk_flag(s, "verify") };
	uint32_t i = w->conf->route_count;
	char to[TEXT_MAX];
	struct err err;

	if (!walk_domain(w, s, span_str(walk_text(s, "domain")), r.domain) ||
	    !walk_host(w, s, "routes", span_str(walk_text(s, "to")), to))
		return;
	if (!hop_parse(span_str(to), &r.hop, r.target, &err)) {
		problem(w->problems, walk_origin(s), "routes: %s", err.text);
		return;
	}
	w->origins->routes[i] = walk_origin(s);
	w->conf->routes[i] = r;
	w->conf->route_count++;
}

void walk_source(struct walk *w, const config_setting_t *s)
{
	const char *domain = walk_text(s, "domain");
	struct source_file f = {
		/* the words are in the order of the enum */
		.kind = (enum table_kind)walk_word(s, SECTION_SOURCES, "kind", 0),
		.file = walk_text(s, "file"),
		.domain = domain ? domain : "",
		.at = walk_origin(s),
	};
	char lower[DOMAIN_MAX + 1];

	if (domain && !walk_domain(w, s, span_str(domain), lower))
		return;
	w->sources[w->source_count++] = f;
}

static void add_net(struct walk *w, const config_setting_t *s, struct net *nets,
		    uint32_t *count, enum section section)
{
	if (net_parse(walk_string(s), &nets[*count]))
		(*count)++;
	else
		problem(w->problems, walk_origin(s),
			"%s: \"%.*s\" is neither an address nor a network such as 192.0.2.0/24 (all "
			"bits behind the slash must be zero)",
			section_table[section].key,
			SPAN_ARG(span_head(walk_string(s), 100)));
}

void walk_proxy(struct walk *w, const config_setting_t *s)
{
	add_net(w, s, w->conf->proxy_from, &w->conf->proxy_count, SECTION_PROXY_FROM);
}

void walk_xclient(struct walk *w, const config_setting_t *s)
{
	add_net(w, s, w->conf->xclient_from, &w->conf->xclient_count,
		SECTION_XCLIENT_FROM);
}

static struct access_text access_text(const config_setting_t *s)
{
	return (struct access_text){ config_setting_get_string(s), walk_origin(s) };
}

void walk_allow(struct walk *w, const config_setting_t *s)
{
	w->allow[w->allow_count++] = access_text(s);
}

void walk_deny(struct walk *w, const config_setting_t *s)
{
	w->deny[w->deny_count++] = access_text(s);
}

void walk_access(struct walk *w, const config_setting_t *s)
{
	/* the words are in the order of the enum, and deny is the first */
	w->access[w->access_count++] = (struct access_source){
		.file = walk_text(s, "file"),
		.of = (enum access_of)walk_word(s, SECTION_ACCESS, "of", ACCESS_CLIENT),
		.action = walk_word(s, SECTION_ACCESS, "action", 0) == 0 ? ACCESS_DENY
									 : ACCESS_PERMIT,
		.at = walk_origin(s),
	};
}

void walk_dnsbl(struct walk *w, const config_setting_t *s)
{
	const config_setting_t *weight = config_setting_get_member(s, "weight");
	const char *answers = walk_text(s, "answers");
	struct span zone = span_str(walk_text(s, "zone"));
	struct dnsbl d = { .weight = 100, .allows = walk_flag(s, "allows") };
	struct err err;

	if (zone.n && zone.p[zone.n - 1] == '.')
		zone.n--;
	if (!walk_domain(w, s, zone, d.zone))
		return;
	if (weight)
		d.weight = config_setting_get_int(weight);
	if (d.weight < 1 || d.weight > DNSBL_WEIGHT_MAX) {
		problem(w->problems, walk_origin(s),
			"dnsbl: %s: the weight %d is outside 1 to %d", d.zone, d.weight,
			DNSBL_WEIGHT_MAX);
		return;
	}
	if (!dnsbl_answers_parse(span_str(answers ? answers : "127.0.0.2-254"), &d, &err)) {
		problem(w->problems, walk_origin(s), "dnsbl: %s: %s", d.zone, err.text);
		return;
	}
	w->origins->dnsbls[w->conf->dnsbl_count] = walk_origin(s);
	w->conf->dnsbls[w->conf->dnsbl_count++] = d;
}

void walk_observed(struct walk *w, const config_setting_t *s)
{
	enum rule rule = rule_named(walk_string(s));

	if (rule == RULE_NONE)
		problem(w->problems, walk_origin(s),
			"guard.observe: there is no rule \"%.*s\"; `holdfast events --rules` lists "
			"them",
			SPAN_ARG(span_head(walk_string(s), 100)));
	else
		w->conf->observed[rule] = true;
}
