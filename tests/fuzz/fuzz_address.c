/*
 * An address that is read and printed is read again as itself, and is what the rest of the
 * program believes an address to be.
 */
#include "base/bug.h"
#include "base/utf8.h"
#include "wire/envelope.h"
#include "wire/mailboxes.h"
#include "wire/smtp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct address *a)
{
	struct span text = address_span(a), domain = address_domain(a);
	struct address again;

	BUG_IF(text.n > ADDRESS_MAX || !utf8_ok(text));
	BUG_IF(a->high == utf8_is_ascii(text));
	for (size_t i = 0; i < text.n; i++)
		BUG_IF(text.p[i] < ' ' || text.p[i] == 0x7f);
	if (a->kind != ADDRESS_MAILBOX) {
		BUG_IF(domain.n != 0);
		return;
	}
	BUG_IF(a->at == 0 || text.p[a->at] != '@' || domain.n == 0);
	BUG_IF(span_find(domain, '@') < domain.n || span_find(domain, ' ') < domain.n);
	BUG_IF(!address_parse(text, &again));
	BUG_IF(!span_eq(address_span(&again), text) || again.at != a->at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size), left = in;
	const unsigned offers = SMTP_OFFERS_CHUNKING | SMTP_OFFERS_BINARY |
				SMTP_OFFERS_UTF8 | SMTP_OFFERS_DSN | SMTP_KNOWS_AUTH;
	struct envelope_mail mail;
	struct envelope_rcpt rcpt;
	uint8_t mem[3 * ORCPT_MAX];
	struct buf orcpt;
	struct address a;

	if (address_next(&left, &a)) {
		BUG_IF(left.n >= in.n || left.p + left.n != in.p + in.n);
		check(&a);
	} else {
		BUG_IF(left.p != in.p || left.n != in.n);
	}
	if (address_parse(in, &a))
		check(&a);
	(void)address_is_host(in);
	if (envelope_mail_parse(in, offers, &mail) == RE_NONE) {
		check(&mail.from);
		BUG_IF(mail.envid.n > ENVID_MAX);
	}
	if (envelope_rcpt_parse(in, offers, true, &rcpt) == RE_NONE) {
		check(&rcpt.to);
		BUG_IF(rcpt.orcpt.n > ORCPT_MAX ||
		       rcpt.notify.n > sizeof("SUCCESS,FAILURE,DELAY"));
		buf_init(&orcpt, mem, sizeof(mem));
		envelope_orcpt_print(rcpt.orcpt, &orcpt);
		BUG_IF(orcpt.full || !utf8_is_ascii(buf_span(&orcpt)));
	}
	while (mailboxes_next(&left, &a) == MAILBOX_GOT)
		check(&a);
	if (envelope_query_check(in, SMTP_OFFERS_UTF8) == RE_NONE)
		BUG_IF(!utf8_ok(in));
	return 0;
}
