/* watch/kernel: what the firewall role is told. */
#include "expect.h"

#include "base/list.h"
#include "watch/sight.h"

#define BANS 1500

static struct rig {
	struct sight sight;
	struct conf conf;
	struct kernel *kernel;
	struct link *firewall; /* its end */
} r;

static int set_up(void **unused)
{
	struct err err;
	int fds[2];

	(void)unused;
	memset(&r, 0, sizeof(r));
	assert_true(loop_open(&r.sight.loop, &err));
	assert_true(link_pair(fds, &err));
	assert_true(link_open(&r.sight.firewall.link, fds[0], ROLE_WATCH, ROLE_FIREWALL,
			      0, &err));
	assert_true(link_open(&r.firewall, fds[1], ROLE_FIREWALL, ROLE_WATCH, 0, &err));
	r.sight.conf = &r.conf;
	r.sight.view.orders = test_malloc(orders_size());
	orders_init(r.sight.view.orders);
	assert_true(kernel_open(&r.kernel, &r.sight, &err));
	return 0;
}

static int tear_down(void **unused)
{
	(void)unused;
	walks_drop(&r.sight.walks);
	kernel_close(&r.kernel);
	link_close(&r.firewall);
	link_close(&r.sight.firewall.link);
	loop_close(&r.sight.loop);
	test_free(r.sight.view.orders);
	return 0;
}

static struct net numbered(size_t i)
{
	return (struct net){ addr_v4(10, 0, (uint8_t)(i >> 8), (uint8_t)i), 128 };
}

static void ban(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct order o = { .kind = ORDER_BAN,
				   .net = numbered(i),
				   .until = INT64_MAX };

		assert_true(orders_put(r.sight.view.orders, &o, 0));
	}
}

/* The firewall wants everything. */
static void ask_for_all(void)
{
	kernel_told(r.kernel,
		    &(struct msg_BLOCKED){ .state = FIREWALL_WORKS, .again = true });
	kernel_flush(r.kernel);
}

/* The next BLOCK; how many items. False: there is none. */
static bool hear(struct msg_BLOCK *m, size_t *items)
{
	struct frame f;
	struct err err;

	if (link_recv(r.firewall, &f, &err) != LINK_GOT)
		return false;
	assert_int_equal(f.kind, MSG_BLOCK);
	assert_true(msg_BLOCK_unpack(f.bytes, m));
	*items = list_count(m->items);
	return true;
}

static void a_list_says_in_each_piece_whether_it_goes_on(void **unused)
{
	struct msg_BLOCK m = { .more = true };
	size_t pieces = 0, sum = 0, items;

	(void)unused;
	ban(BANS);
	ask_for_all();
	for (; m.more; pieces++) {
		assert_true(hear(&m, &items));
		assert_int_equal(m.all, pieces == 0);
		sum += items;
		assert_int_equal(m.more, sum < BANS);
	}
	assert_true(pieces > 1);
	assert_int_equal(sum, BANS);
	assert_false(hear(&m, &items));
}

static void an_empty_list_is_one_piece(void **unused)
{
	struct msg_BLOCK m;
	size_t items;

	(void)unused;
	ask_for_all();
	assert_true(hear(&m, &items));
	assert_true(m.all && !m.more);
	assert_int_equal(items, 0);
	assert_false(hear(&m, &items));
}

static void what_comes_later_is_no_list(void **unused)
{
	struct net n = numbered(BANS);
	struct msg_BLOCK m;
	size_t items;

	(void)unused;
	ban(1);
	ask_for_all();
	assert_true(hear(&m, &items));
	assert_true(m.all && !m.more);
	kernel_block(r.kernel, &n, MS_HOUR);
	kernel_flush(r.kernel);
	assert_true(hear(&m, &items));
	assert_true(!m.all && !m.more);
	assert_int_equal(items, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_list_says_in_each_piece_whether_it_goes_on),
		T(an_empty_list_is_one_piece),
		T(what_comes_later_is_no_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
