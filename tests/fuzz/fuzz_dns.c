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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned types[] = { DNS_A, DNS_AAAA, DNS_PTR };
	struct dns_answer a;

	if (!size)
		return 0;
	dns_answer_parse(span_of(data + 1, size - 1), types[data[0] % 3], &a);
	BUG_IF(a.result > DNS_FOUND);
	BUG_IF(a.count > DNS_ANSWER_ADDRESSES || a.name_count > DNS_ANSWER_NAMES);
	BUG_IF(a.result != DNS_FOUND && (a.count || a.name_count));
	for (size_t i = 0; i < a.name_count; i++)
		check_name(&a.names[i]);
	return 0;
}
