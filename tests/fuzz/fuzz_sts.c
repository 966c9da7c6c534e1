/* What a domain says of its MTA-STS policy, and the policy: both may be anything. */
#include "base/bug.h"
#include "base/list.h"
#include "wire/sts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size), id, host;
	struct sts_policy p;

	if (sts_record_parse(text, &id)) {
		BUG_IF(id.n == 0 || id.n > STS_ID_MAX);
		BUG_IF(id.p < data || id.p + id.n > data + size);
	}
	if (!sts_policy_parse(text, &p))
		return 0;
	BUG_IF(p.mode > STS_ENFORCE || p.hosts_n > sizeof(p.hosts));
	BUG_IF(p.mode == STS_ENFORCE && !p.hosts_n);
	BUG_IF(!list_ok(span_of(p.hosts, p.hosts_n)));
	/* whoever is named may take mail; nobody without a name may */
	for (struct span left = span_of(p.hosts, p.hosts_n); list_next(&left, &host);)
		BUG_IF(!sts_policy_has(&p, host));
	BUG_IF(sts_policy_has(&p, SPAN_NONE));
	return 0;
}
