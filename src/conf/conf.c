#include "conf/conf.h"

#include "conf/dnsbl.h"
#include "conf/settings.h"

static bool ends_with_nul(const char *text, size_t cap)
{
	return span_find(span_of(text, cap), '\0') < cap;
}

/* As a byte, because what is mapped need not be a bool. */
static bool flag_ok(const bool *flag)
{
	uint8_t byte;

	memcpy(&byte, flag, 1);
	return byte <= 1;
}

static bool listener_ok(const struct listener *l)
{
	return l->at.port != 0 && (unsigned)l->service < SERVICE_COUNT &&
	       (unsigned)l->tls <= TLS_IMPLICIT && flag_ok(&l->proxy) &&
	       ends_with_nul(l->name, sizeof(l->name));
}

static bool route_ok(const struct route *r)
{
	return ends_with_nul(r->domain, sizeof(r->domain)) &&
	       (unsigned)r->hop < HOP_COUNT &&
	       ends_with_nul(r->target, sizeof(r->target)) && flag_ok(&r->verify);
}

static bool nets_ok(const struct net *nets, uint32_t count)
{
	if (count > NETS_MAX)
		return false;
	for (size_t i = 0; i < count; i++)
		if (nets[i].bits > 128)
			return false;
	return true;
}

bool conf_ok(const void *mem, size_t n)
{
	const struct conf *c = mem;

	if (n != sizeof(*c) || c->magic != CONF_MAGIC || c->size != sizeof(*c))
		return false;
	if (!settings_ok(&c->set) || (unsigned)c->deliver_hop >= HOP_COUNT ||
	    !ends_with_nul(c->deliver_target, sizeof(c->deliver_target)))
		return false;
	if (c->listener_count > LISTENERS_MAX || c->route_count > ROUTES_MAX ||
	    c->domain_count > DOMAINS_MAX || c->certificate_count > CERTIFICATES_MAX ||
	    c->dnsbl_count > DNSBLS_MAX)
		return false;
	for (size_t i = 0; i < c->listener_count; i++)
		if (!listener_ok(&c->listeners[i]))
			return false;
	for (size_t i = 0; i < c->route_count; i++)
		if (!route_ok(&c->routes[i]))
			return false;
	for (size_t i = 0; i < c->domain_count; i++)
		if (!ends_with_nul(c->domains[i], sizeof(c->domains[i])))
			return false;
	for (size_t i = 0; i < c->dnsbl_count; i++)
		if (!dnsbl_ok(&c->dnsbls[i]))
			return false;
	for (size_t i = 0; i < RULE_COUNT; i++)
		if (!flag_ok(&c->observed[i]))
			return false;
	return nets_ok(c->proxy_from, c->proxy_count) &&
	       nets_ok(c->xclient_from, c->xclient_count);
}
