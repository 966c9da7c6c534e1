#include "conf/check_inner.h"

#include <stdarg.h>
#include <stdio.h>

#include "conf/hop.h"

#define SOCKET_PATH_MAX 107 /* struct sockaddr_un, without its NUL */
#define DETAIL_MAX	7   /* struct rcptmap_head */
#define TABLE_NAME_MAX	31

PRINTF(4, 0)
static void report(struct problems *p, bool fatal, struct origin at, const char *fmt,
		   va_list args)
{
	unsigned *count = fatal ? &p->fatal : &p->warnings;
	char text[1024];
	int n = 0;

	(*count)++;
	if (*count > PROBLEMS_MAX)
		return;
	if (at.file && at.line)
		n = snprintf(text, sizeof(text), "%s:%u: ", at.file, at.line);
	else if (at.file)
		n = snprintf(text, sizeof(text), "%s: ", at.file);
	if (n < 0 || (size_t)n >= sizeof(text))
		n = 0;
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, args);
	/* it quotes what was read, and goes to terminals */
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	p->on_problem(p->arg, fatal, text);
}

void problem(struct problems *p, struct origin at, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report(p, true, at, fmt, args);
	va_end(args);
}

void doubt(struct problems *p, struct origin at, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report(p, false, at, fmt, args);
	va_end(args);
}

/* Where one of two settings was read: the other may be a default. */
static struct origin either(const struct check *c, enum setting a, enum setting b)
{
	const struct origin *o = c->origins->set;

	return o[a].file ? o[a] : o[b];
}

#define AT_MOST(c, small, large)                                                      \
	do {                                                                          \
		if ((c)->conf->set.small > (c)->conf->set.large)                      \
			problem((c)->problems, either(c, SET_##small, SET_##large),   \
				"%s is more than %s", setting_table[SET_##small].key, \
				setting_table[SET_##large].key);                      \
	} while (0)

static void check_order(const struct check *c)
{
	AT_MOST(c, verify_good_ask, verify_good);
	AT_MOST(c, verify_bad_ask, verify_bad);
	AT_MOST(c, retry_first, retry_max);
	AT_MOST(c, retry_first, lifetime);
	AT_MOST(c, header_max, message_max);
	AT_MOST(c, line_max, auth_line_max);
	AT_MOST(c, greet_delay, session_timeout);
	AT_MOST(c, command_timeout, session_timeout);
	AT_MOST(c, delay_at, late_at);
	AT_MOST(c, late_at, ban_at);
	AT_MOST(c, ban_first, ban_max);
	AT_MOST(c, half_fast, half_slow);
	AT_MOST(c, drop_after, kernel_after);
	AT_MOST(c, auth_delay, auth_delay_max);
	AT_MOST(c, delay_notice, lifetime);
}

static void check_path(const struct check *c, enum setting which, const char *path)
{
	if (*path != '/')
		problem(c->problems, c->origins->set[which],
			"%s: \"%s\" is not an absolute path", setting_table[which].key,
			path);
}

static void check_paths(const struct check *c)
{
	const struct settings *s = &c->conf->set;
	const struct origin *o = c->origins->set;

	check_path(c, SET_dir, s->dir);
	if (*s->fetch_ca_file)
		check_path(c, SET_fetch_ca_file, s->fetch_ca_file);
	check_path(c, SET_control, s->control);
	if (strlen(s->control) > SOCKET_PATH_MAX)
		problem(c->problems, o[SET_control],
			"control: the path of a socket may have %d bytes, this one has %zu",
			SOCKET_PATH_MAX, strlen(s->control));
	if (*s->maildirs) {
		check_path(c, SET_maildirs, s->maildirs);
		if (!strstr(s->maildirs, "%u"))
			problem(c->problems, o[SET_maildirs],
				"delivery.maildirs: without %%u all users have the same Maildir");
		else if (!strstr(s->maildirs, "%d"))
			doubt(c->problems, o[SET_maildirs],
			      "delivery.maildirs: without %%d the same user in two domains has "
			      "one Maildir");
	}
	if (*s->log_file) {
		check_path(c, SET_log_file, s->log_file);
		if (s->log_to != LOG_TO_FILE)
			doubt(c->problems, o[SET_log_file],
			      "log.file is not used unless log.to is \"file\"");
	}
}

static void check_texts(const struct check *c)
{
	const struct settings *s = &c->conf->set;
	struct span detail = setting_text(s->detail);

	if (!host_name_ok(setting_text(s->hostname)))
		problem(c->problems, c->origins->set[SET_hostname],
			"hostname: \"%s\" is not a host name", s->hostname);
	if (detail.n > DETAIL_MAX)
		problem(c->problems, c->origins->set[SET_detail],
			"recipients.detail may have %d characters", DETAIL_MAX);
	for (size_t i = 0; i < detail.n; i++) {
		uint8_t d = byte_lower(detail.p[i]);

		if ((d >= 'a' && d <= 'z') || (d >= '0' && d <= '9') || d == '@' ||
		    d == '.' || d >= 0x80)
			problem(c->problems, c->origins->set[SET_detail],
				"recipients.detail: \"%c\" cannot separate", detail.p[i]);
	}
}

/* It becomes part of a reply, whatever the client understands. */
static void check_contact(const struct check *c)
{
	struct span text = setting_text(c->conf->set.contact);

	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] >= ' ' && text.p[i] < 0x7f)
			continue;
		problem(c->problems, c->origins->set[SET_contact],
			"guard.contact: printable ASCII characters only, replies have no others");
		return;
	}
}

/* "192.0.2.1, 192.0.2.2:5353, [2001:db8::1]:53" */
static void check_dns_servers(const struct check *c)
{
	struct span left = setting_text(c->conf->set.dns_servers);

	while (left.n) {
		struct span word = span_trim(span_cut(&left, ','));
		struct endpoint with_port;
		struct addr a;

		if (!addr_parse(word, &a) && !endpoint_parse(word, &with_port))
			problem(c->problems, c->origins->set[SET_dns_servers],
				"dns.servers: \"%.*s\" is neither an address nor one with a port, "
				"such as 192.0.2.2:5353",
				SPAN_ARG(word));
	}
}

static bool table_name_ok(struct span name)
{
	for (size_t i = 0; i < name.n; i++) {
		uint8_t b = byte_lower(name.p[i]);

		if (!(b >= 'a' && b <= 'z') && b != '_' &&
		    (i == 0 || !((b >= '0' && b <= '9') || b == '-')))
			return false;
	}
	return name.n > 0 && name.n <= TABLE_NAME_MAX;
}

static void check_firewall(const struct check *c)
{
	const struct settings *s = &c->conf->set;

	if (!s->firewall)
		return;
	check_path(c, SET_firewall_nft, s->firewall_nft);
	if (!table_name_ok(setting_text(s->firewall_table)))
		problem(c->problems, c->origins->set[SET_firewall_table],
			"firewall.table: \"%s\" is not a name of up to %d letters, digits, _ and -, a "
			"letter or _ first",
			s->firewall_table, TABLE_NAME_MAX);
}

static void check_dnsbls(const struct check *c)
{
	const struct conf *conf = c->conf;

	for (size_t i = 0; i < conf->dnsbl_count; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(conf->dnsbls[i].zone, conf->dnsbls[j].zone) == 0)
				doubt(c->problems, c->origins->dnsbls[i],
				      "dnsbl: %s is there twice, and is asked twice",
				      conf->dnsbls[i].zone);
}

static void check_routes(const struct check *c)
{
	const struct conf *conf = c->conf;

	for (size_t i = 0; i < conf->route_count; i++) {
		const struct route *r = &conf->routes[i];
		struct origin at = c->origins->routes[i];

		if (r->verify && (r->hop == HOP_MAILDIR || r->hop == HOP_DISCARD))
			problem(c->problems, at,
				"routes: %s has verify = true, but no next hop that could be asked",
				r->domain);
		for (size_t j = 0; j < i; j++)
			if (strcmp(r->domain, conf->routes[j].domain) == 0)
				problem(c->problems, at, "routes: %s has two routes",
					r->domain);
	}
}

static void check_domains(const struct check *c)
{
	const struct conf *conf = c->conf;

	for (size_t i = 0; i < conf->domain_count; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(conf->domains[i], conf->domains[j]) == 0)
				doubt(c->problems, c->origins->domains[i],
				      "domains: %s is there twice", conf->domains[i]);
}

void conf_check(struct conf *conf, const struct origins *origins, struct problems *p)
{
	const struct check c = { conf, origins, p };
	struct err err;

	if (!hop_parse(setting_text(conf->set.deliver_to), &conf->deliver_hop,
		       conf->deliver_target, &err))
		problem(p, origins->set[SET_deliver_to], "delivery.to: %s", err.text);
	check_order(&c);
	check_paths(&c);
	check_texts(&c);
	check_contact(&c);
	check_dns_servers(&c);
	check_firewall(&c);
	check_listeners(&c);
	check_routes(&c);
	check_domains(&c);
	check_dnsbls(&c);
	check_auth(&c);
	check_mailboxes(&c);
	check_outbound(&c);
}
