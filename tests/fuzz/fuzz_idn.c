/*
 * Whatever a domain is made of: what comes out is one that the DNS could have, and is made of
 * itself again.
 */
#include "base/bug.h"
#include "base/utf8.h"
#include "io/idn.h"
#include "spec/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_plain(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= 0x80)
			return false;
	return true;
}

/* In what is ASCII and no A-label, anything may stand. */
static bool is_name(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' &&
		    c != '_' && c != '.')
			return false;
	}
	return true;
}

static void check(struct span in, struct span got)
{
	uint8_t mem[DOMAIN_MAX];
	struct buf again;

	buf_init(&again, mem, sizeof(mem));
	BUG_IF(!is_plain(got));
	BUG_IF(idn_domain(got, &again) || !span_eq(buf_span(&again), got));
	if (is_plain(in))
		return;
	BUG_IF(got.n == 0 || got.n > 253 || !is_name(got));
}

/* What people see of a name leads back to the name, and does nothing to their terminal. */
static void check_shown(struct span name)
{
	uint8_t mem[4 * DOMAIN_MAX], back_mem[DOMAIN_MAX];
	struct buf shown, back;
	uint32_t code;

	buf_init(&shown, mem, sizeof(mem));
	buf_init(&back, back_mem, sizeof(back_mem));
	if (!idn_show(name, &shown))
		return;
	BUG_IF(idn_domain(buf_span(&shown), &back) || !span_eq(buf_span(&back), name));
	for (struct span s = buf_span(&shown); s.n;) {
		size_t n = utf8_first(s, &code);

		BUG_IF(n == 0 || utf8_is_control(code) || code == ' ');
		s = span_skip(s, n);
	}
}

/* Whatever a text is, what is shown of it is as long as it may be. */
static void check_text(struct span in)
{
	uint8_t mem[300];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	BUG_IF(idn_show(in, &out) ? out.full || out.len == 0 : out.len != 0);
	buf_reset(&out);
	BUG_IF(!idn_host(in, &out) && out.full);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);
	uint8_t mem[DOMAIN_MAX];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	if (!idn_domain(in, &out))
		check(in, buf_span(&out));
	else
		BUG_IF(out.len && !out.full);
	if (!out.full && is_name(buf_span(&out)))
		check_shown(buf_span(&out));
	check_text(in);
	return 0;
}
