#include "conf/check_inner.h"

/* What is shown when somebody logs in, and so can be shown to another server. */
#define SHOWN_MECHANISMS                                                \
	(1u << SASL_PLAIN | 1u << SASL_LOGIN | 1u << SASL_OAUTHBEARER | \
	 1u << SASL_XOAUTH2)

/* Where is listened for that service; NULL: nowhere. */
static const struct listener *first_listener(const struct conf *conf, enum service service)
{
	for (size_t i = 0; i < conf->listener_count; i++)
		if (conf->listeners[i].service == service)
			return &conf->listeners[i];
	return NULL;
}

static struct origin listener_origin(const struct check *c, const struct listener *l)
{
	return c->origins->listeners[l - c->conf->listeners];
}

/* ---- backends ---- */

static bool is_loopback_host(const char *place)
{
	struct endpoint e;

	if (endpoint_parse(span_str(place), &e))
		return addr_is_loopback(&e.addr);
	return span_starts(span_str(place), SPAN("localhost:"));
}

/* Would we be our own client? */
static void check_loop(const struct check *c, const struct backend *b, const char *place,
		       struct origin at)
{
	struct endpoint e;

	if (!endpoint_parse(span_str(place), &e))
		return;
	for (size_t i = 0; i < c->conf->listener_count; i++) {
		const struct listener *l = &c->conf->listeners[i];

		if (*l->path || l->at.port != e.port)
			continue;
		if (addr_eq(&l->at.addr, &e.addr) ||
		    (addr_is_any(&l->at.addr) && addr_is_loopback(&e.addr)))
			problem(c->problems, at, "backends: %s: %s is our own listener %s",
				b->name, place, l->name);
	}
}

static void check_place(const struct check *c, const struct backend *b, const char *place,
			struct origin at)
{
	if (!*place)
		return;
	check_loop(c, b, place, at);
	if (b->tls == BACKEND_TLS_NONE && !is_loopback_host(place))
		doubt(c->problems, at,
		      "backends: %s: without tls = \"starttls\" or \"implicit\" whoever is on "
		      "the way to %s can read passwords and mail",
		      b->name, place);
}

static void check_backend(const struct check *c, const struct backend *b, struct origin at)
{
	bool wants = b->login != BACKEND_SAME;

	if (!*b->imap && !*b->pop3)
		problem(c->problems, at, "backends: %s has neither \"imap\" nor \"pop3\"",
			b->name);
	if (wants && !*b->credential)
		problem(c->problems, at,
			"backends: %s: \"credential\" is missing, which login = \"master\", "
			"\"authzid\" and \"own\" log in with",
			b->name);
	if (!wants && *b->credential)
		doubt(c->problems, at,
		      "backends: %s: \"credential\" is not used with login = \"same\"",
		      b->name);
	if (b->verify && b->tls == BACKEND_TLS_NONE)
		doubt(c->problems, at,
		      "backends: %s: \"verify\" is not used without \"tls\"", b->name);
	check_place(c, b, b->imap, at);
	check_place(c, b, b->pop3, at);
}

static void check_backends(const struct check *c)
{
	const struct conf *conf = c->conf;
	bool weight = false;

	for (size_t i = 0; i < conf->backend_count; i++) {
		const struct backend *b = &conf->backends[i];
		struct origin at = c->origins->backends[i];

		weight |= b->weight > 0;
		check_backend(c, b, at);
		if (backend_find(conf, span_str(b->name)) != b)
			problem(c->problems, at, "backends: %s is there twice", b->name);
	}
	if (conf->backend_count && !weight)
		doubt(c->problems, c->origins->backends[0],
		      "backends: none has a weight: who is not named with a server has none");
	if (conf->backend_count && !first_listener(conf, SERVICE_IMAP) &&
	    !first_listener(conf, SERVICE_POP3))
		doubt(c->problems, c->origins->backends[0],
		      "backends is not used, as no listener has service = \"imap\" or "
		      "\"pop3\"");
}

/* ---- mailboxes ---- */

/* Does the first of the two leave nothing for the second? */
static bool hides(struct span first, struct span second)
{
	return span_eq(first, second) ||
	       (span_starts(first, SPAN("@")) &&
		span_eq(first, span_skip(second, span_find_last(second, '@'))));
}

static void check_named(const struct check *c)
{
	const struct conf *conf = c->conf;

	for (size_t i = 0; i < conf->mailbox_count; i++)
		for (size_t j = 0; j < i; j++) {
			if (!hides(span_str(conf->mailboxes[j].user),
				   span_str(conf->mailboxes[i].user)))
				continue;
			problem(c->problems, c->origins->mailboxes[i],
				"mailboxes: %s stands behind %s, and so is never looked at",
				conf->mailboxes[i].user, conf->mailboxes[j].user);
			break;
		}
}

/* ---- listeners ---- */

static void check_imap(const struct check *c)
{
	const struct listener *l = first_listener(c->conf, SERVICE_IMAP);
	bool served = false;

	for (size_t i = 0; i < c->conf->backend_count; i++)
		served |= *c->conf->backends[i].imap != '\0';
	if (l && !served)
		problem(c->problems, listener_origin(c, l),
			"listen: %s: there is no server behind it: none of backends has "
			"\"imap\"",
			l->name);
}

static bool has_maildirs(const struct conf *conf)
{
	bool found = conf->deliver_hop == HOP_MAILDIR;

	for (size_t i = 0; i < conf->route_count; i++)
		found |= conf->routes[i].hop == HOP_MAILDIR;
	return found;
}

static void check_pop3(const struct check *c)
{
	const struct conf *conf = c->conf;
	const struct listener *l = first_listener(conf, SERVICE_POP3);

	if (!l)
		return;
	for (size_t i = 0; i < conf->backend_count; i++)
		if (*conf->backends[i].pop3)
			return;
	if (!conf->set.mailbox_maildir)
		problem(c->problems, listener_origin(c, l),
			"listen: %s: there is no server behind it: none of backends has "
			"\"pop3\", and mailbox.pop3-maildir is false",
			l->name);
	else if (!has_maildirs(conf))
		doubt(c->problems, listener_origin(c, l),
		      "listen: %s: it serves our Maildirs, but no mail is delivered to them",
		      l->name);
}

/* ---- who logs in ---- */

static const struct backend *wants_passwords(const struct conf *conf)
{
	for (size_t i = 0; i < conf->backend_count; i++)
		if (conf->backends[i].login == BACKEND_SAME)
			return &conf->backends[i];
	return NULL;
}

/* A password that was never shown cannot be passed on. */
static void read_mailbox_mechanisms(const struct check *c)
{
	struct conf *conf = c->conf;
	const struct backend *b = wants_passwords(conf);

	conf->mailbox_mechanisms = conf->mechanisms;
	if (!b)
		return;
	conf->mailbox_mechanisms &= SHOWN_MECHANISMS;
	if (conf->mailbox_mechanisms != conf->mechanisms)
		doubt(c->problems, c->origins->backends[b - conf->backends],
		      "backends: %s logs in with the user's own password (login = \"same\"), "
		      "so IMAP and POP3 offer of auth.mechanisms only plain, login and tokens",
		      b->name);
}

/* Where users log in who do not read mail: a mailbox server cannot be asked there. */
static void check_senders(const struct check *c, struct origin at)
{
	const struct conf *conf = c->conf;

	for (size_t i = 0; i < conf->listener_count; i++) {
		const struct listener *l = &conf->listeners[i];

		if (l->auth && !*l->path && l->service != SERVICE_IMAP &&
		    l->service != SERVICE_POP3)
			doubt(c->problems, at,
			      "auth.sources: kind = \"backend\" alone lets nobody log in at "
			      "%s: a mailbox server is asked for IMAP and POP3 only",
			      l->name);
	}
}

static void check_judge(const struct check *c)
{
	const struct conf *conf = c->conf;

	for (size_t i = 0; i < conf->password_source_count; i++) {
		struct origin at = c->origins->password_sources[i];

		if (conf->password_sources[i].kind != PASSWORDS_BACKEND)
			continue;
		if (conf->password_source_count == 1)
			check_senders(c, at);
		if (i + 1 < conf->password_source_count)
			problem(c->problems, at,
				"auth.sources: kind = \"backend\" must be the last: it cannot "
				"say whether it knows a user, and those behind it were never "
				"asked");
		if (conf->backend_count == 0)
			problem(c->problems, at,
				"auth.sources: kind = \"backend\" needs a server among "
				"backends");
	}
}

void check_mailboxes(const struct check *c)
{
	check_backends(c);
	check_named(c);
	check_imap(c);
	check_pop3(c);
	read_mailbox_mechanisms(c);
	check_judge(c);
}
