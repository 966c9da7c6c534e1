#include "cli/config_show.h"

#include <stdio.h>

#include "base/fields.h"
#include "conf/dnsbl.h"
#include "conf/hop.h"

struct line {
	const char *key;
	struct span value;
	bool quoted;
	struct origin at;
};

static void print_origin(const struct origin *at, struct buf *out)
{
	if (!at->file)
		buf_put(out, SPAN("default"));
	else if (at->line)
		buf_fmt(out, "%s:%u", at->file, at->line);
	else
		buf_fmt(out, "%s", at->file);
}

static void put_line(const struct config_show *a, const struct line *l)
{
	uint8_t from_mem[1024], row_mem[4096], text_mem[8192];
	struct buf from, row, text;

	buf_init(&from, from_mem, sizeof(from_mem));
	buf_init(&row, row_mem, sizeof(row_mem));
	buf_init(&text, text_mem, sizeof(text_mem));
	print_origin(&l->at, &from);
	if (a->json) {
		field_text(&row, "key", span_str(l->key));
		field_text(&row, "value", l->value);
		field_text(&row, "from", buf_span(&from));
		fields_print_json(buf_span(&row), 0, &text);
		printf("%.*s\n", SPAN_ARG(buf_span(&text)));
		return;
	}
	buf_fmt(&text, "%s = %s", l->key, l->quoted ? "\"" : "");
	for (size_t i = 0; i < l->value.n; i++) {
		if (l->quoted && (l->value.p[i] == '"' || l->value.p[i] == '\\'))
			buf_byte(&text, '\\');
		buf_byte(&text, l->value.p[i]);
	}
	buf_fmt(&text, "%s;", l->quoted ? "\"" : "");
	printf("%-54.*s # %.*s\n", SPAN_ARG(buf_span(&text)), SPAN_ARG(buf_span(&from)));
}

static bool chosen(const struct config_show *a, const char *key)
{
	size_t n = a->key ? strlen(a->key) : 0;

	return !a->key ||
	       (strncmp(key, a->key, n) == 0 && (key[n] == '\0' || key[n] == '.'));
}

size_t config_show_settings(const struct config_show *a, const struct settings *set,
			    const struct origins *origins)
{
	size_t count = 0;

	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting_row *r = &setting_table[i];
		struct line l = { .key = r->key,
				  .at = origins->set[i],
				  .quoted = r->kind != SETTING_COUNT &&
					    r->kind != SETTING_FLAG };
		uint8_t mem[TEXT_MAX];
		struct buf value;

		if (!chosen(a, r->key))
			continue;
		buf_init(&value, mem, sizeof(mem));
		setting_print(set, r, &value);
		l.value = buf_span(&value);
		put_line(a, &l);
		count++;
	}
	return count;
}

static void put_entry(const struct config_show *a, const char *key,
		      const struct buf *value, struct origin at)
{
	struct line l = { .key = key, .value = buf_span(value), .at = at };

	put_line(a, &l);
}

static void put_listener(const struct config_show *a, const struct listener *l,
			 struct origin at)
{
	static const char *const services[SERVICE_COUNT] = { "smtp", "submission", "imap",
							     "pop3" };
	static const char *const tls[] = { "none", "starttls", "implicit" };
	uint8_t mem[400];
	struct buf value;

	buf_init(&value, mem, sizeof(mem));
	buf_put(&value, SPAN("{ address = \""));
	if (*l->path)
		buf_fmt(&value, "unix:%s", l->path);
	else
		endpoint_print(&l->at, &value);
	buf_fmt(&value, "\"; service = \"%s\"; tls = \"%s\"; auth = %s; proxy = %s; }",
		services[l->service], tls[l->tls], l->auth ? "true" : "false",
		l->proxy ? "true" : "false");
	put_entry(a, "listen", &value, at);
}

static void put_route(const struct config_show *a, const struct route *r, struct origin at)
{
	static const char *const hops[] = { "maildir", "discard",
					    "lmtp:unix:", "lmtp:", "smtp:" };
	uint8_t mem[DOMAIN_MAX + TEXT_MAX + 100];
	struct buf value;

	buf_init(&value, mem, sizeof(mem));
	buf_fmt(&value, "{ domain = \"%s\"; to = \"%s%s\"; verify = %s; }", r->domain,
		hops[r->hop], r->target, r->verify ? "true" : "false");
	put_entry(a, "routes", &value, at);
}

static void put_nets(const struct config_show *a, const char *key, const struct net *nets,
		     size_t count)
{
	for (size_t i = 0; i < count; i++) {
		bool v4 = addr_is_v4(&nets[i].addr) && nets[i].bits >= 96;
		uint8_t mem[100];
		struct buf value;

		buf_init(&value, mem, sizeof(mem));
		buf_byte(&value, '"');
		addr_print(&nets[i].addr, &value);
		buf_fmt(&value, "/%d\"", v4 ? nets[i].bits - 96 : nets[i].bits);
		put_entry(a, key, &value, (struct origin){ a->path, 0 });
	}
}

static void put_text(const struct config_show *a, const char *key, const char *text,
		     struct origin at)
{
	struct line line = { .key = key, .value = span_str(text), .quoted = true, .at = at };

	put_line(a, &line);
}

static void put_access(const struct config_show *a, const struct access_source *f)
{
	static const char *const words[] = { "client", "sender", "recipient", "helo",
					     "ptr" };
	uint8_t mem[TEXT_MAX + 100];
	struct buf value;

	buf_init(&value, mem, sizeof(mem));
	buf_fmt(&value, "{ file = \"%s\"; of = \"%s\"; action = \"%s\"; }", f->file,
		words[f->of], f->action == ACCESS_PERMIT ? "permit" : "deny");
	put_entry(a, "access", &value, f->at);
}

static void put_dnsbl(const struct config_show *a, const struct dnsbl *d, struct origin at)
{
	uint8_t mem[DOMAIN_MAX + 800];
	struct buf value;

	buf_init(&value, mem, sizeof(mem));
	buf_fmt(&value, "{ zone = \"%s\"; weight = %d; allows = %s; answers = \"",
		d->zone, d->weight, d->allows ? "true" : "false");
	dnsbl_answers_print(d, &value);
	buf_put(&value, SPAN("\"; }"));
	put_entry(a, "dnsbl", &value, at);
}

/* Who gets in, and who does not. */
static size_t put_guard(const struct config_show *a, const struct loaded *l)
{
	const struct loaded_access *acc = &l->access;
	const struct conf *c = &l->conf;
	size_t count = 0;

	for (size_t i = 0; chosen(a, "allow") && i < acc->allow_count; i++, count++)
		put_text(a, "allow", acc->allow[i].text, acc->allow[i].at);
	for (size_t i = 0; chosen(a, "deny") && i < acc->deny_count; i++, count++)
		put_text(a, "deny", acc->deny[i].text, acc->deny[i].at);
	for (size_t i = 0; chosen(a, "access") && i < acc->file_count; i++, count++)
		put_access(a, &acc->files[i]);
	for (size_t i = 0; chosen(a, "dnsbl") && i < c->dnsbl_count; i++, count++)
		put_dnsbl(a, &c->dnsbls[i], l->origins.dnsbls[i]);
	for (size_t i = 1; chosen(a, "guard.observe") && i < RULE_COUNT; i++)
		if (c->observed[i] && ++count)
			put_text(a, "guard.observe", rule_table[i].word,
				 (struct origin){ a->path, 0 });
	return count;
}

static size_t put_reception(const struct config_show *a, const struct loaded *l)
{
	const struct conf *c = &l->conf;
	size_t count = 0;

	for (size_t i = 0; chosen(a, "listen") && i < c->listener_count; i++, count++)
		put_listener(a, &c->listeners[i], l->origins.listeners[i]);
	for (size_t i = 0; chosen(a, "domains") && i < c->domain_count; i++, count++) {
		struct line line = { .key = "domains",
				     .value = span_str(c->domains[i]),
				     .quoted = true,
				     .at = l->origins.domains[i] };

		put_line(a, &line);
	}
	for (size_t i = 0; chosen(a, "routes") && i < c->route_count; i++, count++)
		put_route(a, &c->routes[i], l->origins.routes[i]);
	if (chosen(a, "proxy-from"))
		put_nets(a, "proxy-from", c->proxy_from, c->proxy_count);
	if (chosen(a, "xclient-from"))
		put_nets(a, "xclient-from", c->xclient_from, c->xclient_count);
	return count;
}

/* ---- users and their mail ---- */

static const char *hop_tls_word(enum hop_tls tls)
{
	static const char *const words[HOP_TLS_COUNT] = { "none", "may", "must", "verify",
							  "dane" };

	return words[tls];
}

static void put_relay(const struct config_show *a, const struct relay *r, struct origin at)
{
	uint8_t mem[DOMAIN_MAX + 2 * TEXT_MAX + 100];
	struct buf value;

	buf_init(&value, mem, sizeof(mem));
	buf_fmt(&value, "{ domain = \"%s%s\"; to = \"", r->below ? "." : "", r->domain);
	relay_print(r->hop, r->target, &value);
	buf_fmt(&value, "\"; tls = \"%s\"; login = \"%s\"; }", hop_tls_word(r->tls),
		r->login);
	put_entry(a, "relays", &value, at);
}

static void put_passwords(const struct config_show *a, const struct password_source *p,
			  struct origin at)
{
	static const char *const kinds[PASSWORDS_KINDS] = { "database", "passwd-file",
							    "dovecot", "backend" };
	uint8_t mem[DOMAIN_MAX + TEXT_MAX + 100];
	struct buf value;

	buf_init(&value, mem, sizeof(mem));
	buf_fmt(&value, "{ kind = \"%s\";", kinds[p->kind]);
	if (*p->path)
		buf_fmt(&value, " path = \"%s\";", p->path);
	if (*p->domain)
		buf_fmt(&value, " domain = \"%s\";", p->domain);
	buf_put(&value, SPAN(" }"));
	put_entry(a, "auth.sources", &value, at);
}

static void put_oauth(const struct config_show *a, const struct oauth *o, struct origin at)
{
	uint8_t mem[6 * TEXT_MAX + 100];
	struct buf value;

	buf_init(&value, mem, sizeof(mem));
	buf_fmt(&value,
		"{ issuer = \"%s\"; keys = \"%s\"; introspect = \"%s\"; login = \"%s\"; "
		"audience = \"%s\"; user = \"%s\"; }",
		o->issuer, o->keys, o->introspect, o->login, o->audience, o->user);
	put_entry(a, "auth.oauth", &value, at);
}

static size_t put_users(const struct config_show *a, const struct loaded *l)
{
	const struct conf *c = &l->conf;
	const struct origins *o = &l->origins;
	size_t count = 0;

	for (size_t i = 0; chosen(a, "auth.sources") && i < c->password_source_count;
	     i++, count++)
		put_passwords(a, &c->password_sources[i], o->password_sources[i]);
	for (size_t i = 0; chosen(a, "auth.traps") && i < c->trap_count; i++, count++)
		put_text(a, "auth.traps", c->traps[i], (struct origin){ a->path, 0 });
	for (size_t i = 0; chosen(a, "auth.oauth") && i < c->oauth_count; i++, count++)
		put_oauth(a, &c->oauth[i], o->oauth[i]);
	return count;
}

static void put_send_as(const struct config_show *a, const struct send_as *s,
			struct origin at)
{
	uint8_t mem[2 * ADDRESS_MAX + 100];
	struct buf value;

	buf_init(&value, mem, sizeof(mem));
	buf_fmt(&value, "{ login = \"%s\"; address = \"%s\"; }", s->login, s->address);
	put_entry(a, "send-as", &value, at);
}

static void put_dkim(const struct config_show *a, const struct dkim_key *k,
		     struct origin at)
{
	uint8_t mem[DOMAIN_MAX + 200];
	struct buf value;

	buf_init(&value, mem, sizeof(mem));
	buf_fmt(&value, "{ domain = \"%s\"; selector = \"%s\"; algorithm = \"%s\"; }",
		k->domain, k->selector, k->algorithm == DKIM_RSA ? "rsa" : "ed25519");
	put_entry(a, "dkim", &value, at);
}

static size_t put_outbound(const struct config_show *a, const struct loaded *l)
{
	const struct conf *c = &l->conf;
	const struct origins *o = &l->origins;
	size_t count = 0;

	for (size_t i = 0; chosen(a, "relays") && i < c->relay_count; i++, count++)
		put_relay(a, &c->relays[i], o->relays[i]);
	for (size_t i = 0; chosen(a, "send-as") && i < c->send_as_count; i++, count++)
		put_send_as(a, &c->send_as[i], o->send_as[i]);
	for (size_t i = 0; chosen(a, "dkim") && i < c->dkim_count; i++, count++)
		put_dkim(a, &c->dkim[i], o->dkim[i]);
	return count;
}

/* ---- where mail is read ---- */

static void put_backend(const struct config_show *a, const struct backend *b,
			struct origin at)
{
	/* in the order of the enums */
	static const char *const tls[] = { "none", "starttls", "implicit" };
	static const char *const logins[] = { "same", "master", "authzid", "own" };
	static const char *const identities[] = { "none", "proxy", "proxy2", "id" };
	uint8_t mem[BACKEND_NAME_MAX + 3 * TEXT_MAX + 200];
	struct buf value;

	buf_init(&value, mem, sizeof(mem));
	buf_fmt(&value, "{ name = \"%s\";", b->name);
	if (*b->imap)
		buf_fmt(&value, " imap = \"%s\";", b->imap);
	if (*b->pop3)
		buf_fmt(&value, " pop3 = \"%s\";", b->pop3);
	buf_fmt(&value, " tls = \"%s\"; verify = %s; login = \"%s\";", tls[b->tls],
		b->verify ? "true" : "false", logins[b->login]);
	if (*b->credential)
		buf_fmt(&value, " credential = \"%s\";", b->credential);
	buf_fmt(&value, " identity = \"%s\"; weight = %u; }", identities[b->identity],
		b->weight);
	put_entry(a, "backends", &value, at);
}

static void put_mailbox(const struct config_show *a, const struct conf *c,
			const struct mailbox *m, struct origin at)
{
	uint8_t mem[ADDRESS_MAX + BACKEND_NAME_MAX + 100];
	struct buf value;

	buf_init(&value, mem, sizeof(mem));
	buf_fmt(&value, "{ user = \"%s\"; backend = \"%s\"; }", m->user,
		c->backends[m->backend].name);
	put_entry(a, "mailboxes", &value, at);
}

static size_t put_reading(const struct config_show *a, const struct loaded *l)
{
	const struct conf *c = &l->conf;
	const struct origins *o = &l->origins;
	size_t count = 0;

	for (size_t i = 0; chosen(a, "backends") && i < c->backend_count; i++, count++)
		put_backend(a, &c->backends[i], o->backends[i]);
	for (size_t i = 0; chosen(a, "mailboxes") && i < c->mailbox_count; i++, count++)
		put_mailbox(a, c, &c->mailboxes[i], o->mailboxes[i]);
	return count;
}

size_t config_show_lists(const struct config_show *a, const struct loaded *l)
{
	return put_reception(a, l) + put_guard(a, l) + put_users(a, l) +
	       put_outbound(a, l) + put_reading(a, l);
}
