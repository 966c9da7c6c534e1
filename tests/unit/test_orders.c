#include "guard/orders.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "tests/unit/expect.h"

#define WALL INT64_C(1700000000000)

static struct orders *fresh(void)
{
	struct orders *o = test_malloc(orders_size());

	memset(o, 0xa5, orders_size());
	orders_init(o);
	return o;
}

static struct net net_of(const char *text)
{
	struct net n;

	expect_true(text, net_parse(span_str(text), &n));
	return n;
}

static struct addr addr_of(const char *text)
{
	struct addr a;

	expect_true(text, addr_parse(span_str(text), &a));
	return a;
}

static struct order order_of(enum order_kind kind, const char *net, int64_t until)
{
	struct order order = { .kind = (uint8_t)kind, .net = net_of(net), .since = WALL };

	order.until = until;
	snprintf(order.why, sizeof(order.why), "because of %s", net);
	return order;
}

static void put(struct orders *o, enum order_kind kind, const char *net)
{
	struct order order = order_of(kind, net, INT64_MAX);

	expect_true(net, orders_put(o, &order, WALL));
}

static enum order_kind found(const struct orders *o, const char *address)
{
	struct addr a = addr_of(address);
	struct order got;

	return orders_find(o, &a, WALL, &got) ? (enum order_kind)got.kind : ORDER_NONE;
}

static void without_orders_nothing_is_found(void **unused)
{
	struct orders *o = fresh();
	struct net n = net_of("192.0.2.7");
	struct order got;
	size_t at = 0;

	(void)unused;
	expect_true("it is one", orders_ok(o, orders_size()));
	expect_false("too short", orders_ok(o, orders_size() - 1));
	expect_false("no memory", orders_ok(NULL, orders_size()));
	expect_number("no order", found(o, "192.0.2.7"), ORDER_NONE);
	expect_number("no pardon", orders_pardoned(o, &n), 0);
	expect_number("no lockdown", orders_in_lockdown(o), 0);
	expect_false("none to list", orders_next(o, &at, &got));
	expect_false("none to drop", orders_drop(o, &n));
	test_free(o);
}

static void the_longest_prefix_wins_and_an_allow_before_a_ban(void **unused)
{
	static const struct {
		const char *why, *address;
		enum order_kind kind;
	} rows[] = {
		{ "the ban of the address", "192.0.2.7", ORDER_BAN },
		{ "the allow of its block", "192.0.2.65", ORDER_ALLOW },
		{ "the ban around it", "192.0.2.129", ORDER_BAN },
		{ "an allow wins over a longer ban", "192.0.2.70", ORDER_ALLOW },
		{ "outside", "192.0.3.1", ORDER_NONE },
		{ "of IPv6", "2001:db8::1", ORDER_BAN },
		{ "of IPv6, outside", "2001:db9::1", ORDER_NONE },
	};
	struct orders *o = fresh();

	(void)unused;
	put(o, ORDER_BAN, "192.0.2.7");
	put(o, ORDER_ALLOW, "192.0.2.64/26");
	put(o, ORDER_BAN, "192.0.2.70");
	put(o, ORDER_BAN, "192.0.2.0/24");
	put(o, ORDER_BAN, "2001:db8::/32");
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		expect_number(rows[i].why, found(o, rows[i].address), rows[i].kind);
	test_free(o);
}

static void an_order_for_everybody_holds_for_both_families(void **unused)
{
	struct orders *o = fresh();

	(void)unused;
	put(o, ORDER_BAN, "::/0");
	expect_number("IPv4", found(o, "192.0.2.7"), ORDER_BAN);
	expect_number("IPv6", found(o, "2001:db8::1"), ORDER_BAN);
	test_free(o);
}

static void an_order_replaces_that_of_the_same_net(void **unused)
{
	struct orders *o = fresh();
	struct order got;
	size_t at = 0;

	(void)unused;
	put(o, ORDER_BAN, "192.0.2.0/24");
	put(o, ORDER_ALLOW, "192.0.2.0/24");
	expect_number("the later one", found(o, "192.0.2.1"), ORDER_ALLOW);
	expect_true("one", orders_next(o, &at, &got));
	expect_span("its reason", span_str(got.why), SPAN("because of 192.0.2.0/24"));
	expect_false("not two", orders_next(o, &at, &got));
	put(o, ORDER_PARDON, "192.0.2.0/24");
	expect_number("a pardon is not found", found(o, "192.0.2.1"), ORDER_NONE);
	test_free(o);
}

static void host_bits_of_an_order_do_not_matter(void **unused)
{
	struct order order = order_of(ORDER_BAN, "192.0.2.0/24", INT64_MAX);
	struct orders *o = fresh();

	(void)unused;
	order.net.addr = addr_of("192.0.2.77");
	expect_true("taken", orders_put(o, &order, WALL));
	expect_number("found", found(o, "192.0.2.1"), ORDER_BAN);
	expect_true("and dropped", orders_drop(o, &order.net));
	expect_number("gone", found(o, "192.0.2.1"), ORDER_NONE);
	test_free(o);
}

static void orders_that_are_none_are_not_taken(void **unused)
{
	struct order order = order_of(ORDER_BAN, "192.0.2.7", INT64_MAX);
	struct orders *o = fresh();

	(void)unused;
	order.kind = ORDER_NONE;
	expect_false("of no kind", orders_put(o, &order, WALL));
	order.kind = ORDER_KINDS;
	expect_false("of an unknown kind", orders_put(o, &order, WALL));
	order.kind = ORDER_BAN;
	order.net.bits = 129;
	expect_false("longer than an address", orders_put(o, &order, WALL));
	expect_false("nor dropped", orders_drop(o, &order.net));
	expect_number("nor pardoned", orders_pardoned(o, &order.net), 0);
	test_free(o);
}

static void what_has_run_out_does_not_count_and_makes_room(void **unused)
{
	struct order order = order_of(ORDER_BAN, "192.0.2.7", WALL + 1000);
	struct addr a = addr_of("192.0.2.7");
	struct orders *o = fresh();
	struct order got;

	(void)unused;
	expect_true("taken", orders_put(o, &order, WALL));
	expect_true("in force", orders_find(o, &a, WALL + 999, &got));
	expect_false("over", orders_find(o, &a, WALL + 1000, &got));
	expect_number("not yet", (int64_t)orders_expire(o, WALL), 0);
	expect_number("one", (int64_t)orders_expire(o, WALL + 1000), 1);
	expect_false("dropped", orders_drop(o, &order.net));
	test_free(o);
}

static struct order numbered(uint32_t i, int64_t until)
{
	struct order order = { .kind = ORDER_BAN, .since = WALL, .until = until };

	order.net.addr = addr_v4(10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i);
	order.net.bits = 128;
	return order;
}

static void a_full_table_says_so_and_takes_what_replaces(void **unused)
{
	struct orders *o = fresh();
	struct order order;

	(void)unused;
	for (uint32_t i = 0; i < ORDERS_MAX; i++) {
		order = numbered(i, i ? INT64_MAX : WALL + 1000);
		expect_true("there is room", orders_put(o, &order, WALL));
	}
	order = numbered(ORDERS_MAX, INT64_MAX);
	expect_false("there is none", orders_put(o, &order, WALL));
	expect_true("what has run out makes some", orders_put(o, &order, WALL + 1000));
	order.kind = ORDER_ALLOW;
	expect_true("replaced", orders_put(o, &order, WALL + 1000));
	order = numbered(0, INT64_MAX);
	expect_false("full again", orders_put(o, &order, WALL + 1000));
	test_free(o);
}

/* Against a plain list, with as many dropped as are put, so that marks pile up. */
static void putting_and_dropping_is_as_a_list_does_it(void **unused)
{
	enum { MANY = 500 };
	struct orders *o = fresh();
	bool there[MANY] = { false };
	uint64_t seed = 7;
	struct order got;
	size_t at = 0, n = 0;

	(void)unused;
	for (size_t i = 0; i < 20000; i++) {
		uint32_t which = (uint32_t)dice_below(&seed, MANY);
		struct order order = numbered(which, INT64_MAX);

		if (dice(&seed) & 1) {
			expect_true("put", orders_put(o, &order, WALL));
			there[which] = true;
		} else {
			if (orders_drop(o, &order.net) != there[which])
				fail_msg("dropping %u", which);
			there[which] = false;
		}
		which = (uint32_t)dice_below(&seed, MANY);
		order = numbered(which, 0);
		if (orders_find(o, &order.net.addr, WALL, &got) != there[which])
			fail_msg("finding %u", which);
	}
	for (size_t i = 0; i < MANY; i++)
		n += there[i];
	while (orders_next(o, &at, &got))
		n--;
	expect_number("all are listed", (int64_t)n, 0);
	test_free(o);
}

static void a_pardon_holds_for_all_that_lies_within(void **unused)
{
	struct orders *o = fresh();
	struct order order = order_of(ORDER_PARDON, "192.0.2.0/24", INT64_MAX);
	struct net inside = net_of("192.0.2.0/26"), same = net_of("192.0.2.0/24");
	struct net wider = net_of("192.0.0.0/21"), one = net_of("192.0.2.7");

	(void)unused;
	expect_true("taken", orders_put(o, &order, WALL));
	order = order_of(ORDER_PARDON, "192.0.2.7", INT64_MAX);
	order.since = WALL + 5;
	expect_true("taken", orders_put(o, &order, WALL));
	expect_number("inside", orders_pardoned(o, &inside), WALL);
	expect_number("the same", orders_pardoned(o, &same), WALL);
	expect_number("not what is wider", orders_pardoned(o, &wider), 0);
	expect_number("the newest", orders_pardoned(o, &one), WALL + 5);
	test_free(o);
}

static void a_lockdown_has_a_beginning(void **unused)
{
	struct orders *o = fresh();
	uint64_t version = orders_version(o);

	(void)unused;
	orders_lockdown(o, true, WALL);
	expect_number("since", orders_in_lockdown(o), WALL);
	expect_true("a change", orders_version(o) != version);
	orders_lockdown(o, false, WALL + 1);
	expect_number("over", orders_in_lockdown(o), 0);
	test_free(o);
}

static void mailbox_servers_are_drained_by_name(void **unused)
{
	struct orders *o = fresh();
	uint64_t version = orders_version(o);
	struct drained got;
	char name[32];
	size_t at = 0;

	(void)unused;
	expect_false("none yet", orders_next_drained(o, &at, &got));
	expect_false("not to be resumed", orders_drain(o, SPAN("east"), false));
	expect_true("drained", orders_drain(o, SPAN("east"), true));
	expect_true("a change", orders_version(o) != version);
	expect_false("twice", orders_drain(o, SPAN("east"), true));
	expect_true("another", orders_drain(o, SPAN("west"), true));
	expect_true("resumed", orders_drain(o, SPAN("east"), false));
	expect_false("no more", orders_is_drained(o, SPAN("east")));
	at = 0;
	expect_true("the other", orders_next_drained(o, &at, &got));
	assert_string_equal(got.name, "west");
	expect_false("no third", orders_next_drained(o, &at, &got));
	for (int i = 1; i < BACKENDS_MAX; i++) {
		snprintf(name, sizeof(name), "server-%d", i);
		expect_true(name, orders_drain(o, span_str(name), true));
	}
	expect_false("full", orders_drain(o, SPAN("one-more"), true));
	expect_false("no name", orders_drain(o, SPAN(""), true));
	test_free(o);
}

static void kick(struct orders *o, uint64_t session)
{
	struct kick k = { .session = session };

	orders_kick(o, &k);
}

static void kicks_come_once_and_in_order(void **unused)
{
	struct orders *o = fresh();
	uint64_t early = 0, late = 0;
	struct kick got;

	(void)unused;
	expect_false("none yet", orders_next_kick(o, &early, &got));
	kick(o, 11);
	kick(o, 12);
	expect_false("not what was before", orders_next_kick(o, &late, &got));
	expect_true("first", orders_next_kick(o, &early, &got));
	expect_number("first", (int64_t)got.session, 11);
	expect_true("second", orders_next_kick(o, &early, &got));
	expect_number("second", (int64_t)got.session, 12);
	expect_false("no third", orders_next_kick(o, &early, &got));
	kick(o, 13);
	expect_true("third", orders_next_kick(o, &late, &got));
	expect_number("third", (int64_t)got.session, 13);
	test_free(o);
}

static void a_kick_says_whom_it_means(void **unused)
{
	struct orders *o = fresh();
	struct kick user = { .user = 77 }, got;
	uint64_t serial = 0;

	(void)unused;
	expect_false("none yet", orders_next_kick(o, &serial, &got));
	orders_kick(o, &user);
	assert_true(orders_next_kick(o, &serial, &got));
	assert_true(got.user == 77 && got.session == 0);
	assert_true(net_parse(SPAN("192.0.2.0/24"), &got.net));
	user = (struct kick){ .net = got.net };
	orders_kick(o, &user);
	assert_true(orders_next_kick(o, &serial, &got));
	assert_true(got.user == 0 && got.session == 0 && got.net.bits == 120);
	test_free(o);
}

static void who_is_late_has_the_last_kicks(void **unused)
{
	struct orders *o = fresh();
	uint64_t serial = 0, n = 0;
	struct kick got;

	(void)unused;
	expect_false("none yet", orders_next_kick(o, &serial, &got));
	for (uint64_t i = 1; i <= 10 * KICKS_MAX; i++)
		kick(o, i);
	while (orders_next_kick(o, &serial, &got))
		n++;
	expect_number("as many as are kept", (int64_t)n, KICKS_MAX);
	expect_number("the last", (int64_t)got.session, 10 * KICKS_MAX);
	serial = 1u << 30;
	expect_false("from another life", orders_next_kick(o, &serial, &got));
	kick(o, 5);
	expect_true("then again", orders_next_kick(o, &serial, &got));
	test_free(o);
}

/* Another process puts and drops two orders again and again; each says its own net. */
static void busy(struct orders *o)
{
	struct order ban = order_of(ORDER_BAN, "192.0.2.0/24", INT64_MAX);
	struct order allow = order_of(ORDER_ALLOW, "198.51.100.0/24", INT64_MAX);
	bool fine = true;

	for (size_t i = 0; i < 100000 && fine; i++) {
		struct order *order = i & 1 ? &ban : &allow;

		order->net.addr.ip[14] = (uint8_t)(i >> 1);
		snprintf(order->why, sizeof(order->why), "%u", order->net.addr.ip[14]);
		fine = orders_put(o, order, WALL) && orders_drop(o, &order->net);
	}
	_exit(fine ? 0 : 1);
}

static void nobody_reads_half_an_order(void **unused)
{
	struct orders *o = mmap(NULL, orders_size(), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t seed = 1;
	int status = -1;
	pid_t writer;

	(void)unused;
	expect_true("memory", o != MAP_FAILED);
	orders_init(o);
	writer = fork_child();
	expect_true("a process", writer >= 0);
	if (writer == 0)
		busy(o);
	while (waitpid(writer, &status, WNOHANG) == 0)
		for (unsigned i = 0; i < 2000; i++) {
			bool of_bans = dice(&seed) & 1;
			struct addr a = of_bans ? addr_v4(192, 0, (uint8_t)dice(&seed), 1)
						: addr_v4(198, 51, (uint8_t)dice(&seed),
							  1);
			struct order got;
			char why[ORDER_WHY_MAX];

			if (!orders_find(o, &a, WALL, &got))
				continue;
			snprintf(why, sizeof(why), "%u", a.ip[14]);
			expect_span("its reason", span_str(got.why), span_str(why));
			expect_number("its kind", got.kind,
				      of_bans ? ORDER_BAN : ORDER_ALLOW);
		}
	expect_number("the writer", status, 0);
	munmap(o, orders_size());
}

/* The counter is the first thing that changes after the two words of the head. */
static void a_writer_that_died_at_work_is_mended_by_the_next(void **unused)
{
	struct orders *o = fresh();
	struct order order = order_of(ORDER_ALLOW, "192.0.2.9", INT64_MAX);
	uint64_t *turn = (uint64_t *)(void *)o + 2;

	(void)unused;
	put(o, ORDER_BAN, "192.0.2.7");
	*turn |= 1;
	expect_number("readers get what there is", found(o, "192.0.2.7"), ORDER_BAN);
	expect_true("the next writer", orders_put(o, &order, WALL));
	expect_number("is even", (int64_t)(*turn & 1), 0);
	expect_number("kept", found(o, "192.0.2.7"), ORDER_BAN);
	expect_number("put", found(o, "192.0.2.9"), ORDER_ALLOW);
	test_free(o);
}

static void damaged_orders_are_read_without_harm(void **unused)
{
	struct orders *o = fresh();
	uint8_t *bytes = (uint8_t *)(void *)o;
	struct addr a = addr_of("192.0.2.7");
	struct net n = net_of("192.0.2.7");
	uint64_t seed = 1, serial = 1;
	struct order got;
	struct kick kicked;
	size_t at;

	(void)unused;
	put(o, ORDER_BAN, "192.0.2.0/24");
	put(o, ORDER_PARDON, "192.0.2.0/25");
	for (size_t round = 0; round < 200; round++) {
		for (size_t i = 0; i < 2000; i++)
			bytes[16 + dice_below(&seed, orders_size() - 16)] = (uint8_t)dice(
				&seed);
		if (orders_find(o, &a, WALL, &got))
			expect_true("a kind",
				    got.kind < ORDER_KINDS && got.net.bits <= 128);
		(void)orders_pardoned(o, &n);
		for (at = 0; orders_next(o, &at, &got);)
			expect_true("a kind",
				    got.kind < ORDER_KINDS && got.net.bits <= 128);
		for (size_t i = 0; i < 2 * KICKS_MAX; i++)
			if (!orders_next_kick(o, &serial, &kicked))
				break;
	}
	got = order_of(ORDER_BAN, "198.51.100.0/24", INT64_MAX);
	if (!orders_put(o, &got, WALL))
		expect_false("nothing to drop then", orders_drop(o, &got.net));
	test_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_orders_nothing_is_found),
		cmocka_unit_test(the_longest_prefix_wins_and_an_allow_before_a_ban),
		cmocka_unit_test(an_order_for_everybody_holds_for_both_families),
		cmocka_unit_test(an_order_replaces_that_of_the_same_net),
		cmocka_unit_test(host_bits_of_an_order_do_not_matter),
		cmocka_unit_test(orders_that_are_none_are_not_taken),
		cmocka_unit_test(what_has_run_out_does_not_count_and_makes_room),
		cmocka_unit_test(a_full_table_says_so_and_takes_what_replaces),
		cmocka_unit_test(putting_and_dropping_is_as_a_list_does_it),
		cmocka_unit_test(a_pardon_holds_for_all_that_lies_within),
		cmocka_unit_test(a_lockdown_has_a_beginning),
		cmocka_unit_test(mailbox_servers_are_drained_by_name),
		cmocka_unit_test(kicks_come_once_and_in_order),
		cmocka_unit_test(a_kick_says_whom_it_means),
		cmocka_unit_test(who_is_late_has_the_last_kicks),
		cmocka_unit_test(nobody_reads_half_an_order),
		cmocka_unit_test(a_writer_that_died_at_work_is_mended_by_the_next),
		cmocka_unit_test(damaged_orders_are_read_without_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
