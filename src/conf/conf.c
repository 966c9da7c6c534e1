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
	return ends_with_nul(l->path, sizeof(l->path)) && (l->at.port != 0 || *l->path) &&
	       (unsigned)l->service < SERVICE_COUNT && (unsigned)l->tls <= TLS_IMPLICIT &&
	       flag_ok(&l->proxy) && flag_ok(&l->auth) &&
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

/* Where mail of our users goes. HOP_COUNT: nowhere. */
static bool is_relay_hop(enum hop hop)
{
	return hop == HOP_MX || hop == HOP_SMTP || hop == HOP_COUNT;
}

static bool relay_ok(const struct relay *r)
{
	return ends_with_nul(r->domain, sizeof(r->domain)) && flag_ok(&r->below) &&
	       is_relay_hop(r->hop) && ends_with_nul(r->target, sizeof(r->target)) &&
	       (unsigned)r->tls < HOP_TLS_COUNT &&
	       ends_with_nul(r->login, sizeof(r->login));
}

static bool password_source_ok(const struct password_source *p)
{
	return (unsigned)p->kind < PASSWORDS_KINDS &&
	       ends_with_nul(p->path, sizeof(p->path)) &&
	       ends_with_nul(p->domain, sizeof(p->domain));
}

static bool oauth_ok(const struct oauth *o)
{
	return ends_with_nul(o->issuer, sizeof(o->issuer)) &&
	       ends_with_nul(o->keys, sizeof(o->keys)) &&
	       ends_with_nul(o->introspect, sizeof(o->introspect)) &&
	       ends_with_nul(o->login, sizeof(o->login)) &&
	       ends_with_nul(o->audience, sizeof(o->audience)) &&
	       ends_with_nul(o->user, sizeof(o->user));
}

static bool send_as_ok(const struct send_as *s)
{
	return ends_with_nul(s->login, sizeof(s->login)) &&
	       ends_with_nul(s->address, sizeof(s->address));
}

static bool dkim_ok(const struct dkim_key *k)
{
	return ends_with_nul(k->domain, sizeof(k->domain)) &&
	       ends_with_nul(k->selector, sizeof(k->selector)) &&
	       (unsigned)k->algorithm < DKIM_ALGORITHMS;
}

static bool backend_ok(const struct backend *b)
{
	return ends_with_nul(b->name, sizeof(b->name)) &&
	       ends_with_nul(b->imap, sizeof(b->imap)) &&
	       ends_with_nul(b->pop3, sizeof(b->pop3)) &&
	       (unsigned)b->tls < BACKEND_TLS_USES && flag_ok(&b->verify) &&
	       (unsigned)b->login < BACKEND_LOGINS &&
	       ends_with_nul(b->credential, sizeof(b->credential)) &&
	       (unsigned)b->identity < BACKEND_IDENTITIES &&
	       b->weight <= BACKEND_WEIGHT_MAX;
}

/* Where they read it. */
static bool reading_ok(const struct conf *c)
{
	if (c->backend_count > BACKENDS_MAX || c->mailbox_count > MAILBOXES_MAX)
		return false;
	for (size_t i = 0; i < c->backend_count; i++)
		if (!backend_ok(&c->backends[i]))
			return false;
	for (size_t i = 0; i < c->mailbox_count; i++)
		if (!ends_with_nul(c->mailboxes[i].user, sizeof(c->mailboxes[i].user)) ||
		    c->mailboxes[i].backend >= c->backend_count)
			return false;
	return true;
}

/* Who connects, and whose mail we take. */
static bool reception_ok(const struct conf *c)
{
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

/* Who logs in. */
static bool users_ok(const struct conf *c)
{
	if (c->mechanisms >= 1u << SASL_COUNT || c->mailbox_mechanisms & ~c->mechanisms ||
	    c->password_source_count > AUTH_SOURCES_MAX || c->trap_count > TRAPS_MAX ||
	    c->oauth_count > OAUTH_MAX || c->send_as_count > SEND_AS_MAX ||
	    c->local_user_count > LOCAL_USERS_MAX)
		return false;
	for (size_t i = 0; i < c->password_source_count; i++)
		if (!password_source_ok(&c->password_sources[i]))
			return false;
	for (size_t i = 0; i < c->trap_count; i++)
		if (!ends_with_nul(c->traps[i], sizeof(c->traps[i])))
			return false;
	for (size_t i = 0; i < c->oauth_count; i++)
		if (!oauth_ok(&c->oauth[i]))
			return false;
	for (size_t i = 0; i < c->send_as_count; i++)
		if (!send_as_ok(&c->send_as[i]))
			return false;
	for (size_t i = 0; i < c->local_user_count; i++)
		if (!ends_with_nul(c->local_users[i].name, sizeof(c->local_users[i].name)))
			return false;
	return true;
}

/* Where their mail goes. */
static bool outbound_ok(const struct conf *c)
{
	if ((unsigned)c->deliver_hop >= HOP_COUNT || !is_relay_hop(c->relay_hop) ||
	    !ends_with_nul(c->deliver_target, sizeof(c->deliver_target)) ||
	    !ends_with_nul(c->relay_target, sizeof(c->relay_target)) ||
	    c->relay_count > RELAYS_MAX || c->dkim_count > DKIM_MAX)
		return false;
	for (size_t i = 0; i < c->relay_count; i++)
		if (!relay_ok(&c->relays[i]))
			return false;
	for (size_t i = 0; i < c->dkim_count; i++)
		if (!dkim_ok(&c->dkim[i]))
			return false;
	return true;
}

const struct backend *backend_find(const struct conf *c, struct span name)
{
	for (size_t i = 0; i < c->backend_count; i++)
		if (span_eq(span_str(c->backends[i].name), name))
			return &c->backends[i];
	return NULL;
}

/* "@example.org" is everybody whose name ends like that. */
static bool is_for(const struct mailbox *m, struct span user)
{
	struct span name = span_str(m->user);
	bool all = span_starts(name, SPAN("@"));

	return span_eq(all ? span_skip(user, span_find_last(user, '@')) : user, name);
}

const struct backend *backend_of_user(const struct conf *c, struct span user)
{
	for (size_t i = 0; i < c->mailbox_count; i++)
		if (is_for(&c->mailboxes[i], user))
			return &c->backends[c->mailboxes[i].backend];
	return NULL;
}

bool conf_wants_fetch(const struct conf *c)
{
	bool mx = c->relay_hop == HOP_MX;

	for (size_t i = 0; i < c->relay_count; i++)
		mx |= c->relays[i].hop == HOP_MX;
	if (mx && c->set.mta_sts)
		return true;
	for (size_t i = 0; i < c->oauth_count; i++)
		if (*c->oauth[i].introspect || strncmp(c->oauth[i].keys, "https:", 6) == 0)
			return true;
	return false;
}

static bool takes_binary(enum hop hop)
{
	return hop == HOP_MAILDIR || hop == HOP_DISCARD;
}

/* What comes from strangers must not fail behind us: nobody could be told. */
bool conf_takes_binary(const struct conf *c)
{
	if (!c->set.chunking || c->set.binary != BINARY_AUTO)
		return c->set.chunking && c->set.binary == BINARY_YES;
	for (size_t i = 0; i < c->route_count; i++)
		if (!takes_binary(c->routes[i].hop))
			return false;
	return takes_binary(c->deliver_hop);
}

bool conf_ok(const void *mem, size_t n)
{
	const struct conf *c = mem;

	if (n != sizeof(*c) || c->magic != CONF_MAGIC || c->size != sizeof(*c))
		return false;
	return settings_ok(&c->set) && reception_ok(c) && users_ok(c) && outbound_ok(c) &&
	       reading_ok(c);
}
