/*
 * domain add, remove and list.
 */
#include "io/idn.h"
#include "store/control.h"
#include "store/control_accounts.h"
#include "wire/address.h"

static bool read_domain(struct store *s, uint32_t ask, struct span text,
			uint8_t mem[ADDRESS_MAX], struct span *out)
{
	struct buf ascii;
	const char *why;

	buf_init(&ascii, mem, ADDRESS_MAX);
	why = idn_domain(text, &ascii);
	if (why)
		return account_refuse(s, ask, text, "a domain", why);
	*out = buf_span(&ascii);
	if (out->n == 0 || out->p[0] == '[' || !address_is_host(*out))
		return account_refuse(s, ask, text, "a domain", "");
	return true;
}

static void domain_add(struct store *s, uint32_t ask, struct span rest)
{
	struct op_account o = { .what = DOMAIN_ADD };
	uint8_t mem[ADDRESS_MAX], catch_mem[ADDRESS_MAX];
	struct span word, catch_all = SPAN_NONE;

	if (!list_next(&rest, &word)) {
		account_usage(s, ask, "domain add DOMAIN [--catch-all ADDRESS]");
		return;
	}
	if (!read_domain(s, ask, word, mem, &o.key) ||
	    !account_read_option(s, ask, &rest, "--catch-all", &catch_all))
		return;
	if (catch_all.n &&
	    (!account_read_address(s, ask, catch_all, catch_mem, &o.catch_all) ||
	     !account_is_ours(s, ask, o.catch_all)))
		return;
	account_put(s, ask, &o);
}

static void domain_remove(struct store *s, uint32_t ask, struct span rest)
{
	struct op_account o = { .what = DOMAIN_REMOVE };
	uint8_t mem[ADDRESS_MAX];
	struct span word;

	if (!list_next(&rest, &word) || rest.n) {
		account_usage(s, ask, "domain remove DOMAIN");
		return;
	}
	if (!read_domain(s, ask, word, mem, &o.key))
		return;
	if (people_domain(&s->recipients.own, o.key))
		account_put(s, ask, &o);
	else if (names_find(&s->recipients.domains, o.key))
		control_done(s, ask, false,
			     "%.*s comes from the configuration: remove it there",
			     SPAN_ARG(o.key));
	else
		control_done(s, ask, false, "there is no domain %.*s", SPAN_ARG(o.key));
}

static void domain_row(const struct store *s, const struct name *n, struct buf *row)
{
	const struct our_domain *d = (const struct our_domain *)n;
	uint8_t mem[TEXT_MAX + 16];
	struct buf hop;

	buf_init(&hop, mem, sizeof(mem));
	if (d->route)
		hop_print(d->route->hop, span_str(d->route->target), &hop);
	else
		hop_print(s->conf->deliver_hop, span_str(s->conf->deliver_target), &hop);
	field_text(row, "domain", n->text);
	field_text(row, "hop", buf_span(&hop));
	field_text(row, "catch-all", d->any ? SPAN("everybody") : d->catch_all);
	field_flag(row, "call-ahead", d->route && d->route->verify);
	field_text(row, "source",
		   people_domain(&s->recipients.own, n->text)	  ? SPAN("database")
		   : people_domain(&s->recipients.given, n->text) ? SPAN("table")
								  : SPAN("configuration"));
}

static void domain_list(struct store *s, uint32_t ask)
{
	struct stream *t = stream_new(s, ask);

	if (!t)
		return;
	t->ok = control_names(t, &s->recipients.domains, NULL, domain_row);
	stream_start(t);
}

void control_domain(struct store *s, uint32_t ask, struct span words)
{
	struct span word;

	if (!list_next(&words, &word))
		word = SPAN_NONE;
	if (span_eq(word, SPAN("add")))
		domain_add(s, ask, words);
	else if (span_eq(word, SPAN("remove")))
		domain_remove(s, ask, words);
	else if (span_eq(word, SPAN("list")))
		domain_list(s, ask);
	else
		account_usage(s, ask, "domain add|remove|list");
}
