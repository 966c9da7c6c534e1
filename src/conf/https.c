#include "conf/https.h"

#include "base/addr.h"
#include "base/number.h"
#include "conf/hop.h"

#define HTTPS_PORT 443

static bool is_visible(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] <= ' ' || text.p[i] >= 0x7f || text.p[i] == '#' ||
		    text.p[i] == '"' || text.p[i] == '\\')
			return false;
	return true;
}

static bool host_ok(struct span host, bool bracketed)
{
	struct addr a;

	if (bracketed)
		return addr_parse(host, &a) && !addr_is_v4(&a);
	return host_name_ok(host);
}

/* "host", "host:8443", "[2001:db8::1]:8443" */
static bool authority(struct span text, struct https *out)
{
	bool bracketed = span_starts(text, SPAN("["));
	size_t end = span_find(text, bracketed ? ']' : ':');
	struct span host = span_head(text, end), port;
	uint64_t n = HTTPS_PORT;

	if (bracketed && end == text.n)
		return false;
	if (bracketed)
		host = span_skip(host, 1);
	port = span_skip(text, end + bracketed);
	if (port.n && (port.p[0] != ':' ||
		       !number_parse(span_skip(port, 1), UINT16_MAX, &n) || n == 0))
		return false;
	*out = (struct https){ host, (uint16_t)n };
	return host_ok(host, bracketed);
}

bool https_parse(struct span text, struct https *out)
{
	const struct span scheme = SPAN("https://");
	struct span left = span_skip(text, scheme.n);
	size_t end = 0;

	if (!span_starts(text, scheme) || !is_visible(text))
		return false;
	while (end < left.n && left.p[end] != '/' && left.p[end] != '?')
		end++;
	return authority(span_head(left, end), out);
}
