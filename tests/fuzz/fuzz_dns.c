/* An answer of a name server that may be anybody: the first byte says what was asked for. */
#include "base/bug.h"
#include "io/dns_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const struct dns_name *name)
{
	BUG_IF(name->n == 0 || name->text[0] == '.' || name->text[name->n - 1] == '.');
	for (size_t i = 0; i < name->n; i++)
		BUG_IF(name->text[i] <= ' ' || name->text[i] >= 0x7f);
}

static void check_inside(struct span all, struct span part)
{
	BUG_IF(part.p < all.p || part.p + part.n > all.p + all.n);
}

static void check_text(struct span all, struct span text)
{
	static uint8_t mem[65536];
	struct buf joined;

	check_inside(all, text);
	buf_init(&joined, mem, sizeof(mem));
	BUG_IF(!dns_text(text, &joined) || joined.len > text.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = span_of(data, size);
	static const unsigned types[] = { DNS_A,  DNS_AAAA, DNS_PTR,
					  DNS_MX, DNS_TXT,  DNS_TLSA };
	struct dns_answer a;

	if (!size)
		return 0;
	dns_answer_parse(span_of(data + 1, size - 1), types[data[0] % COUNT_OF(types)],
			 &a);
	BUG_IF(a.result > DNS_FOUND);
	BUG_IF(a.count > DNS_ANSWER_ADDRESSES || a.name_count > DNS_ANSWER_NAMES);
	BUG_IF(a.result != DNS_FOUND && (a.count || a.name_count));
	BUG_IF(a.result != DNS_FOUND && (a.mx_count || a.tlsa_count || a.text_count));
	BUG_IF(a.mx_count > DNS_ANSWER_HOSTS || a.tlsa_count > DNS_ANSWER_TLSAS);
	BUG_IF(a.text_count > DNS_ANSWER_TEXTS);
	for (size_t i = 0; i < a.name_count; i++)
		check_name(&a.names[i]);
	for (size_t i = 0; i < a.mx_count; i++)
		if (a.mx[i].host.n)
			check_name(&a.mx[i].host);
	for (size_t i = 0; i < a.tlsa_count; i++)
		check_inside(all, a.tlsa[i].bytes);
	for (size_t i = 0; i < a.text_count; i++)
		check_text(all, a.texts[i]);
	return 0;
}
