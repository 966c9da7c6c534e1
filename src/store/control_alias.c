/*
 * alias add, remove and list.
 */
#include "store/control.h"
#include "store/control_accounts.h"

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
		if (!account_read_address(s, ask, word, mem, &target) ||
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
		account_usage(s, ask, "alias add ADDRESS TARGET...");
		return;
	}
	buf_init(&list, list_mem, sizeof(list_mem));
	if (!account_read_address(s, ask, word, mem, &o.key) ||
	    !account_is_ours(s, ask, o.key) || !read_targets(s, ask, rest, &list))
		return;
	o.targets = buf_span(&list);
	account_put(s, ask, &o);
}

static void alias_remove(struct store *s, uint32_t ask, struct span rest)
{
	struct op_account o = { .what = ALIAS_REMOVE };
	uint8_t mem[ADDRESS_MAX];
	struct span word;

	if (!list_next(&rest, &word) || rest.n) {
		account_usage(s, ask, "alias remove ADDRESS");
		return;
	}
	if (!account_read_address(s, ask, word, mem, &o.key))
		return;
	if (people_alias(&s->recipients.own, o.key))
		account_put(s, ask, &o);
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
		account_list(s, ask, &s->recipients.own.aliases,
			     &s->recipients.given.aliases, alias_row);
	else
		account_usage(s, ask, "alias add|remove|list");
}
