/* What operators and peers write as words: whatever is read prints as the same again. */
#include "base/addr.h"
#include "base/base64.h"
#include "base/bug.h"
#include "base/id.h"
#include "base/number.h"
#include "base/utf8.h"
#include "conf/hop.h"
#include "conf/sections.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void addresses(struct span in)
{
	struct endpoint e, f;
	struct addr a, b;
	struct net n;
	uint8_t mem[80];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	if (addr_parse(in, &a)) {
		addr_print(&a, &out);
		BUG_IF(out.full || !addr_parse(buf_span(&out), &b) || !addr_eq(&a, &b));
	}
	if (net_parse(in, &n))
		BUG_IF(n.bits > 128 || !net_has(&n, &n.addr));
	buf_reset(&out);
	if (endpoint_parse(in, &e)) {
		endpoint_print(&e, &out);
		BUG_IF(out.full || !endpoint_parse(buf_span(&out), &f));
		BUG_IF(!addr_eq(&e.addr, &f.addr) || e.port != f.port);
	}
}

static void numbers(struct span in)
{
	uint8_t mem[80];
	struct buf out;
	int64_t n, again;
	uint64_t id, id_again;

	buf_init(&out, mem, sizeof(mem));
	if (size_parse(in, &n)) {
		size_print(n, &out);
		BUG_IF(n < 0 || !size_parse(buf_span(&out), &again) || n != again);
	}
	buf_reset(&out);
	if (duration_parse(in, &n)) {
		duration_print(n, &out);
		BUG_IF(n < 0 || !duration_parse(buf_span(&out), &again) || n != again);
	}
	buf_reset(&out);
	if (id_parse(in, &id)) {
		id_print(id, &out);
		BUG_IF(!id_parse(buf_span(&out), &id_again) || id != id_again);
		BUG_IF(!span_eq_nocase(in, buf_span(&out)));
	}
}

static void base64(struct span in)
{
	uint8_t mem[4096], text_mem[6000];
	struct buf out, text;

	buf_init(&out, mem, sizeof(mem));
	buf_init(&text, text_mem, sizeof(text_mem));
	if (!base64_parse(in, &out)) {
		BUG_IF(out.len != 0);
		return;
	}
	base64_print(buf_span(&out), &text);
	BUG_IF(!span_eq(in, buf_span(&text)));
}

static void words(struct span in)
{
	struct span head = utf8_head(in, in.n / 2);
	struct settings set;
	char target[TEXT_MAX];
	enum hop hop;
	struct err err;

	BUG_IF(head.n > in.n / 2 || in.n / 2 - head.n > 3);
	BUG_IF(utf8_ok(in) && !utf8_ok(head));
	if (hop_parse(in, &hop, target, &err))
		BUG_IF(hop >= HOP_COUNT || !memchr(target, 0, TEXT_MAX));
	settings_init(&set);
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		(void)!setting_put(&set, &setting_table[i], in, &err);
	BUG_IF(!settings_ok(&set));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);

	addresses(in);
	numbers(in);
	base64(in);
	words(in);
	return 0;
}
