#include "cli/list_writer.h"

#include <string.h>

#include "app/lists.h"

const char *list_answer_word(enum access_answer answer)
{
	switch (answer) {
	case ACCESS_PERMIT:
		return "permit";
	case ACCESS_DENY:
		return "deny";
	case ACCESS_SILENT:
		break;
	}
	return "none";
}

static void write_until(const struct list_writer *w, const struct access_hit *hit)
{
	int64_t until = hit->until != INT64_MAX ? hit->until : w->until;
	uint8_t mem[40];
	struct buf b;

	if (until == INT64_MAX)
		return;
	buf_init(&b, mem, sizeof(mem));
	if (w->as == AS_NFT)
		buf_fmt(&b, " timeout %llds", (long long)((until - w->now) / 1000 + 1));
	else
		buf_put(&b, SPAN(" until="));
	if (w->as != AS_NFT)
		list_date_print(until, &b);
	fprintf(w->out, "%.*s", SPAN_ARG(buf_span(&b)));
}

/* A # would begin a comment. */
static void write_why(const struct list_writer *w, const struct access_hit *hit)
{
	struct span why = hit->why.n || !w->why ? hit->why : span_str(w->why);

	if (why.n)
		fputc(' ', w->out);
	for (size_t i = 0; i < why.n; i++)
		fputc(why.p[i] == '#' || why.p[i] == ';' || why.p[i] < ' ' ? '.'
									   : why.p[i],
		      w->out);
}

/* What stands behind an address or a name. */
static void write_rest(const struct list_writer *w, const struct access_hit *hit)
{
	bool deny = hit->answer == ACCESS_DENY;

	switch (w->as) {
	case AS_PLAIN:
		fputs(deny ? "" : " permit", w->out);
		write_until(w, hit);
		write_why(w, hit);
		break;
	case AS_CIDR:
		fputs(deny ? " REJECT" : " OK", w->out);
		if (deny)
			write_why(w, hit);
		break;
	case AS_NFT:
		write_until(w, hit);
		break;
	}
}

static void write_net(struct list_writer *w, const struct net *n)
{
	uint8_t mem[100];
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	net_print(n, &b);
	if (w->as == AS_NFT) {
		fprintf(w->out, "%s%.*s",
			w->any ? ",\n\t\t\t" : "\t\telements = {\n\t\t\t",
			SPAN_ARG(buf_span(&b)));
		w->any = true;
	} else {
		fprintf(w->out, "%.*s", SPAN_ARG(buf_span(&b)));
	}
	write_rest(w, &w->hit);
	if (w->as != AS_NFT)
		fputc('\n', w->out);
}

static void flush(struct list_writer *w)
{
	struct net nets[256];
	size_t n;

	if (!w->pending)
		return;
	w->pending = false;
	n = list_range(w->first, w->last, nets);
	for (size_t i = 0; i < n; i++)
		write_net(w, &nets[i]);
}

static struct addr last_of(const struct net *n)
{
	struct addr a = n->addr;

	for (unsigned i = n->bits; i < 128; i++)
		a.ip[i / 8] |= (uint8_t)(0x80u >> i % 8);
	return a;
}

/* The address after it; false: there is none. */
static bool after(struct addr *a)
{
	for (int i = 15; i >= 0; i--)
		if (++a->ip[i] != 0)
			return true;
	return false;
}

static void before(struct addr *a)
{
	for (int i = 15; i >= 0; i--)
		if (a->ip[i]-- != 0)
			return;
}

static int order(const struct addr *a, const struct addr *b)
{
	return memcmp(a->ip, b->ip, sizeof(a->ip));
}

static bool same_entry(const struct access_hit *a, const struct access_hit *b)
{
	return a->answer == b->answer && a->list == b->list && a->line == b->line;
}

/* From first to last the lists say this. */
static void put_range(struct list_writer *w, struct addr first, struct addr last,
		      const struct access_hit *hit)
{
	struct addr next = w->last;

	if (hit->answer == ACCESS_SILENT || (w->as == AS_NFT && hit->answer != w->set))
		return;
	if (w->pending && after(&next) && addr_eq(&next, &first) &&
	    same_entry(hit, &w->hit)) {
		w->last = last;
		return;
	}
	flush(w);
	w->pending = true;
	w->first = first;
	w->last = last;
	w->hit = *hit;
}

/* All of one family. What is said changes where a prefix begins, and where one ends. */
static void walk(struct list_writer *w, bool v4)
{
	struct addr at = v4 ? addr_v4(0, 0, 0, 0) : (struct addr){ { 0 } };
	struct addr end = v4 ? addr_v4(255, 255, 255, 255) : at;

	if (!v4)
		memset(end.ip, 0xff, sizeof(end.ip));
	for (;;) {
		struct access_hit hit = access_client(w->blob.p, w->blob.n, &at, w->now);
		struct addr last = end, next = at;

		if (access_step(w->blob.p, w->blob.n, &next)) {
			last = next;
			before(&last);
		}
		if (hit.net.bits > (v4 ? 96 : 0)) {
			struct addr of_net = last_of(&hit.net);

			if (order(&of_net, &last) < 0)
				last = of_net;
		}
		/* IPv4 inside of IPv6 is not IPv6 */
		put_range(w, at, last, &hit);
		at = last;
		if (order(&last, &end) >= 0 || !after(&at))
			break;
	}
	flush(w);
}

static void write_set(struct list_writer *w, enum access_answer set, bool v4)
{
	w->set = set;
	w->any = false;
	fprintf(w->out, "\tset %s%d {\n\t\ttype %s\n\t\tflags interval,timeout\n",
		list_answer_word(set), v4 ? 4 : 6, v4 ? "ipv4_addr" : "ipv6_addr");
	walk(w, v4);
	fputs(w->any ? "\n\t\t}\n\t}\n" : "\t}\n", w->out);
}

static void write_nft(struct list_writer *w)
{
	fputs("table inet holdfast_lists {\n", w->out);
	write_set(w, ACCESS_PERMIT, true);
	write_set(w, ACCESS_PERMIT, false);
	write_set(w, ACCESS_DENY, true);
	write_set(w, ACCESS_DENY, false);
	fputs("}\n", w->out);
}

static void write_names(struct list_writer *w, enum access_of of)
{
	struct access_named named;
	size_t at = 0;

	while (access_next_name(w->blob.p, w->blob.n, &at, &named)) {
		struct access_hit hit;

		if (named.of != of)
			continue;
		hit = access_name(w->blob.p, w->blob.n, of, named.name, w->now);
		/* another entry answers for it */
		if (hit.answer == ACCESS_SILENT || hit.list != named.list ||
		    hit.line != named.line)
			continue;
		fprintf(w->out, "%.*s", SPAN_ARG(named.name));
		write_rest(w, &hit);
		fputc('\n', w->out);
	}
}

void list_write(struct list_writer *w, enum access_of of)
{
	if (of != ACCESS_CLIENT) {
		write_names(w, of);
	} else if (w->as == AS_NFT) {
		write_nft(w);
	} else {
		walk(w, true);
		walk(w, false);
	}
}
