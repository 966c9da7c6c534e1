#include "expect.h"

#include "access_maker.h"
#include "guard/access.h"

#define SEEDS 400

static uint64_t seed;

static uint64_t draw(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1du;
}

static uint64_t below(uint64_t n)
{
	return draw() % n;
}

/* ---- the same question, answered by looking at everything ------------------------------- */

/* A prefix of IPv6 says nothing of IPv4. */
static bool covers(const struct made_entry *e, const struct addr *a)
{
	bool v4 = e->net.bits >= 96 && addr_is_v4(&e->net.addr);

	return v4 == addr_is_v4(a) && net_has(&e->net, a);
}

static bool better(const struct made *m, const struct made_entry *a,
		   const struct made_entry *b)
{
	if (!b)
		return true;
	if (m->first_match[a->list])
		return a->line < b->line;
	return a->net.bits > b->net.bits;
}

static const struct made_entry *scan(const struct made *m, const struct addr *a,
				     int64_t wall)
{
	for (uint32_t list = 0; list < m->lists; list++) {
		const struct made_entry *best = NULL;

		for (size_t i = 0; i < m->count; i++) {
			const struct made_entry *e = &m->entries[i];

			if (e->list == list && covers(e, a) && better(m, e, best) &&
			    (!e->until || (int64_t)e->until * 1000 > wall))
				best = e;
		}
		if (best && best->answer != ACCESS_SILENT)
			return best;
	}
	return NULL;
}

/* ---- random lists ------------------------------------------------------------------------- */

static uint8_t draw_bits(void)
{
	switch (below(4)) {
	case 0:
		return (uint8_t)(96 + below(33));
	case 1:
		return (uint8_t)(120 + below(9));
	case 2:
		return (uint8_t)below(129);
	default:
		return (uint8_t)(56 + below(16));
	}
}

/* Few different bytes, so that prefixes meet. */
static struct addr draw_addr(bool v4)
{
	static const uint8_t bytes[] = { 0, 1, 2, 0x7f, 0x80, 0xff };
	struct addr a = addr_v4(0, 0, 0, 0);

	for (size_t i = v4 ? 12 : 0; i < 16; i++)
		a.ip[i] = bytes[below(i == 1 || i == 13 ? 3 : sizeof(bytes))];
	if (!v4) {
		a.ip[0] = below(8) ? 0x20 : 0xff;
		if (below(2))
			memset(a.ip + 2, below(4) ? 0 : 0xff, 5);
		if (below(3) == 0)
			memset(a.ip + 8, below(2) ? 0 : 0xff, 7);
	}
	return a;
}

static struct net draw_net(void)
{
	struct net n = { .bits = draw_bits() };

	n.addr = draw_addr(n.bits >= 96 && below(4));
	for (unsigned i = n.bits; i < 128; i++)
		n.addr.ip[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
	return n;
}

/* The same prefix in the same list always says the same. */
static enum access_answer answer_of(const struct made_entry *e)
{
	unsigned sum = e->list + e->net.bits;

	for (size_t i = 0; i < 16; i++)
		sum = sum * 31 + e->net.addr.ip[i];
	return sum % 7 == 0 ? ACCESS_SILENT : sum % 3 == 0 ? ACCESS_PERMIT : ACCESS_DENY;
}

static void draw_lists(struct made *m, struct made_entry *e)
{
	*m = (struct made){ .entries = e, .count = 1 + below(120), .lists = 1 + below(4) };
	for (size_t i = 0; i < m->lists; i++)
		m->first_match[i] = below(3) == 0;
	for (size_t i = 0; i < m->count; i++) {
		e[i] = (struct made_entry){ .net = draw_net(),
					    .list = (uint32_t)below(m->lists),
					    .line = (uint32_t)i + 1,
					    .reason = below(4) == 0 };
		e[i].answer = answer_of(&e[i]);
		if (!m->first_match[e[i].list] && below(3) == 0)
			e[i].until = (uint32_t)(1 + below(3));
	}
	/* lists come one after another */
	for (size_t i = 0; i < m->count; i++)
		for (size_t j = m->count - 1; j > i; j--)
			if (e[j].list < e[j - 1].list) {
				struct made_entry other = e[j];

				e[j] = e[j - 1];
				e[j - 1] = other;
			}
}

/* At the edges of prefixes most can be wrong. */
static struct addr draw_question(const struct made *m)
{
	struct addr a = draw_addr(below(2));
	const struct net *n;
	int step;

	if (below(4) == 0)
		return a;
	n = &m->entries[below(m->count)].net;
	a = n->addr;
	if (below(2))
		for (unsigned i = n->bits; i < 128; i++)
			a.ip[i / 8] |= (uint8_t)(0x80u >> i % 8);
	step = (int)below(3) - 1;
	for (int i = 15; step && i >= 0; i--) {
		a.ip[i] = (uint8_t)(a.ip[i] + step);
		if (a.ip[i] != (step > 0 ? 0 : 0xff))
			break;
	}
	return a;
}

static void compare(const struct made *m, const struct addr *a, int64_t wall)
{
	const struct made_entry *want = scan(m, a, wall);
	struct access_hit got = access_client(m->mem, m->n, a, wall);
	BUF(text, 200);

	addr_print(a, &text);
	buf_byte(&text, 0);
	if (!want) {
		expect_number((char *)text_mem, got.answer, ACCESS_SILENT);
		return;
	}
	expect_number((char *)text_mem, got.answer, want->answer);
	expect_number((char *)text_mem, got.list, want->list);
	expect_number((char *)text_mem, got.net.bits, want->net.bits);
	expect_true((char *)text_mem, addr_eq(&got.net.addr, &want->net.addr));
	expect_true("it has not run out", got.until > wall);
	if (m->first_match[want->list])
		expect_number((char *)text_mem, got.line, want->line);
}

static void a_look_up_says_what_a_scan_says(void **unused)
{
	static struct made_entry e[200];
	struct made m;

	(void)unused;
	for (uint64_t s = 1; s <= SEEDS; s++) {
		seed = s * 0x9e3779b97f4a7c15u;
		draw_lists(&m, e);
		expect_number("made", made_make(&m), FLATTEN_DONE);
		expect_true("a whole blob", access_ok(m.mem, m.n));
		expect_number("entries", (int64_t)access_entries(m.mem, m.n),
			      (int64_t)m.count);
		for (int i = 0; i < 300; i++) {
			struct addr a = draw_question(&m);

			compare(&m, &a, (int64_t)below(4) * 1000);
		}
		free(m.mem);
	}
}

static bool inside(const struct net *n, const struct addr *a)
{
	bool v4 = n->bits >= 96 && addr_is_v4(&n->addr);

	return net_has(n, a) && (!v4 || addr_is_v4(a));
}

/* All places where something can change: the beginnings of prefixes, and what follows them. */
static bool scan_permits(const struct made *m, const struct net *n, int64_t wall)
{
	const struct made_entry *hit = scan(m, &n->addr, wall);

	if (hit && hit->answer == ACCESS_PERMIT)
		return true;
	for (size_t i = 0; i < 2 * m->count; i++) {
		const struct net *other = &m->entries[i / 2].net;
		struct addr a = other->addr;

		if (i % 2) {
			for (unsigned j = other->bits; j < 128; j++)
				a.ip[j / 8] |= (uint8_t)(0x80u >> j % 8);
			for (int j = 15; j >= 0 && ++a.ip[j] == 0; j--)
				;
		}
		hit = inside(n, &a) ? scan(m, &a, wall) : NULL;
		if (hit && hit->answer == ACCESS_PERMIT)
			return true;
	}
	return false;
}

static void a_block_is_permitted_if_any_of_its_addresses_is(void **unused)
{
	static struct made_entry e[200];
	struct made m;

	(void)unused;
	for (uint64_t s = 1; s <= SEEDS; s++) {
		seed = s * 0xd1342543de82ef95u;
		draw_lists(&m, e);
		expect_number("made", made_make(&m), FLATTEN_DONE);
		for (int i = 0; i < 40; i++) {
			struct net n = below(2) ? draw_net() : e[below(m.count)].net;
			int64_t wall = (int64_t)below(4) * 1000;

			if (n.bits < 97 && n.bits >= 80)
				continue;
			expect_number("any of it",
				      access_permits_any(m.mem, m.n, &n, wall),
				      scan_permits(&m, &n, wall));
		}
		free(m.mem);
	}
}

/* ---- single promises ------------------------------------------------------------------------ */

static struct net net(const char *text)
{
	struct net n;

	assert_true(net_parse(span_str(text), &n));
	return n;
}

static struct access_hit ask(const struct made *m, const char *text, int64_t wall)
{
	struct addr a;

	assert_true(addr_parse(span_str(text), &a));
	return access_client(m->mem, m->n, &a, wall);
}

/* From each place to the next one, or to the end of the prefix, one answer holds. */
static void a_walk_meets_every_place_where_the_answer_changes(void **unused)
{
	static struct made_entry e[200];
	struct made m;

	(void)unused;
	for (uint64_t s = 1; s <= SEEDS / 4; s++) {
		struct addr at, next;
		int steps = 0;

		seed = s * 0xa0761d6478bd642fu;
		draw_lists(&m, e);
		expect_number("made", made_make(&m), FLATTEN_DONE);
		at = draw_question(&m);
		next = at;
		while (access_step(m.mem, m.n, &next) && steps++ < 2000) {
			struct access_hit hit = access_client(m.mem, m.n, &at, 0);
			struct addr last = next;

			expect_true("onwards", memcmp(next.ip, at.ip, 16) > 0);
			expect_number("one family", addr_is_v4(&next), addr_is_v4(&at));
			for (int i = 15; i >= 0 && last.ip[i]-- == 0; i--)
				;
			if (hit.net.bits && net_has(&hit.net, &last))
				expect_number("the same at its end",
					      access_client(m.mem, m.n, &last, 0).line,
					      hit.line);
			at = next;
		}
		free(m.mem);
	}
}

static void what_has_run_out_uncovers_what_is_behind_it(void **unused)
{
	const struct made_entry e[] = {
		{ net("192.0.2.0/24"), 0, 1, 100, ACCESS_PERMIT, false },
		{ net("192.0.2.0/25"), 0, 2, 50, ACCESS_DENY, true },
		{ net("192.0.0.0/16"), 1, 7, 0, ACCESS_DENY, false },
	};
	struct made m = { .entries = e, .count = 3, .lists = 2 };
	struct access_hit hit;

	(void)unused;
	expect_number("made", made_make(&m), FLATTEN_DONE);
	hit = ask(&m, "192.0.2.1", 49999);
	expect_number("at first", hit.answer, ACCESS_DENY);
	expect_number("its line", hit.line, 2);
	expect_number("its end", hit.until, 50000);
	expect_span("its reason", hit.why, SPAN("because"));
	expect_span("its file", hit.file, SPAN("a list"));
	hit = ask(&m, "192.0.2.1", 50000);
	expect_number("then the one around it", hit.answer, ACCESS_PERMIT);
	expect_span("which has no reason", hit.why, SPAN(""));
	hit = ask(&m, "192.0.2.1", 100000);
	expect_number("then the next list", hit.list, 1);
	expect_number("for good", hit.until == INT64_MAX, 1);
	free(m.mem);
}

static void no_answer_with_a_date_holds_until_then(void **unused)
{
	const struct made_entry e[] = {
		{ net("192.0.2.0/24"), 0, 1, 0, ACCESS_DENY, false },
		{ net("192.0.2.7"), 0, 2, 50, ACCESS_SILENT, false },
		{ net("192.0.2.8"), 0, 3, 50, ACCESS_SILENT, false },
		{ net("192.0.2.8"), 1, 1, 0, ACCESS_PERMIT, false },
	};
	struct made m = { .entries = e, .count = 4, .lists = 2 };

	(void)unused;
	expect_number("made", made_make(&m), FLATTEN_DONE);
	expect_number("spared", ask(&m, "192.0.2.7", 49999).answer, ACCESS_SILENT);
	expect_number("no more", ask(&m, "192.0.2.7", 50000).answer, ACCESS_DENY);
	expect_number("the next list", ask(&m, "192.0.2.8", 0).answer, ACCESS_PERMIT);
	expect_number("comes too late", ask(&m, "192.0.2.8", 50000).answer, ACCESS_DENY);
	free(m.mem);
}

static void an_entry_that_is_repeated_lasts_as_long_as_the_longest(void **unused)
{
	const struct made_entry e[] = {
		{ net("2001:db8::1"), 0, 1, 50, ACCESS_DENY, false },
		{ net("2001:db8::1"), 0, 2, 90, ACCESS_DENY, false },
		{ net("2001:db8::1"), 0, 3, 70, ACCESS_DENY, false },
		{ net("192.0.2.7"), 0, 4, 50, ACCESS_DENY, false },
		{ net("192.0.2.7"), 0, 5, 0, ACCESS_DENY, false },
		{ net("192.0.2.7"), 0, 6, 0, ACCESS_PERMIT, false },
	};
	struct made m = { .entries = e, .count = 6, .lists = 1 };

	(void)unused;
	expect_number("made", made_make(&m), FLATTEN_DONE);
	expect_number("repeated", (int64_t)m.repeated, 4);
	expect_number("the longest", ask(&m, "2001:db8::1", 0).line, 2);
	expect_number("is over", ask(&m, "2001:db8::1", 90000).answer, ACCESS_SILENT);
	expect_number("for good", ask(&m, "192.0.2.7", 90000).answer, ACCESS_DENY);
	expect_number("its line", ask(&m, "192.0.2.7", 0).line, 5);
	free(m.mem);
}

static void ten_thousand_dates_for_one_address_take_no_more_than_one(void **unused)
{
	static struct made_entry e[10000];
	struct made m = { .entries = e, .count = 10000, .lists = 1 };

	(void)unused;
	for (uint32_t i = 0; i < 10000; i++)
		e[i] = (struct made_entry){ net("192.0.2.7"), 0,    i + 1, i + 1,
					    ACCESS_DENY,      false };
	expect_number("made", made_make(&m), FLATTEN_DONE);
	expect_number("the last", ask(&m, "192.0.2.7", 0).line, 10000);
	free(m.mem);
}

static void prefixes_of_ipv6_say_nothing_of_ipv4(void **unused)
{
	const struct made_entry e[] = {
		{ net("::/0"), 0, 1, 0, ACCESS_DENY, false },
		{ net("0.0.0.0/1"), 0, 2, 0, ACCESS_PERMIT, false },
	};
	struct made m = { .entries = e, .count = 2, .lists = 1 };

	(void)unused;
	expect_number("made", made_make(&m), FLATTEN_DONE);
	expect_number("v6", ask(&m, "2001:db8::1", 0).answer, ACCESS_DENY);
	expect_number("v4", ask(&m, "192.0.2.1", 0).answer, ACCESS_SILENT);
	expect_number("half of v4", ask(&m, "10.0.0.1", 0).answer, ACCESS_PERMIT);
	expect_number("mapped", ask(&m, "::ffff:10.0.0.1", 0).answer, ACCESS_PERMIT);
	free(m.mem);
}

static void no_memory_is_no_lists(void **unused)
{
	struct addr a = addr_v4(192, 0, 2, 1);
	struct net n = { .addr = a, .bits = 128 };
	struct access_list list;

	(void)unused;
	expect_false("no blob", access_ok(NULL, 0));
	expect_number("an address", access_client(NULL, 0, &a, 0).answer, ACCESS_SILENT);
	expect_number("a name", access_name(NULL, 0, ACCESS_HELO, SPAN("x"), 0).answer,
		      ACCESS_SILENT);
	expect_false("a block", access_permits_any(NULL, 0, &n, 0));
	expect_false("a list", access_list(NULL, 0, 0, &list));
	expect_number("entries", (int64_t)access_entries(NULL, 0), 0);
	access_expect(NULL, 0, &a);
}

/* clang-format off */
static const struct made_name names[] = {
	{ "example.org",        ACCESS_SENDER,    0, 1, 0, ACCESS_DENY },
	{ "alice@example.org",  ACCESS_SENDER,    0, 2, 0, ACCESS_PERMIT },
	{ ".example.net",       ACCESS_SENDER,    0, 3, 0, ACCESS_DENY },
	{ "spam@",              ACCESS_SENDER,    0, 4, 0, ACCESS_DENY },
	{ "example.org",        ACCESS_HELO,      1, 1, 0, ACCESS_PERMIT },
	{ ".example.org",       ACCESS_HELO,      1, 2, 0, ACCESS_DENY },
	{ "quiet.example.net",  ACCESS_SENDER,    0, 5, 0, ACCESS_SILENT },
	{ "quiet.example.net",  ACCESS_SENDER,    2, 1, 0, ACCESS_DENY },
	{ "dated.example",      ACCESS_RECIPIENT, 2, 2, 9, ACCESS_DENY },
	{ "dated.example",      ACCESS_RECIPIENT, 3, 1, 0, ACCESS_PERMIT },
	{ "",                   ACCESS_SENDER,    3, 2, 0, ACCESS_DENY },
};

static const struct {
	const char *why, *name;
	enum access_of of;
	int64_t wall;
	enum access_answer answer;
	uint32_t list, line;
} asked[] = {
	{ "a domain",              "bob@example.org",         ACCESS_SENDER, 0, ACCESS_DENY, 0, 1 },
	{ "the whole address",     "alice@example.org",       ACCESS_SENDER, 0, ACCESS_PERMIT, 0, 2 },
	{ "in another case",       "ALICE@Example.ORG",       ACCESS_SENDER, 0, ACCESS_PERMIT, 0, 2 },
	{ "below a domain",        "x@a.b.example.net",       ACCESS_SENDER, 0, ACCESS_DENY, 0, 3 },
	{ "not the domain itself", "x@example.net",           ACCESS_SENDER, 0, ACCESS_SILENT, 0, 0 },
	{ "below another",         "x@a.example.org",         ACCESS_SENDER, 0, ACCESS_SILENT, 0, 0 },
	{ "a user",                "spam@elsewhere.example",  ACCESS_SENDER, 0, ACCESS_DENY, 0, 4 },
	{ "an exception, and then the next list", "x@quiet.example.net", ACCESS_SENDER, 0, ACCESS_DENY, 2, 1 },
	{ "another table",         "example.org",             ACCESS_HELO,   0, ACCESS_PERMIT, 1, 1 },
	{ "below it",              "mx.example.org",          ACCESS_HELO,   0, ACCESS_DENY, 1, 2 },
	{ "a dot at the end",      "mx.example.org.",         ACCESS_HELO,   0, ACCESS_DENY, 1, 2 },
	{ "a table without any",   "example.org",             ACCESS_PTR,    0, ACCESS_SILENT, 0, 0 },
	{ "before its end",        "x@dated.example",         ACCESS_RECIPIENT, 8999, ACCESS_DENY, 2, 2 },
	{ "behind its end",        "x@dated.example",         ACCESS_RECIPIENT, 9000, ACCESS_PERMIT, 3, 1 },
	{ "nothing",               "",                        ACCESS_SENDER, 0, ACCESS_SILENT, 0, 0 },
	{ "only an @",             "@",                       ACCESS_SENDER, 0, ACCESS_SILENT, 0, 0 },
	{ "only a dot",            ".",                       ACCESS_HELO,   0, ACCESS_SILENT, 0, 0 },
	{ "dots",                  "...",                     ACCESS_HELO,   0, ACCESS_SILENT, 0, 0 },
	{ "nobody at",             "@example.org",            ACCESS_SENDER, 0, ACCESS_DENY, 0, 1 },
	{ "nowhere",               "spam@",                   ACCESS_SENDER, 0, ACCESS_DENY, 0, 4 },
};
/* clang-format on */

static void a_name_is_looked_up_from_whole_to_parent(void **unused)
{
	struct made m = { .names = names, .name_count = COUNT_OF(names) - 1, .lists = 4 };

	(void)unused;
	expect_number("made", made_make(&m), FLATTEN_DONE);
	expect_true("whole", access_ok(m.mem, m.n));
	for (size_t i = 0; i < COUNT_OF(asked); i++) {
		struct access_hit hit = access_name(
			m.mem, m.n, asked[i].of, span_str(asked[i].name), asked[i].wall);

		expect_number(asked[i].why, hit.answer, asked[i].answer);
		expect_number(asked[i].why, hit.list, asked[i].list);
		expect_number(asked[i].why, hit.line, asked[i].line);
	}
	free(m.mem);
}

static void a_name_that_is_too_long_is_in_no_list(void **unused)
{
	struct made m = { .names = names, .name_count = 1, .lists = 1 };
	char text[1000];

	(void)unused;
	memset(text, 'a', sizeof(text));
	expect_number("made", made_make(&m), FLATTEN_DONE);
	for (size_t n = 0; n <= sizeof(text); n++)
		expect_number(
			"silent",
			access_name(m.mem, m.n, ACCESS_SENDER, span_of(text, n), 0).answer,
			ACCESS_SILENT);
	free(m.mem);
}

static void a_blob_that_was_cut_is_refused(void **unused)
{
	const struct made_entry e[] = {
		{ net("192.0.2.0/24"), 0, 1, 0, ACCESS_DENY, false },
		{ net("2001:db8::/32"), 0, 2, 0, ACCESS_DENY, false },
	};
	struct made m = { .entries = e, .count = 2, .lists = 1 };

	(void)unused;
	expect_number("made", made_make(&m), FLATTEN_DONE);
	for (size_t n = 0; n < m.n; n += 1 + n / 50)
		expect_false("cut", access_ok(m.mem, n));
	expect_true("whole", access_ok(m.mem, m.n));
	free(m.mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_look_up_says_what_a_scan_says),
		cmocka_unit_test(a_block_is_permitted_if_any_of_its_addresses_is),
		cmocka_unit_test(a_walk_meets_every_place_where_the_answer_changes),
		cmocka_unit_test(what_has_run_out_uncovers_what_is_behind_it),
		cmocka_unit_test(no_answer_with_a_date_holds_until_then),
		cmocka_unit_test(an_entry_that_is_repeated_lasts_as_long_as_the_longest),
		cmocka_unit_test(ten_thousand_dates_for_one_address_take_no_more_than_one),
		cmocka_unit_test(prefixes_of_ipv6_say_nothing_of_ipv4),
		cmocka_unit_test(no_memory_is_no_lists),
		cmocka_unit_test(a_name_is_looked_up_from_whole_to_parent),
		cmocka_unit_test(a_name_that_is_too_long_is_in_no_list),
		cmocka_unit_test(a_blob_that_was_cut_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
