/*
 * What user, alias and domain share: changed in the database first, then in memory, then in
 * the map that the edges have. Only then the administrator is told that it is done.
 */
#include "store/control_accounts.h"

#include <stdlib.h>

#include "io/idn.h"
#include "store/control.h"
#include "store/upkeep.h"
#include "wire/address.h"

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
		control_unstored(s, o->ask, op->trouble);
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

void account_put(struct store *s, uint32_t ask, const struct op_account *wanted)
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

bool account_refuse(struct store *s, uint32_t ask, struct span text, const char *what,
		    const char *why)
{
	control_done(s, ask, false, "\"%.*s\" is not %s%s%s",
		     SPAN_ARG(span_head(text, 80)), what, *why ? ": " : "", why);
	return false;
}

/* An address in lower case, its domain in ASCII; says what is wrong with it otherwise. */
bool account_read_address(struct store *s, uint32_t ask, struct span text,
			  uint8_t mem[ADDRESS_MAX], struct span *out)
{
	uint8_t ascii_mem[ADDRESS_MAX];
	struct buf ascii;
	struct address a;
	const char *why;

	if (!address_parse(text, &a))
		return account_refuse(s, ask, text, "an address", "");
	buf_init(&ascii, ascii_mem, sizeof(ascii_mem));
	why = idn_address(address_span(&a), &ascii);
	if (why || ascii.full)
		return account_refuse(s, ask, text, "an address",
				      why ? why : "it is too long");
	*out = recipients_lower(buf_span(&ascii), mem);
	return true;
}

bool account_is_ours(struct store *s, uint32_t ask, struct span address)
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
bool account_read_option(struct store *s, uint32_t ask, struct span *rest,
			 const char *name, struct span *value)
{
	struct span word;

	while (list_next(rest, &word)) {
		if (!span_eq(word, span_str(name))) {
			control_done(s, ask, false,
				     span_starts(word, SPAN("-"))
					     ? "there is no option %.*s here"
					     : "\"%.*s\" is one word too many",
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

void account_usage(struct store *s, uint32_t ask, const char *text)
{
	control_done(s, ask, false, "usage: holdfast %s", text);
}

/* ---- lists ---- */

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

void account_list(struct store *s, uint32_t ask, const struct names *own,
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
