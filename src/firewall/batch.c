#include "firewall/batch.h"

#include <inttypes.h>

#include "base/number.h"
#include "firewall/judge.h"

#define GROUP	     "smtp" /* of ports; the only one so far */
#define MARK_V4	     "0.0.0.0"
#define MARK_V6	     "100::"
#define NAME_MAX_NFT 31
/* Elements of one transaction are there before those that they replace are gone. */
#define SPARE (2 * FIREWALL_BATCH + 1)

/* ---- lengths ----------------------------------------------------------------------------- */

#define V6_FROM 33 /* in table.has: IPv4 has 0 to 32 */

static size_t place_of(const struct net *n)
{
	return net_is_v4(n) ? net_length(n) : V6_FROM + net_length(n);
}

static bool place_is_v4(size_t place)
{
	return place < V6_FROM;
}

static unsigned place_length(size_t place)
{
	return (unsigned)(place_is_v4(place) ? place : place - V6_FROM);
}

/* ---- words ------------------------------------------------------------------------------- */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool table_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > NAME_MAX_NFT || !is_letter(name[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_letter(name[i]) && name[i] != '-' &&
		    (name[i] < '0' || name[i] > '9'))
			return false;
	return true;
}

/* "add set inet holdfast ", for example. */
static void begin(const struct table *t, const char *what, struct buf *out)
{
	buf_fmt(out, "%s inet %s ", what, t->name);
}

static void put_set(size_t place, struct buf *out)
{
	buf_fmt(out, GROUP "_%s_%u", place_is_v4(place) ? "v4" : "v6",
		place_length(place));
}

static void put_mask(size_t place, struct buf *out)
{
	unsigned left = place_length(place);
	struct addr mask = place_is_v4(place) ? addr_v4(0, 0, 0, 0) : (struct addr){ 0 };

	for (size_t i = place_is_v4(place) ? 12 : 0; i < 16; i++) {
		unsigned bits = left < 8 ? left : 8;

		mask.ip[i] = (uint8_t)(0xff00u >> bits);
		left -= bits;
	}
	addr_print(&mask, out);
}

static void put_mark(const struct table *t, const char *verb, size_t place,
		     struct buf *out)
{
	begin(t, verb, out);
	put_set(place, out);
	buf_fmt(out, " { %s }\n", place_is_v4(place) ? MARK_V4 : MARK_V6);
}

static void put_ports(const struct table *t, const char *verb, struct buf *out)
{
	if (t->port_count == 0)
		return;
	begin(t, verb, out);
	buf_put(out, SPAN(GROUP "_ports {"));
	for (size_t i = 0; i < t->port_count; i++)
		buf_fmt(out, "%s %u", i ? "," : "", t->ports[i]);
	buf_put(out, SPAN(" }\n"));
}

void table_ports(struct table *t, const struct conf *conf)
{
	t->port_count = 0;
	for (uint32_t i = 0; i < conf->listener_count && i < LISTENERS_MAX; i++) {
		uint16_t port = conf->listeners[i].at.port;
		/* sockets of this machine have no port */
		bool known = conf->listeners[i].proxy || port == 0;

		for (size_t k = 0; k < t->port_count && !known; k++)
			known = t->ports[k] == port;
		if (!known)
			t->ports[t->port_count++] = port;
	}
}

/* ---- looking ----------------------------------------------------------------------------- */

void batch_absent(const struct table *t, struct buf *out)
{
	buf_fmt(out, "create table inet %s\n", t->name);
}

void batch_ours(const struct table *t, struct buf *out)
{
	buf_fmt(out, "delete chain inet %s made_by_holdfast\n", t->name);
}

void batch_may(const struct table *t, struct buf *out)
{
	buf_fmt(out, "add table inet %s\n", t->name);
}

/* A rule can be added behind the n-th one only if there is one. */
static void put_has_rule(const struct table *t, const char *chain, size_t n,
			 struct buf *out)
{
	begin(t, "add rule", out);
	buf_fmt(out, "%s index %zu accept\n", chain, n - 1);
}

void batch_whole(const struct table *t, struct buf *out)
{
	put_has_rule(t, "input", 1, out);
	if (t->rules)
		put_has_rule(t, GROUP, t->rules, out);
	for (size_t i = 0; i < BATCH_LENGTHS; i++)
		if (t->has[i])
			put_mark(t, "delete element", i, out);
	put_ports(t, "delete element", out);
	batch_ours(t, out);
}

/* ---- making ------------------------------------------------------------------------------ */

void batch_make(const struct table *t, bool replace, struct buf *out)
{
	if (replace)
		batch_remove(t, out);
	buf_fmt(out, "add table inet %s\n", t->name);
	begin(t, "add chain", out);
	buf_put(out, SPAN("made_by_holdfast\n"));
	begin(t, "add counter", out);
	buf_put(out, SPAN("dropped\n"));
	begin(t, "add set", out);
	buf_put(out, SPAN(GROUP "_ports { type inet_service; }\n"));
	put_ports(t, "add element", out);
	begin(t, "add chain", out);
	buf_put(out, SPAN(GROUP "\n"));
	begin(t, "add chain", out);
	buf_put(out, SPAN("input { type filter hook input priority -300; "
			  "policy accept; }\n"));
	begin(t, "add rule", out);
	buf_put(out, SPAN("input tcp dport @" GROUP "_ports jump " GROUP "\n"));
}

/* All or nothing is done: without our mark, nothing. */
void batch_remove(const struct table *t, struct buf *out)
{
	batch_ours(t, out);
	buf_fmt(out, "delete table inet %s\n", t->name);
}

void batch_ports(const struct table *t, struct buf *out)
{
	begin(t, "flush set", out);
	buf_put(out, SPAN(GROUP "_ports\n"));
	put_ports(t, "add element", out);
}

static void put_length(const struct table *t, size_t place, struct buf *out)
{
	bool v4 = place_is_v4(place);

	begin(t, "add set", out);
	put_set(place, out);
	buf_fmt(out, " { type %s; size %" PRId64 "; flags timeout; }\n",
		v4 ? "ipv4_addr" : "ipv6_addr", t->max + SPARE);
	put_mark(t, "add element", place, out);
	begin(t, "add rule", out);
	buf_fmt(out, GROUP " %s saddr ", v4 ? "ip" : "ip6");
	if (place_length(place) < (v4 ? 32 : 128)) {
		buf_put(out, SPAN("& "));
		put_mask(place, out);
		buf_byte(out, ' ');
	}
	buf_byte(out, '@');
	put_set(place, out);
	buf_put(out, SPAN(" counter name dropped drop\n"));
}

/* One command with the items of one length that `takes` has; none: no command. */
static void put_items(const struct table *t, const char *verb, size_t place,
		      unsigned takes, bool timed, const struct batch_item *items,
		      size_t n, struct buf *out)
{
	bool begun = false;

	for (size_t i = 0; i < n; i++) {
		if (place_of(&items[i].net) != place || !(takes & 1u << items[i].op))
			continue;
		if (!begun) {
			begin(t, verb, out);
			put_set(place, out);
		}
		buf_put(out, begun ? SPAN(", ") : SPAN(" { "));
		begun = true;
		addr_print(&items[i].net.addr, out);
		if (timed && items[i].seconds) {
			buf_put(out, SPAN(" timeout "));
			buf_number(out, items[i].seconds);
			buf_byte(out, 's');
		}
	}
	if (begun)
		buf_put(out, SPAN(" }\n"));
}

/*
 * The time of an element cannot be changed, and one that has just run out cannot be deleted:
 * so it is added (which does nothing if it is there), deleted and added again.
 */
void batch_items(const struct table *t, const struct batch_item *items, size_t n,
		 struct buf *out)
{
	const unsigned add = 1u << BATCH_ADD, renew = 1u << BATCH_RENEW,
		       drop = 1u << BATCH_DROP;
	bool used[BATCH_LENGTHS] = { false };

	for (size_t i = 0; i < n; i++)
		used[place_of(&items[i].net)] = true;
	for (size_t i = 0; i < BATCH_LENGTHS; i++) {
		if (!used[i])
			continue;
		if (!t->has[i])
			put_length(t, i, out);
		put_items(t, "add element", i, renew | drop, false, items, n, out);
		put_items(t, "delete element", i, renew | drop, false, items, n, out);
		put_items(t, "add element", i, add | renew, true, items, n, out);
	}
}

void batch_done(struct table *t, const struct batch_item *items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool *has = &t->has[place_of(&items[i].net)];

		t->rules += *has ? 0 : 1;
		*has = true;
	}
}

/* ---- counting, complaints ---------------------------------------------------------------- */

void batch_count(const struct table *t, struct buf *out)
{
	buf_fmt(out, "reset counter inet %s dropped\n", t->name);
}

bool batch_counted(struct span text, uint64_t *packets)
{
	static const struct span word = SPAN_INIT("packets ");

	while (text.n) {
		struct span line = span_cut(&text, '\n');

		while (line.n && (line.p[0] == '\t' || line.p[0] == ' '))
			line = span_skip(line, 1);
		if (!span_starts(line, word))
			continue;
		line = span_skip(line, word.n);
		return number_parse(span_cut(&line, ' '), UINT64_MAX, packets);
	}
	return false;
}

struct span batch_complaint(struct span text)
{
	static const struct span word = SPAN_INIT("Error: ");
	struct span line = SPAN_NONE;

	while (text.n && line.n == 0)
		line = span_trim(span_cut(&text, '\n'));
	for (size_t i = 0; i + word.n <= line.n; i++)
		if (span_starts(span_skip(line, i), word))
			return span_skip(line, i + word.n);
	return line;
}
