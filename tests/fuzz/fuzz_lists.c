/* Access lists: whatever is in them, what comes out is clean, and makes a whole blob. */
#include "app/lists_blob.h"
#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW ((int64_t)1795000000 * 1000)

struct heard {
	struct span text;
	uint32_t line;
	size_t nets;
};

static void on_problem(void *arg, bool fatal, const char *text)
{
	(void)arg;
	(void)fatal;
	BUG_IF(strncmp(text, "file:", 5) != 0);
}

static bool on_net(void *arg, const struct net *net, const struct list_said *said)
{
	struct heard *h = arg;
	uint8_t text[100];
	struct buf b;
	struct net again;

	/* a complement is many prefixes */
	BUG_IF(++h->nets > 5000 * (h->text.n + 1));
	BUG_IF(said->line == 0 || said->line > h->text.n + 1 || said->until <= NOW);
	BUG_IF(said->answer > ACCESS_DENY || net->bits > 128);
	BUG_IF(said->why.n && (said->why.p < h->text.p ||
			       said->why.p + said->why.n > h->text.p + h->text.n));
	buf_init(&b, text, sizeof(text));
	addr_print(&net->addr, &b);
	if (net->bits >= 96 && addr_is_v4(&net->addr))
		buf_fmt(&b, "/%d", net->bits - 96);
	else if (!addr_is_v4(&net->addr))
		buf_fmt(&b, "/%d", net->bits);
	else
		return true;
	/* no bits behind the slash */
	BUG_IF(!net_parse(buf_span(&b), &again) || again.bits != net->bits);
	return true;
}

static bool on_name(void *arg, enum access_of of, struct span name,
		    const struct list_said *said)
{
	(void)arg;
	BUG_IF(of == ACCESS_CLIENT || of >= ACCESS_OF_COUNT || name.n == 0);
	BUG_IF(name.n > ACCESS_NAME_MAX || said->answer > ACCESS_DENY);
	for (size_t i = 0; i < name.n; i++)
		BUG_IF(name.p[i] <= ' ' || name.p[i] == 0x7f);
	return true;
}

/* What the real sink keeps must be found again, by whatever line. */
struct kept {
	struct net nets[64];
	size_t count;
};

static bool sink_net(void *arg, const struct net *net, const struct list_said *said)
{
	struct kept *k = arg;

	(void)said;
	if (k->count < 64)
		k->nets[k->count++] = *net;
	return true;
}

static bool sink_name(void *arg, enum access_of of, struct span name,
		      const struct list_said *said)
{
	(void)arg;
	(void)of;
	(void)name;
	(void)said;
	return true;
}

static void compile(struct list_source *src, struct span text)
{
	static const uint64_t key[2] = { 1, 2 };
	static struct lists l;
	static struct kept kept;
	const struct list_sink sink = { sink_net, sink_name, &kept };

	kept.count = 0;
	BUG_IF(!list_read(src, text, &sink));
	lists_init(&l, key, NOW, src->problems);
	lists_begin(&l, src->of, src->format, "file");
	lists_bytes(&l, src, text);
	BUG_IF(!lists_make(&l) || !access_ok(l.blob, l.blob_n));
	BUG_IF(access_entries(l.blob, l.blob_n) < kept.count);
	for (size_t i = 0; i < kept.count; i++) {
		struct access_hit hit = access_client(l.blob, l.blob_n,
						      &kept.nets[i].addr, NOW);

		/* silent, or by an entry that covers it */
		BUG_IF(hit.answer != ACCESS_SILENT &&
		       (!net_has(&hit.net, &kept.nets[i].addr) || hit.line == 0));
	}
	lists_free(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct problems problems = { .on_problem = on_problem };
	struct list_source src = {
		.file = "file", .wall = NOW, .written = NOW, .problems = &problems
	};
	struct heard h = { .text = span_of(data + 1, size - 1) };
	const struct list_sink sink = { on_net, on_name, &h };

	if (size == 0 || size > 1 << 14)
		return 0;
	src.format = (enum list_format)(data[0] % 8 % LIST_FORMATS);
	src.of = (enum access_of)(data[0] / 8 % ACCESS_OF_COUNT);
	src.action = data[0] & 0x80 ? ACCESS_PERMIT : ACCESS_DENY;
	BUG_IF(!list_read(&src, h.text, &sink));
	(void)list_sniff(h.text);
	/* which costs much more */
	if (size % 8 == 0)
		compile(&src, h.text);
	return 0;
}
