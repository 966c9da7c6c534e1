#include "conf/check_inner.h"

#include "conf/hop.h"

static bool is_ours(const struct conf *c, const char *domain)
{
	for (size_t i = 0; i < c->domain_count; i++)
		if (span_eq_nocase(span_str(c->domains[i]), span_str(domain)))
			return true;
	return false;
}

static const char *const not_ours =
	"which is not among domains: it must have been made with `holdfast domain add`";

/* Without any in this file, all are where only the store sees them. */
static bool looks_foreign(const struct conf *c, const char *domain)
{
	return c->domain_count && !is_ours(c, domain);
}

/* A password goes there: shall it be seen by whoever stands between? */
static bool in_the_clear(const char *login, enum hop hop, enum hop_tls tls,
			 const char *target)
{
	return *login && hop == HOP_SMTP && tls < HOP_TLS_MUST &&
	       strncmp(target, "127.", 4) != 0 && strncmp(target, "[::1]", 5) != 0;
}

/* There are no TLSA records of an address. */
static bool cannot_be_dane(enum hop hop, enum hop_tls tls, const char *target)
{
	struct endpoint e;

	return tls == HOP_TLS_DANE && hop == HOP_SMTP &&
	       endpoint_parse(span_str(target), &e);
}

static void read_relay(const struct check *c)
{
	struct conf *conf = c->conf;
	const struct settings *s = &conf->set;
	const struct origin *o = c->origins->set;
	struct err err;

	if (!relay_parse(setting_text(s->relay), &conf->relay_hop, conf->relay_target,
			 &err)) {
		problem(c->problems, o[SET_relay], "delivery.relay: %s", err.text);
		return;
	}
	if (*s->relay_login && conf->relay_hop != HOP_SMTP)
		doubt(c->problems, o[SET_relay_login],
		      "delivery.relay-login is not used unless delivery.relay is smtp:host:port");
	if (s->hop_tls == HOP_TLS_DANE && conf->relay_hop == HOP_MX)
		doubt(c->problems, o[SET_hop_tls],
		      "delivery.tls = \"dane\": mail to domains without TLSA records will only wait");
	if (cannot_be_dane(conf->relay_hop, (enum hop_tls)s->hop_tls, conf->relay_target))
		doubt(c->problems, o[SET_hop_tls],
		      "delivery.tls = \"dane\" needs a name in delivery.relay: an address has no "
		      "TLSA records");
	if (in_the_clear(s->relay_login, conf->relay_hop, (enum hop_tls)s->hop_tls,
			 conf->relay_target))
		doubt(c->problems, o[SET_relay_login],
		      "delivery.relay-login: without delivery.tls = \"must\" or \"verify\" others "
		      "on the way may get the password");
}

static void check_relays(const struct check *c)
{
	const struct conf *conf = c->conf;

	for (size_t i = 0; i < conf->relay_count; i++) {
		const struct relay *r = &conf->relays[i];
		struct origin at = c->origins->relays[i];

		if (*r->login && r->hop != HOP_SMTP)
			doubt(c->problems, at,
			      "relays: %s: \"login\" is not used unless \"to\" is smtp:host:port",
			      r->domain);
		if (in_the_clear(r->login, r->hop, r->tls, r->target))
			doubt(c->problems, at,
			      "relays: %s: without tls = \"must\" or \"verify\" others on the way "
			      "may get the password",
			      r->domain);
		if (cannot_be_dane(r->hop, r->tls, r->target))
			doubt(c->problems, at,
			      "relays: %s: tls = \"dane\" needs a name: an address has no TLSA "
			      "records",
			      r->domain);
		if (!r->below && is_ours(conf, r->domain))
			doubt(c->problems, at,
			      "relays: %s is ours, and its mail goes where routes and delivery.to "
			      "say",
			      r->domain);
		for (size_t j = 0; j < i; j++)
			if (r->below == conf->relays[j].below &&
			    strcmp(r->domain, conf->relays[j].domain) == 0)
				problem(c->problems, at, "relays: %s%s has two entries",
					r->below ? "." : "", r->domain);
	}
}

/* "192.0.2.7, 2001:db8::7" */
static void check_source(const struct check *c)
{
	struct span left = setting_text(c->conf->set.source);

	while (left.n) {
		struct span word = span_trim(span_cut(&left, ','));
		struct addr a;

		if (!addr_parse(word, &a))
			problem(c->problems, c->origins->set[SET_source],
				"delivery.source: \"%.*s\" is not an address",
				SPAN_ARG(word));
	}
}

static void check_srs(const struct check *c)
{
	const struct settings *s = &c->conf->set;
	struct origin at = c->origins->set[SET_srs_domain];

	if (!*s->srs_domain)
		return;
	if (!host_name_ok(setting_text(s->srs_domain)))
		problem(c->problems, at, "delivery.srs-domain: \"%s\" is not a domain",
			s->srs_domain);
	else if (looks_foreign(c->conf, s->srs_domain))
		doubt(c->problems, at, "delivery.srs-domain: %s, %s", s->srs_domain,
		      not_ours);
}

static void check_dkim(const struct check *c)
{
	const struct conf *conf = c->conf;

	for (size_t i = 0; i < conf->dkim_count; i++) {
		const struct dkim_key *k = &conf->dkim[i];
		struct origin at = c->origins->dkim[i];

		if (looks_foreign(conf, k->domain))
			doubt(c->problems, at, "dkim: %s, %s", k->domain, not_ours);
		for (size_t j = 0; j < i; j++)
			if (strcmp(k->domain, conf->dkim[j].domain) == 0 &&
			    strcmp(k->selector, conf->dkim[j].selector) == 0)
				problem(c->problems, at,
					"dkim: %s: two keys have the selector %s",
					k->domain, k->selector);
	}
}

void check_outbound(const struct check *c)
{
	read_relay(c);
	check_relays(c);
	check_source(c);
	check_srs(c);
	check_dkim(c);
}
