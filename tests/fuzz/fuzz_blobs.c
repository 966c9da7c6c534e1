/* What roles map: certificates, tables, recipients, the configuration. */
#include <stdlib.h>

#include "base/bug.h"
#include "base/list.h"
#include "base/rcptmap.h"
#include "conf/certs.h"
#include "conf/settings.h"
#include "conf/tables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void blobs(struct span in)
{
	struct span left, target;
	struct table_entry e;
	struct cert c;

	if (certs_open(in, &left)) {
		while (certs_next(&left, &c))
			BUG_IF(c.name.n + c.chain.n + c.key.n > in.n);
		BUG_IF(left.n != 0);
	}
	if (tables_open(in, &left)) {
		while (tables_next(&left, &e))
			while (list_next(&e.targets, &target))
				BUG_IF(target.n > in.n);
		BUG_IF(left.n != 0);
	}
}

/* A map of any bytes under a head that is good or not: answers, and reads nothing outside. */
static void recipients(struct span in)
{
	size_t n = rcptmap_size(16);
	const uint64_t key[2] = { 1, 2 };
	uint8_t *mem = calloc(1, n);

	BUG_IF(!mem);
	rcptmap_init(mem, n, key, 1, SPAN("+"));
	memcpy(mem + 8, in.p, in.n < n - 8 ? in.n : n - 8);
	if (rcptmap_ok(mem, n)) {
		(void)rcptmap_look_up(mem, n, span_tail(in, 40));
		(void)rcptmap_look_up(mem, n, SPAN("alice+x@example.org"));
	}
	free(mem);
}

/* What follows from a struct that was found good must not run off its ends. */
static void use(const struct conf *c)
{
	(void)conf_wants_fetch(c);
	for (size_t i = 0; i < c->listener_count; i++)
		BUG_IF(strlen(c->listeners[i].name) >= sizeof(c->listeners[i].name));
	for (size_t i = 0; i < c->relay_count; i++)
		BUG_IF(strlen(c->relays[i].domain) > DOMAIN_MAX ||
		       c->relays[i].tls >= HOP_TLS_COUNT);
	for (size_t i = 0; i < c->trap_count; i++)
		BUG_IF(strlen(c->traps[i]) >= sizeof(c->traps[i]));
	for (size_t i = 0; i < c->dkim_count; i++)
		BUG_IF(strlen(c->dkim[i].selector) >= sizeof(c->dkim[i].selector));
	for (size_t i = 0; i < c->backend_count; i++) {
		const struct backend *b = &c->backends[i];

		BUG_IF(strlen(b->name) >= sizeof(b->name) || strlen(b->imap) >= TEXT_MAX ||
		       strlen(b->pop3) >= TEXT_MAX || strlen(b->credential) >= TEXT_MAX);
		BUG_IF(b->login >= BACKEND_LOGINS || b->identity >= BACKEND_IDENTITIES ||
		       b->weight > BACKEND_WEIGHT_MAX);
		BUG_IF(!backend_find(c, span_str(b->name)));
	}
	for (size_t i = 0; i < c->mailbox_count; i++) {
		const struct backend *b = backend_of_user(c,
							  span_str(c->mailboxes[i].user));

		BUG_IF(b && b >= c->backends + c->backend_count);
	}
}

/* A good struct with some of its bytes overwritten: three bytes say where, and with what. */
static void configuration(struct span in)
{
	static struct conf c;

	c = (struct conf){ .magic = CONF_MAGIC, .size = sizeof(c), .relay_hop = HOP_MX };
	settings_init(&c.set);
	c.backend_count = 2;
	c.backends[0] = (struct backend){ .name = "a", .imap = "127.0.0.1:1143" };
	c.backends[1] =
		(struct backend){ .name = "b", .pop3 = "b.example:110", .weight = 3 };
	c.mailbox_count = 2;
	c.mailboxes[0] = (struct mailbox){ .user = "bob@example.org", .backend = 1 };
	c.mailboxes[1] = (struct mailbox){ .user = "@example.org" };
	BUG_IF(!conf_ok(&c, sizeof(c)));
	while (in.n >= 4) {
		size_t at = (in.p[0] | (size_t)in.p[1] << 8 | (size_t)in.p[2] << 16) %
			    sizeof(c);

		memcpy((uint8_t *)&c + at, in.p + 3, 1);
		in = span_skip(in, 4);
	}
	if (conf_ok(&c, sizeof(c)))
		use(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	blobs(span_of(data, size));
	recipients(span_of(data, size));
	configuration(span_of(data, size));
	return 0;
}
