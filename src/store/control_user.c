/*
 * user add, remove and list.
 */
#include "base/number.h"
#include "store/control.h"
#include "store/control_accounts.h"
#include "store/locate.h"

static void user_add(struct store *s, uint32_t ask, struct span rest)
{
	struct op_account o = { .what = USER_ADD, .quota = QUOTA_DEFAULT };
	uint8_t mem[ADDRESS_MAX], path_mem[MAILDIR_PATH_MAX];
	struct span word, quota = SPAN_NONE;
	struct buf path;

	if (!list_next(&rest, &word)) {
		account_usage(s, ask, "user add ADDRESS [--quota SIZE]");
		return;
	}
	if (!account_read_address(s, ask, word, mem, &o.key) ||
	    !account_is_ours(s, ask, o.key) ||
	    !account_read_option(s, ask, &rest, "--quota", &quota))
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
	account_put(s, ask, &o);
}

static void user_remove(struct store *s, uint32_t ask, struct span rest)
{
	struct op_account o = { .what = USER_REMOVE };
	uint8_t mem[ADDRESS_MAX];
	struct span word;

	if (!list_next(&rest, &word) || rest.n) {
		account_usage(s, ask, "user remove ADDRESS");
		return;
	}
	if (!account_read_address(s, ask, word, mem, &o.key))
		return;
	if (people_user(&s->recipients.own, o.key))
		account_put(s, ask, &o);
	else if (people_user(&s->recipients.given, o.key))
		control_done(s, ask, false, "%.*s comes from a table: remove it there",
			     SPAN_ARG(o.key));
	else
		control_done(s, ask, false, "there is no user %.*s", SPAN_ARG(o.key));
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
		account_list(s, ask, &s->recipients.own.users, &s->recipients.given.users,
			     user_row);
	else if (span_eq(word, SPAN("backend")))
		control_backend(s, ask, words);
	else
		account_usage(s, ask, "user add|remove|list|backend");
}
