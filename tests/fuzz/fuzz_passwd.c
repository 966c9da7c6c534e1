/*
 * Lines of a passwd-file, and the hashes in them: whatever stands there, what is said of a
 * line lies in the line, and a hash that is said to be readable is read without harm.
 */
#include <stdlib.h>

#include "auth/names.h"
#include "auth/passwd_line.h"
#include "base/bug.h"
#include "crypt/password.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool within(struct span part, struct span whole)
{
	return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

/* Those that take long by design are not tried: their libraries have tests of their own. */
static bool is_cheap(struct span hash)
{
	static const struct span cheap[] = { SPAN_INIT("ssha"),	   SPAN_INIT("ssha256"),
					     SPAN_INIT("ssha512"), SPAN_INIT("sha1"),
					     SPAN_INIT("sha256"),  SPAN_INIT("sha512"),
					     SPAN_INIT("plain") };

	for (size_t i = 0; i < COUNT_OF(cheap); i++)
		if (span_eq(password_scheme(hash), cheap[i]))
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span rest = span_of(data, n);

	BUG_IF(!password_init());
	while (rest.n) {
		struct span line = span_cut(&rest, '\n');
		struct passwd_row row;
		uint8_t mem[64], mem2[64];
		struct buf name, again;

		if (passwd_line(line, &row) != PASSWD_USER)
			continue;
		BUG_IF(row.user.n == 0 || !within(row.user, line) ||
		       !within(row.hash, line));
		BUG_IF(span_find(row.user, ':') < row.user.n);
		BUG_IF(password_readable(row.hash) != (password_scheme(row.hash).n > 0));
		if (is_cheap(row.hash))
			BUG_IF(password_check(SPAN("secret"), row.hash) > PASSWORD_LATER);
		buf_init(&name, mem, sizeof(mem));
		buf_init(&again, mem2, sizeof(mem2));
		if (!name_normal(row.user, SPAN("example.test"), &name))
			continue;
		/* what is normal stays as it is */
		BUG_IF(!name_normal(buf_span(&name), SPAN("other.test"), &again));
		BUG_IF(!span_eq(buf_span(&name), buf_span(&again)));
	}
	return 0;
}
