/*
 * user, alias and domain: changed in the database first, then in memory, then in the map
 * that the edges have. Only then the administrator is told that it is done.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/number.h"
#include "store/control.h"
#include "store/inner.h"
#include "store/locate.h"
#include "store/upkeep.h"
#include "wire/address.h"

enum change {
	USER_ADD,
	USER_REMOVE,
	ALIAS_ADD,
	ALIAS_REMOVE,
	DOMAIN_ADD,
	DOMAIN_REMOVE,
};

struct op_account {
	struct op op;
	struct store *store;
	uint32_t ask;
	enum change what;
	struct span key;     /* an address or a domain, in lower case */
	struct span targets; /* of an alias: a list */
	struct span catch_all;
	int64_t quota;
};

/* ---- the change ---- */

static bool run_account(struct op *op, struct tools *t, struct err *err)
{
	struct op_account *o = (struct op_account *)op;

	switch (o->what) {
	case USER_ADD:
		return state_put_user(t->state, o->key, o->quota, err);
	case USER_REMOVE:
		return state_drop_user(t->state, o->key, err) &&
		       state_drop_located(t->state, o->key, err);
	case ALIAS_ADD:
		return state_put_alias(t->state, o->key, o->targets, err);
	case ALIAS_REMOVE:
		return state_drop_alias(t->state, o->key, err);
	case DOMAIN_ADD:
		return state_put_domain(t->state, o->key, o->catch_all, err);
	case DOMAIN_REMOVE:
		return state_drop_domain(t->state, o->key, err);
	}
	return true;
}

static bool apply(struct op_account *o)
{
	struct people *own = &o->store->recipients.own;

	switch (o->what) {
	case USER_ADD:
		return people_put_user(own, o->key, o->quota);
	case USER_REMOVE:
		(void)people_drop_located(own, o->key);
		return people_drop_user(own, o->key) || true;
	case ALIAS_ADD:
		return people_put_alias(own, o->key, o->targets);
	case ALIAS_REMOVE:
		return people_drop_alias(own, o->key) || true;
	case DOMAIN_ADD:
		return people_put_domain(own, o->key, o->catch_all);
	case DOMAIN_REMOVE:
		return people_drop_domain(own, o->key) || true;
	}
	return true;
}

static const char *const said[] = {
	[USER_ADD] = "user added",     [USER_REMOVE] = "user removed",
	[ALIAS_ADD] = "alias added",   [ALIAS_REMOVE] = "alias removed",
	[DOMAIN_ADD] = "domain added", [DOMAIN_REMOVE] = "domain removed",
};

static void done_account(struct op *op, struct batch *batch)
{
	struct op_account *o = (struct op_account *)op;
	struct store *s = o->store;
	uint8_t mem[512];
	struct buf row;

	(void)batch;
	if (!op->committed) {
		control_done(s, o->ask, false, "not stored: %s",
			     op->trouble == TROUBLE_FULL
				     ? "the disk is full"
				     : "the database failed, see the log");
		return;
	}
	if (!apply(o)) {
		control_done(s, o->ask, false,
			     "stored, but out of memory: restart the store");
		return;
	}
	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "what", span_str(said[o->what]));
	field_text(&row, "address", o->key);
	pulse_log(s->pulse, LOG_ACCOUNT_CHANGED, loop_wall(s->loop), NULL, buf_span(&row));
	/* a domain's catch-all is pointed to until the map is made again */
	people_changed(s, o->ask, said[o->what], o->what >= DOMAIN_ADD);
}

static void put(struct store *s, uint32_t ask, const struct op_account *wanted)
{
	struct op_account *o = writer_take(s->writer, sizeof(*o));
	struct pile *pile = writer_pile(s->writer);

	if (!o)
		goto fail;
	*o = *wanted;
	o->op = (struct op){ .on = OP_STATE, .run = run_account, .done = done_account };
	o->store = s;
	o->ask = ask;
	if (!pile_keep(pile, wanted->key, &o->key) ||
	    !pile_keep(pile, wanted->targets, &o->targets) ||
	    !pile_keep(pile, wanted->catch_all, &o->catch_all))
		goto fail;
	writer_put(s->writer, &o->op);
	return;
fail:
	control_done(s, ask, false, "out of memory");
}

/* ---- what is said ---- */

/* An address in lower case; says what is wrong with it otherwise. */
static bool read_address(struct store *s, uint32_t ask, struct span text,
			 uint8_t mem[ADDRESS_MAX], struct span *out)
{
	struct address a;

	if (!address_parse(text, &a)) {
		control_done(s, ask, false, "\"%.*s\" is not an address",
			     SPAN_ARG(span_head(text, 80)));
		return false;
	}
	*out = recipients_lower(address_span(&a), mem);
	return true;
}

static bool is_ours(struct store *s, uint32_t ask, struct span address)
{
	struct span domain = span_skip(address, span_find_last(address, '@') + 1);

	if (names_find(&s->recipients.domains, domain))
		return true;
	control_done(s, ask, false,
		     "%.*s is not a domain of ours: holdfast domain add %.*s",
		     SPAN_ARG(domain), SPAN_ARG(domain));
	return false;
}

/* --name VALUE; false: something else is there, and the asker was told. */
static bool read_option(struct store *s, uint32_t ask, struct span *rest,
			const char *name, struct span *value)
{
	struct span word;

	while (list_next(rest, &word)) {
		if (!span_eq(word, span_str(name))) {
			control_done(s, ask, false, "what is \"%.*s\"?",
				     SPAN_ARG(span_head(word, 80)));
			return false;
		}
		if (!list_next(rest, value)) {
			control_done(s, ask, false, "%s needs a value", name);
			return false;
		}
	}
	return true;
}

static void usage(struct store *s, uint32_t ask, const char *text)
{
	control_done(s, ask, false, "usage: holdfast %s", text);
}

/* ---- user ---- */

static void user_add(struct store *s, uint32_t ask, struct span rest)
{
	struct op_account o = { .what = USER_ADD, .quota = QUOTA_DEFAULT };
	uint8_t mem[ADDRESS_MAX], path_mem[MAILDIR_PATH_MAX];
	struct span word, quota = SPAN_NONE;
	struct buf path;

	if (!list_next(&rest, &word)) {
		usage(s, ask, "user add ADDRESS [--quota SIZE]");
		return;
	}
	if (!read_address(s, ask, word, mem, &o.key) || !is_ours(s, ask, o.key) ||
	    !read_option(s, ask, &rest, "--quota", &quota))
		return;
	buf_init(&path, path_mem, sizeof(path_mem));
	if (!maildirs_path(&s->maildirs, o.key, &path)) {
		control_done(s, ask, false, "%.*s cannot be the name of a mailbox",
			     SPAN_ARG(o.key));
		return;
	}
	if (quota.n && !size_parse(quota, &o.quota)) {
		control_done(s, ask, false, "\"%.*s\" is not a size, as 500m or 2g are",
			     SPAN_ARG(span_head(quota, 40)));
		return;
	}
	if (quota.n == 0 && people_user(&s->recipients.own, o.key)) {
		control_done(s, ask, false, "%.*s exists already", SPAN_ARG(o.key));
		return;
	}
	put(s, ask, &o);
}

static void user_remove(struct store *s, uint32_t ask, struct span rest)
{
	struct op_account o = { .what = USER_REMOVE };
	uint8_t mem[ADDRESS_MAX];
	struct span word;

	if (!list_next(&rest, &word) || rest.n) {
		usage(s, ask, "user remove ADDRESS");
		return;
	}
	if (!read_address(s, ask, word, mem, &o.key))
		return;
	if (people_user(&s->recipients.own, o.key))
		put(s, ask, &o);
	else if (people_user(&s->recipients.given, o.key))
		control_done(s, ask, false, "%.*s comes from a table: remove it there",
			     SPAN_ARG(o.key));
	else
		control_done(s, ask, false, "there is no user %.*s", SPAN_ARG(o.key));
}

static int by_text(const void *a, const void *b)
{
	struct span x = (*(const struct name *const *)a)->text;
	struct span y = (*(const struct name *const *)b)->text;
	size_t n = x.n < y.n ? x.n : y.n;
	int order = n ? memcmp(x.p, y.p, n) : 0;

	return order ? order : x.n < y.n ? -1 : x.n > y.n;
}

bool control_names(struct stream *t, const struct names *names, const char *source,
		   void (*make)(const struct store *s, const struct name *n,
				struct buf *row))
{
	struct name **sorted = calloc(names->count + 1, sizeof(struct name *));
	size_t n = 0, at = 0;

	if (!sorted)
		return false;
	while ((sorted[n] = names_each(names, &at)))
		n++;
	qsort(sorted, n, sizeof(struct name *), by_text);
	for (size_t i = 0; i < n; i++) {
		uint8_t mem[ROW_MAX];
		struct buf row;

		buf_init(&row, mem, sizeof(mem));
		make(t->store, sorted[i], &row);
		if (source)
			field_text(&row, "source", span_str(source));
		stream_row(t, &row);
	}
	free(sorted);
	return true;
}

static void list_both(struct store *s, uint32_t ask, const struct names *own,
		      const struct names *given,
		      void (*make)(const struct store *s, const struct name *n,
				   struct buf *row))
{
	struct stream *t = stream_new(s, ask);

	if (!t)
		return;
	t->ok = control_names(t, own, "database", make) &&
		control_names(t, given, "table", make);
	stream_start(t);
}

static void user_row(const struct store *s, const struct name *n, struct buf *row)
{
	const struct user *u = (const struct user *)n;
	const struct located *at = people_located(&s->recipients.own, n->text);
	int64_t quota = u->quota == QUOTA_DEFAULT ? s->conf->set.quota : u->quota;

	field_text(row, "address", n->text);
	field_number(row, "quota", quota);
	if (u->used != USED_UNKNOWN)
		field_number(row, "used", u->used);
	field_flag(row, "full", u->full);
	if (at)
		field_text(row, "backend", at->backend);
}

void control_user(struct store *s, uint32_t ask, struct span words)
{
	struct span word;

	if (!list_next(&words, &word))
		word = SPAN_NONE;
	if (span_eq(word, SPAN("add")))
		user_add(s, ask, words);
	else if (span_eq(word, SPAN("remove")))
		user_remove(s, ask, words);
	else if (span_eq(word, SPAN("list")))
		list_both(s, ask, &s->recipients.own.users, &s->recipients.given.users,
			  user_row);
	else if (span_eq(word, SPAN("backend")))
		control_backend(s, ask, words);
	else
		usage(s, ask, "user add|remove|list|backend");
}

/* ---- alias ---- */

/* An alias leads to somebody of ours, or to another domain, if mail goes out at all. */
static bool is_reachable(struct store *s, uint32_t ask, struct span target)
{
	struct span domain = span_skip(target, span_find_last(target, '@') + 1);
	enum found_kind kind = recipients_find(&s->recipients, target).kind;

	if (kind > FOUND_UNKNOWN || (kind == FOUND_FOREIGN &&
				     recipients_way_out(s->conf, domain).hop != HOP_COUNT))
		return true;
	if (kind == FOUND_UNKNOWN)
		control_done(s, ask, false, "there is nobody at %.*s", SPAN_ARG(target));
	else
		control_done(s, ask, false,
			     "%.*s is not a domain of ours, and delivery.relay and relays "
			     "let nothing out to it",
			     SPAN_ARG(domain));
	return false;
}

/* Mail for an alias stays here: sending it on to strangers makes us their sender. */
static bool read_targets(struct store *s, uint32_t ask, struct span rest, struct buf *list)
{
	struct span word, target;
	uint8_t mem[ADDRESS_MAX];

	while (list_next(&rest, &word)) {
		if (!read_address(s, ask, word, mem, &target) ||
		    !is_reachable(s, ask, target))
			return false;
		list_put(list, target);
	}
	return true;
}

static void alias_add(struct store *s, uint32_t ask, struct span rest)
{
	struct op_account o = { .what = ALIAS_ADD };
	uint8_t mem[ADDRESS_MAX], list_mem[CONTROL_LINE_MAX + ADDRESS_MAX];
	struct span word;
	struct buf list;

	if (!list_next(&rest, &word) || rest.n == 0) {
		usage(s, ask, "alias add ADDRESS TARGET...");
		return;
	}
	buf_init(&list, list_mem, sizeof(list_mem));
	if (!read_address(s, ask, word, mem, &o.key) || !is_ours(s, ask, o.key) ||
	    !read_targets(s, ask, rest, &list))
		return;
	o.targets = buf_span(&list);
	put(s, ask, &o);
}

static void alias_remove(struct store *s, uint32_t ask, struct span rest)
{
	struct op_account o = { .what = ALIAS_REMOVE };
	uint8_t mem[ADDRESS_MAX];
	struct span word;

	if (!list_next(&rest, &word) || rest.n) {
		usage(s, ask, "alias remove ADDRESS");
		return;
	}
	if (!read_address(s, ask, word, mem, &o.key))
		return;
	if (people_alias(&s->recipients.own, o.key))
		put(s, ask, &o);
	else
		control_done(s, ask, false, "there is no alias %.*s%s", SPAN_ARG(o.key),
			     people_alias(&s->recipients.given, o.key) ? " but in a table"
								       : "");
}

static void alias_row(const struct store *s, const struct name *n, struct buf *row)
{
	struct span targets = ((const struct alias *)n)->targets, target;
	uint8_t mem[ROW_MAX / 2];
	struct buf text;

	(void)s;
	buf_init(&text, mem, sizeof(mem));
	while (list_next(&targets, &target)) {
		if (text.len)
			buf_byte(&text, ' ');
		buf_put(&text, target);
	}
	field_text(row, "address", n->text);
	field_text(row, "targets", buf_span(&text));
}

void control_alias(struct store *s, uint32_t ask, struct span words)
{
	struct span word;

	if (!list_next(&words, &word))
		word = SPAN_NONE;
	if (span_eq(word, SPAN("add")))
		alias_add(s, ask, words);
	else if (span_eq(word, SPAN("remove")))
		alias_remove(s, ask, words);
	else if (span_eq(word, SPAN("list")))
		list_both(s, ask, &s->recipients.own.aliases,
			  &s->recipients.given.aliases, alias_row);
	else
		usage(s, ask, "alias add|remove|list");
}

/* ---- domain ---- */

static bool read_domain(struct store *s, uint32_t ask, struct span text,
			uint8_t mem[ADDRESS_MAX], struct span *out)
{
	if (text.n == 0 || text.p[0] == '[' || !address_is_host(text) ||
	    text.n > ADDRESS_MAX) {
		control_done(s, ask, false, "\"%.*s\" is not a domain",
			     SPAN_ARG(span_head(text, 80)));
		return false;
	}
	*out = recipients_lower(text, mem);
	return true;
}

static void domain_add(struct store *s, uint32_t ask, struct span rest)
{
	struct op_account o = { .what = DOMAIN_ADD };
	uint8_t mem[ADDRESS_MAX], catch_mem[ADDRESS_MAX];
	struct span word, catch_all = SPAN_NONE;

	if (!list_next(&rest, &word)) {
		usage(s, ask, "domain add DOMAIN [--catch-all ADDRESS]");
		return;
	}
	if (!read_domain(s, ask, word, mem, &o.key) ||
	    !read_option(s, ask, &rest, "--catch-all", &catch_all))
		return;
	if (catch_all.n && (!read_address(s, ask, catch_all, catch_mem, &o.catch_all) ||
			    !is_ours(s, ask, o.catch_all)))
		return;
	put(s, ask, &o);
}

static void domain_remove(struct store *s, uint32_t ask, struct span rest)
{
	struct op_account o = { .what = DOMAIN_REMOVE };
	uint8_t mem[ADDRESS_MAX];
	struct span word;

	if (!list_next(&rest, &word) || rest.n) {
		usage(s, ask, "domain remove DOMAIN");
		return;
	}
	if (!read_domain(s, ask, word, mem, &o.key))
		return;
	if (people_domain(&s->recipients.own, o.key))
		put(s, ask, &o);
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
		usage(s, ask, "domain add|remove|list");
}
