#include "expect.h"

#include "base/list.h"
#include "wire/mx.h"

/* "10 a, 20 b": hosts with their preferences, in the order of the answer. */
static size_t read_hosts(const char *text, struct mx_host *hosts)
{
	struct span left = span_str(text);
	size_t n = 0;

	while (left.n) {
		struct span one = span_trim(span_cut(&left, ','));
		struct span number = span_cut(&one, ' ');

		hosts[n].preference = (uint16_t)((number.p[0] - '0') * 10);
		hosts[n++].name = one;
	}
	return n;
}

/* Names in their order, without a separator. */
static void order(const char *text, const char *self, uint64_t seed, struct buf *out)
{
	struct mx_host hosts[MX_HOSTS_MAX];
	size_t n = mx_order(hosts, read_hosts(text, hosts), span_str(self), seed);

	buf_reset(out);
	for (size_t i = 0; i < n; i++)
		buf_put(out, hosts[i].name);
}

static void the_lowest_preference_comes_first(void **unused)
{
	static const struct {
		const char *hosts, *self, *want;
	} rows[] = {
		{ "2 b, 1 a, 3 c", "me", "abc" },
		{ "1 a", "me", "a" },
		{ "", "me", "" },
		{ "1 a, 2 A, 3 b", "me", "ab" }, /* named twice */
		{ "1 a, 2 me, 3 c", "me", "a" }, /* what is behind us comes back to us */
		{ "1 a, 2 ME, 2 b, 2 c", "me", "a" }, /* what is beside us, too */
		{ "1 me, 2 b", "me", "" },
		{ "1 , 2 b", "me", "b" }, /* no name at all */
	};
	uint8_t mem[200];
	struct buf got;

	(void)unused;
	buf_init(&got, mem, sizeof(mem));
	for (uint64_t seed = 0; seed < 20; seed++) {
		for (size_t i = 0; i < COUNT_OF(rows); i++) {
			order(rows[i].hosts, rows[i].self, seed, &got);
			if (!span_eq(buf_span(&got), span_str(rows[i].want)))
				fail_msg("%s: %.*s", rows[i].hosts,
					 SPAN_ARG(buf_span(&got)));
		}
	}
}

static void equal_ones_come_in_any_order_and_each_once(void **unused)
{
	unsigned first[3] = { 0 };
	uint8_t mem[200];
	struct buf got;

	(void)unused;
	buf_init(&got, mem, sizeof(mem));
	for (uint64_t seed = 0; seed < 3000; seed++) {
		order("1 x, 2 a, 2 b, 2 c", "me", seed, &got);
		assert_int_equal(got.len, 4);
		assert_int_equal(mem[0], 'x');
		assert_int_equal(mem[1] + mem[2] + mem[3], 'a' + 'b' + 'c');
		first[mem[1] - 'a']++;
	}
	for (size_t i = 0; i < 3; i++)
		assert_in_range(first[i], 800, 1200);
}

static void a_lone_root_is_a_null_mx(void **unused)
{
	const struct mx_host root = { .name = SPAN_NONE }, host = { .name = SPAN("a") };
	const struct mx_host both[] = { root, host };

	(void)unused;
	assert_true(mx_is_null(&root, 1));
	assert_false(mx_is_null(&host, 1));
	assert_false(mx_is_null(both, 2));
	assert_false(mx_is_null(NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_lowest_preference_comes_first),
		cmocka_unit_test(equal_ones_come_in_any_order_and_each_once),
		cmocka_unit_test(a_lone_root_is_a_null_mx),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
