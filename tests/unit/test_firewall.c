/* firewall: what may be blocked, what is to be told to the kernel, and how it is said. */
#include "expect.h"

#include "firewall/batch.h"
#include "firewall/blocks.h"
#include "firewall/judge.h"

static const uint64_t key[2] = { 0x0123456789abcdefu, 0xfedcba9876543210u };

static struct net net(const char *text)
{
	struct net n;

	if (!net_parse(span_str(text), &n))
		fail_msg("%s is no prefix", text);
	return n;
}

/* ---- judge --------------------------------------------------------------------------------- */

static const struct {
	const char *why, *net;
	enum refusal want;
} judged[] = {
	{ "an address", "192.0.2.7", REFUSAL_NONE },
	{ "a prefix as wide as may be", "192.0.0.0/21", REFUSAL_NONE },
	{ "one that is wider", "192.0.0.0/20", REFUSAL_WIDE },
	{ "everything", "0.0.0.0/0", REFUSAL_STRANGE },
	{ "everything of IPv6", "::/0", REFUSAL_STRANGE },
	{ "all of IPv4, as IPv6", "::ffff:0:0/96", REFUSAL_STRANGE },
	{ "half of everything", "128.0.0.0/1", REFUSAL_STRANGE },
	{ "the mark of our sets", "0.0.0.0", REFUSAL_STRANGE },
	{ "the mark of our IPv6 sets", "100::", REFUSAL_STRANGE },
	{ "multicast", "224.0.0.1", REFUSAL_STRANGE },
	{ "multicast of IPv6", "ff02::1", REFUSAL_STRANGE },
	{ "loopback", "127.0.0.1", REFUSAL_OWN },
	{ "another loopback address", "127.9.8.7", REFUSAL_OWN },
	{ "a piece of the loopback network", "127.0.8.0/24", REFUSAL_OWN },
	{ "loopback of IPv6", "::1", REFUSAL_STRANGE },
	{ "our address", "198.51.100.25", REFUSAL_OWN },
	{ "a prefix with our address in it", "198.51.100.0/24", REFUSAL_OWN },
	{ "the neighbour of our address", "198.51.100.26", REFUSAL_NONE },
	{ "our IPv6 address", "2001:db8::25", REFUSAL_OWN },
	{ "a prefix with our IPv6 address in it", "2001:db8::/64", REFUSAL_OWN },
	{ "another /64", "2001:db8:0:1::/64", REFUSAL_NONE },
	{ "a /48", "2001:db8:1::/48", REFUSAL_NONE },
	{ "a /47", "2001:db8:2::/47", REFUSAL_WIDE },
	{ "a proxy", "203.0.113.80", REFUSAL_RELAY },
	{ "a prefix with a proxy in it", "203.0.113.0/24", REFUSAL_RELAY },
	{ "a relay with XCLIENT", "203.0.114.9", REFUSAL_RELAY },
};

static void what_must_not_be_blocked_is_refused(void **state)
{
	static struct conf conf = { .set.firewall_v4 = 21, .set.firewall_v6 = 48 };
	struct addr own[2] = { net("198.51.100.25").addr, net("2001:db8::25").addr };
	struct judge j = { .conf = &conf, .own = own, .own_count = 2 };

	(void)state;
	conf.proxy_from[conf.proxy_count++] = net("203.0.113.80/30");
	conf.xclient_from[conf.xclient_count++] = net("203.0.114.9");
	for (size_t i = 0; i < COUNT_OF(judged); i++) {
		struct net n = net(judged[i].net);

		expect_number(judged[i].why, judge_net(&j, &n), judged[i].want);
	}
}

/* ---- batches ------------------------------------------------------------------------------- */

static struct table small_table(void)
{
	return (struct table){
		.name = "hf", .max = 1000, .port_count = 2, .ports = { 25, 2525 }
	};
}

static void a_table_is_made_and_taken_away_only_with_its_mark(void **state)
{
	struct table t = small_table();
	BUF(out, 2048);

	(void)state;
	batch_make(&t, true, &out);
	expect_text("made", &out,
		    "delete chain inet hf made_by_holdfast\n"
		    "delete table inet hf\n"
		    "add table inet hf\n"
		    "add chain inet hf made_by_holdfast\n"
		    "add counter inet hf dropped\n"
		    "add set inet hf smtp_ports { type inet_service; }\n"
		    "add element inet hf smtp_ports { 25, 2525 }\n"
		    "add chain inet hf smtp\n"
		    "add chain inet hf input { type filter hook input priority -300; "
		    "policy accept; }\n"
		    "add rule inet hf input tcp dport @smtp_ports jump smtp\n");
}

static void items_of_a_new_length_bring_its_set_and_its_rule(void **state)
{
	struct table t = small_table();
	const struct batch_item items[] = {
		{ net("192.0.2.1"), BATCH_ADD, 60 },
		{ net("198.51.96.0/21"), BATCH_ADD, 0 },
		{ net("192.0.2.2"), BATCH_RENEW, 70 },
		{ net("192.0.2.3"), BATCH_DROP, 9 },
		{ net("2001:db8:7::/48"), BATCH_ADD, 5 },
	};
	BUF(out, 4096);

	(void)state;
	t.has[32] = true;
	batch_items(&t, items, COUNT_OF(items), &out);
	expect_text(
		"items", &out,
		"add set inet hf smtp_v4_21 { type ipv4_addr; size 3001; flags timeout; }\n"
		"add element inet hf smtp_v4_21 { 0.0.0.0 }\n"
		"add rule inet hf smtp ip saddr & 255.255.248.0 @smtp_v4_21 counter name "
		"dropped drop\n"
		"add element inet hf smtp_v4_21 { 198.51.96.0 }\n"
		"add element inet hf smtp_v4_32 { 192.0.2.2, 192.0.2.3 }\n"
		"delete element inet hf smtp_v4_32 { 192.0.2.2, 192.0.2.3 }\n"
		"add element inet hf smtp_v4_32 { 192.0.2.1 timeout 60s, 192.0.2.2 timeout "
		"70s }\n"
		"add set inet hf smtp_v6_48 { type ipv6_addr; size 3001; flags timeout; }\n"
		"add element inet hf smtp_v6_48 { 100:: }\n"
		"add rule inet hf smtp ip6 saddr & ffff:ffff:ffff:: @smtp_v6_48 counter "
		"name dropped drop\n"
		"add element inet hf smtp_v6_48 { 2001:db8:7:: timeout 5s }\n");
	batch_done(&t, items, COUNT_OF(items));
	expect_number("rules", (int64_t)t.rules, 2);
	buf_reset(&out);
	batch_whole(&t, &out);
	expect_text("whole", &out,
		    "add rule inet hf input index 0 accept\n"
		    "add rule inet hf smtp index 1 accept\n"
		    "delete element inet hf smtp_v4_21 { 0.0.0.0 }\n"
		    "delete element inet hf smtp_v4_32 { 0.0.0.0 }\n"
		    "delete element inet hf smtp_v6_48 { 100:: }\n"
		    "delete element inet hf smtp_ports { 25, 2525 }\n"
		    "delete chain inet hf made_by_holdfast\n");
}

static void the_largest_batch_fits(void **state)
{
	static uint8_t mem[BATCH_BYTES];
	static struct batch_item items[FIREWALL_BATCH];
	struct table t = small_table();
	struct buf out;

	(void)state;
	t.name = "a_name_of_thirty_one_characters";
	buf_init(&out, mem, sizeof(mem));
	for (size_t i = 0; i < COUNT_OF(items); i++) {
		unsigned bits = (unsigned)(i % 113) + 16;

		items[i] = (struct batch_item){ .op = BATCH_RENEW, .seconds = UINT32_MAX };
		memset(items[i].net.addr.ip, 0xfd, 16);
		items[i].net.bits = (uint8_t)bits;
	}
	batch_items(&t, items, COUNT_OF(items), &out);
	expect_false("full", out.full);
	batch_done(&t, items, COUNT_OF(items));
	buf_reset(&out);
	batch_whole(&t, &out);
	expect_false("full", out.full);
}

static void ports_of_proxies_are_left_alone(void **state)
{
	static struct conf conf = { .listener_count = 4 };
	struct table t = small_table();
	BUF(out, 512);

	(void)state;
	conf.listeners[0].at.port = 25;
	conf.listeners[1].at.port = 10025;
	conf.listeners[1].proxy = true;
	conf.listeners[2].at.port = 25;
	conf.listeners[3].at.port = 587;
	table_ports(&t, &conf);
	batch_ports(&t, &out);
	expect_text("ports", &out,
		    "flush set inet hf smtp_ports\n"
		    "add element inet hf smtp_ports { 25, 587 }\n");
}

static void names_of_tables_are_words(void **state)
{
	(void)state;
	expect_true("the default", table_name_ok("holdfast"));
	expect_true("all kinds", table_name_ok("_Mail_2"));
	expect_true("as the configuration takes it", table_name_ok("hold-fast"));
	expect_false("a dash first", table_name_ok("-fast"));
	expect_false("empty", table_name_ok(""));
	expect_false("a digit first", table_name_ok("2mail"));
	expect_false("a command", table_name_ok("x; flush ruleset"));
	expect_false("a line", table_name_ok("x\nflush"));
	expect_false("too long", table_name_ok("a_name_of_thirty_two_characters_"));
}

static void what_nft_prints_is_read_with_care(void **state)
{
	static const struct {
		const char *why, *text;
		bool good;
		uint64_t packets;
	} rows[] = {
		{ "a counter",
		  "table inet hf {\n\tcounter dropped {\n\t\tpackets 12 bytes 720\n\t}\n}\n",
		  true, 12 },
		{ "the largest", "packets 18446744073709551615 bytes 0", true, UINT64_MAX },
		{ "larger", "packets 18446744073709551616 bytes 0", false, 0 },
		{ "negative", "packets -1 bytes 0", false, 0 },
		{ "nothing", "", false, 0 },
		{ "garbage", "-f -\n\xff\xfe", false, 0 },
		{ "cut off", "\t\tpackets ", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint64_t packets = 0;

		expect_true(rows[i].why, batch_counted(span_str(rows[i].text),
						       &packets) == rows[i].good);
		if (rows[i].good)
			expect_true(rows[i].why, packets == rows[i].packets);
	}
	expect_span("an error with its place",
		    batch_complaint(SPAN("/dev/stdin:1:19-20: Error: Could not process rule: "
					 "File exists\ncreate table inet hf\n")),
		    SPAN("Could not process rule: File exists"));
	expect_span("another text", batch_complaint(SPAN("\n  no such thing \nmore")),
		    SPAN("no such thing"));
	expect_span("nothing", batch_complaint(SPAN("")), SPAN(""));
}

/* ---- blocks -------------------------------------------------------------------------------- */

static struct batch_item take_one(struct blocks *b, ms_t now)
{
	struct batch_item item;

	expect_number("one", (int64_t)blocks_take(b, &item, 1, now), 1);
	return item;
}

static void what_is_blocked_is_told_once(void **state)
{
	struct blocks b;
	struct net n = net("192.0.2.7");
	struct batch_item item;

	(void)state;
	blocks_init(&b, 10, key);
	expect_true("put", blocks_put(&b, &n, 61000));
	item = take_one(&b, 1000);
	expect_number("add", item.op, BATCH_ADD);
	expect_number("for", item.seconds, 60);
	blocks_done(&b, &item, 1);
	expect_number("nothing more", (int64_t)b.due, 0);
	expect_true("the same again", blocks_put(&b, &n, 61500));
	expect_number("nothing new", (int64_t)b.due, 0);
	expect_true("for longer", blocks_put(&b, &n, 121000));
	item = take_one(&b, 1000);
	expect_number("renew", item.op, BATCH_RENEW);
	blocks_undo(&b, &item, 1);
	expect_number("again", take_one(&b, 1000).op, BATCH_RENEW);
	blocks_drop(&b, &n);
	item = take_one(&b, 1000);
	expect_number("drop", item.op, BATCH_DROP);
	blocks_done(&b, &item, 1);
	expect_number("empty", (int64_t)b.count, 0);
	blocks_close(&b);
}

static void a_whole_list_changes_only_what_differs(void **state)
{
	struct blocks b;
	struct net stays = net("192.0.2.1"), goes = net("192.0.2.2"),
		   comes = net("192.0.2.3");
	struct batch_item items[4];

	(void)state;
	blocks_init(&b, 10, key);
	expect_true("put",
		    blocks_put(&b, &stays, MS_NEVER) && blocks_put(&b, &goes, MS_NEVER));
	blocks_done(&b, items, blocks_take(&b, items, 4, 0));
	blocks_list_begins(&b);
	expect_true("put",
		    blocks_put(&b, &comes, MS_NEVER) && blocks_put(&b, &stays, MS_NEVER));
	blocks_list_ends(&b);
	expect_number("two things", (int64_t)blocks_take(&b, items, 4, 0), 2);
	expect_true("first what comes", net_eq(&items[0].net, &comes));
	expect_number("is added", items[0].op, BATCH_ADD);
	expect_true("then what goes", net_eq(&items[1].net, &goes));
	expect_number("is dropped", items[1].op, BATCH_DROP);
	blocks_close(&b);
}

/* A whole list comes in pieces, and the kernel may be told between two of them. */
static void until_a_list_is_whole_nobody_is_let_through_for_its_sake(void **state)
{
	struct net first = net("192.0.2.1"), later = net("192.0.2.2"),
		   unblocked = net("192.0.2.3"), goes = net("192.0.2.4");
	struct batch_item items[4];
	struct blocks b;

	(void)state;
	blocks_init(&b, 10, key);
	expect_true("put", blocks_put(&b, &first, MS_NEVER) &&
				   blocks_put(&b, &later, MS_NEVER) &&
				   blocks_put(&b, &unblocked, MS_NEVER) &&
				   blocks_put(&b, &goes, MS_NEVER));
	blocks_done(&b, items, blocks_take(&b, items, 4, 0));
	blocks_list_begins(&b);
	expect_true("one piece", blocks_put(&b, &first, MS_NEVER));
	expect_number("nothing to do", (int64_t)blocks_take(&b, items, 4, 0), 0);
	blocks_drop(&b, &unblocked);
	expect_number("who is unblocked does not wait",
		      (int64_t)blocks_take(&b, items, 4, 0), 1);
	expect_true("that one", net_eq(&items[0].net, &unblocked));
	blocks_done(&b, items, 1);
	expect_true("another piece", blocks_put(&b, &later, MS_NEVER));
	blocks_list_ends(&b);
	expect_number("who was not named", (int64_t)blocks_take(&b, items, 4, 0), 1);
	expect_true("goes", net_eq(&items[0].net, &goes));
	expect_number("is dropped", items[0].op, BATCH_DROP);
	blocks_list_ends(&b);
	expect_number("no list, no end", (int64_t)blocks_take(&b, items, 4, 0), 0);
	blocks_close(&b);
}

static void what_is_put_again_while_it_is_taken_out_is_put_in_again(void **state)
{
	struct net n = net("192.0.2.7");
	struct batch_item item;
	struct blocks b;

	(void)state;
	blocks_init(&b, 10, key);
	expect_true("put", blocks_put(&b, &n, 61000));
	item = take_one(&b, 1000);
	blocks_done(&b, &item, 1);
	blocks_list_begins(&b);
	blocks_list_ends(&b);
	item = take_one(&b, 1000);
	expect_number("on its way out", item.op, BATCH_DROP);
	expect_true("put again", blocks_put(&b, &n, 61000));
	blocks_done(&b, &item, 1);
	expect_number("it has to go in again", (int64_t)b.due, 1);
	item = take_one(&b, 1000);
	expect_true("in", item.op == BATCH_RENEW && item.seconds == 60);
	blocks_done(&b, &item, 1);
	expect_number("nothing more", (int64_t)b.due, 0);
	expect_number("held", (int64_t)blocks_held(&b), 1);
	blocks_close(&b);
}

static void a_length_that_is_full_takes_no_more(void **state)
{
	struct blocks b;
	struct net one = net("192.0.2.1"), two = net("192.0.2.2"),
		   wide = net("192.0.2.0/24");

	(void)state;
	blocks_init(&b, 1, key);
	expect_true("one", blocks_put(&b, &one, MS_NEVER));
	expect_false("two", blocks_put(&b, &two, MS_NEVER));
	expect_true("another length", blocks_put(&b, &wide, MS_NEVER));
	expect_true("one again", blocks_put(&b, &one, 5000));
	blocks_drop(&b, &one);
	expect_true("in its place", blocks_put(&b, &two, MS_NEVER));
	blocks_close(&b);
}

#define NETS   400
#define ROUNDS 20000

/* What the kernel would do, and what was asked for: the simplest way. */
struct model {
	bool wanted[NETS], held[NETS], unnamed[NETS];
	ms_t until[NETS];
};

static struct net numbered(size_t i)
{
	struct net n = { addr_v4(10, 0, (uint8_t)(i >> 8), (uint8_t)i), 128 };

	return n;
}

static bool is_even(void *arg, const struct net *n)
{
	(void)arg;
	return n->addr.ip[15] % 2 == 0;
}

static void kernel_takes(struct model *m, const struct batch_item *items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = (size_t)items[i].net.addr.ip[14] << 8 |
			    items[i].net.addr.ip[15];

		/* an element that is there cannot be added: its time would not change */
		expect_false("an element is added twice",
			     items[i].op == BATCH_ADD && m->held[at]);
		m->held[at] = items[i].op != BATCH_DROP;
	}
}

/* A list begins, or the one under way ends. */
static void list_round(struct blocks *b, struct model *m)
{
	if (!b->in_list) {
		memset(m->unnamed, 1, sizeof(m->unnamed));
		blocks_list_begins(b);
		return;
	}
	for (size_t i = 0; i < NETS; i++)
		m->wanted[i] = m->wanted[i] && !m->unnamed[i];
	blocks_list_ends(b);
}

static void one_round(struct blocks *b, struct model *m, uint32_t r, ms_t now)
{
	struct batch_item items[37];
	size_t at = (r >> 8) % NETS, n;
	struct net one = numbered(at);

	switch (r % 16) {
	case 0: /* a batch that fails, and one that succeeds */
	case 1:
	case 2:
		n = blocks_take(b, items, r % 37 + 1, now);
		if (r % 16 == 0) {
			blocks_undo(b, items, n);
		} else {
			kernel_takes(m, items, n);
			blocks_done(b, items, n);
		}
		break;
	case 3:
	case 4:
		m->wanted[at] = false;
		blocks_drop(b, &one);
		break;
	case 5:
		if (r >> 28)
			break;
		list_round(b, m);
		break;
	case 6:
		if (r >> 29)
			break;
		for (size_t i = 1; i < NETS; i += 2)
			m->wanted[i] = false;
		blocks_judge(b, is_even, NULL);
		break;
	case 7: /* somebody flushed all */
		if (r >> 29)
			break;
		memset(m->held, 0, sizeof(m->held));
		blocks_again(b);
		break;
	default:
		m->wanted[at] = true;
		m->unnamed[at] = false;
		m->until[at] = now + 1000 * (ms_t)(r % 5000);
		assert_true(blocks_put(b, &one, m->until[at]));
	}
}

static void the_kernel_ends_with_what_was_asked_for(void **state)
{
	struct model m = { 0 };
	struct batch_item items[64];
	struct blocks b;
	uint32_t r = 20261121;
	size_t n, wanted = 0;

	(void)state;
	blocks_init(&b, NETS, key);
	for (int i = 0; i < ROUNDS; i++) {
		r = r * 1664525u + 1013904223u;
		one_round(&b, &m, r ^ r >> 13, i);
	}
	if (b.in_list)
		list_round(&b, &m);
	while ((n = blocks_take(&b, items, COUNT_OF(items), ROUNDS)) > 0) {
		kernel_takes(&m, items, n);
		blocks_done(&b, items, n);
	}
	for (size_t i = 0; i < NETS; i++) {
		expect_true("as asked for", m.held[i] == m.wanted[i]);
		wanted += m.wanted[i];
	}
	expect_number("held", (int64_t)blocks_held(&b), (int64_t)wanted);
	expect_number("counted", (int64_t)b.count, (int64_t)wanted);
	blocks_expire(&b, MS_NEVER - 1);
	expect_number("all have run out", (int64_t)b.count, 0);
	for (size_t i = 0; i < BATCH_LENGTHS; i++)
		expect_number("no length is left", (int64_t)b.lengths[i], 0);
	blocks_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_must_not_be_blocked_is_refused),
		cmocka_unit_test(a_table_is_made_and_taken_away_only_with_its_mark),
		cmocka_unit_test(items_of_a_new_length_bring_its_set_and_its_rule),
		cmocka_unit_test(the_largest_batch_fits),
		cmocka_unit_test(ports_of_proxies_are_left_alone),
		cmocka_unit_test(names_of_tables_are_words),
		cmocka_unit_test(what_nft_prints_is_read_with_care),
		cmocka_unit_test(what_is_blocked_is_told_once),
		cmocka_unit_test(a_whole_list_changes_only_what_differs),
		cmocka_unit_test(until_a_list_is_whole_nobody_is_let_through_for_its_sake),
		cmocka_unit_test(what_is_put_again_while_it_is_taken_out_is_put_in_again),
		cmocka_unit_test(a_length_that_is_full_takes_no_more),
		cmocka_unit_test(the_kernel_ends_with_what_was_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
