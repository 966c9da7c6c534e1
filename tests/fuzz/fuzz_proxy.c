/*
 * A PROXY header is waited for to its last byte, however long that takes, and then says
 * what it would have said at once. XCLIENT's arguments come along.
 */
#include "base/bug.h"
#include "wire/proxy.h"
#include "wire/xclient.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_xclient(struct span in)
{
	struct xclient x;

	if (!xclient_parse(in, &x))
		return;
	BUG_IF(x.helo_n > sizeof(x.helo) || x.has_helo != (x.helo_n != 0));
	for (size_t i = 0; i < x.helo_n; i++)
		BUG_IF(x.helo[i] <= ' ' || x.helo[i] == 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size), left = in;
	struct proxy whole = { 0 }, part = { 0 };
	enum proxy_got got = proxy_next(&left, &whole);

	BUG_IF(left.p + left.n != in.p + in.n);
	BUG_IF(got != PROXY_OK && left.n != in.n);
	BUG_IF(got == PROXY_MORE && in.n >= PROXY_HEADER_MAX);
	for (size_t n = 0; n <= size && n <= PROXY_HEADER_MAX; n++) {
		struct span some = span_of(data, n);
		enum proxy_got now = proxy_next(&some, &part);

		if (now == PROXY_MORE)
			continue;
		BUG_IF(now != got);
		BUG_IF(now == PROXY_OK && (n != in.n - left.n || part.told != whole.told ||
					   part.peer.port != whole.peer.port ||
					   !addr_eq(&part.peer.addr, &whole.peer.addr)));
		break;
	}
	check_xclient(in);
	return 0;
}
