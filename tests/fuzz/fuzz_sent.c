/*
 * What an account sent, as the database has it, and what a recipient wants to be told, as an
 * edge says it: whatever the bytes, what is taken is in its bounds and means the same again.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "spec/messages.h"
#include "store/notify.h"
#include "store/sent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_account(struct span text)
{
	static uint8_t mem[16 + 3 * 24 + 4 * CONTACTS_MAX];
	const struct sent_limits limits = { 10, 100, 20 };
	const uint32_t to[] = { 1, 2, 3 };
	const struct sending what = { .recipients = to, .count = COUNT_OF(to) };
	struct account a = { 0 };
	struct buf out;

	if (account_parse(&a, text)) {
		buf_init(&out, mem, sizeof(mem));
		account_print(&a, &out);
		BUG_IF(out.full || !span_eq(buf_span(&out), text));
		(void)account_sends(&a, &limits, &what, 1700000000000);
		BUG_IF(a.count > CONTACTS_MAX || a.count > a.cap);
	}
	free(a.contacts);
}

static void try_notify(struct span text)
{
	struct notify n;

	if (!notify_parse(text, &n))
		return;
	BUG_IF((n.words & NOTIFY_NEVER) && n.words != NOTIFY_NEVER);
	BUG_IF(n.orcpt.n > ORCPT_MAX);
	for (size_t i = 0; i < n.orcpt.n; i++)
		BUG_IF(n.orcpt.p[i] <= ' ' || n.orcpt.p[i] >= 0x7f);
	for (enum dsn_action a = DSN_FAILED; a < DSN_ACTIONS; a++)
		BUG_IF(notify_owed(0, SPAN("a@b.example"), text, a) ||
		       notify_owed(MAIL_OURS | MAIL_AUTH, SPAN("a@b.example"), text, a));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_account(span_of(data, size));
	try_notify(span_of(data, size));
	return 0;
}
