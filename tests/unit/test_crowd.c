#include "expect.h"

#include "edge/crowd.h"

static const uint64_t key[2] = { 1, 2 };

static struct crowd *open_crowd(size_t n)
{
	struct crowd *c;

	assert_true(crowd_open(&c, n, key));
	return c;
}

static void an_ipv6_network_counts_as_one(void **state)
{
	struct crowd *c = open_crowd(10);
	struct addr a, same, other;

	(void)state;
	assert_true(addr_parse(SPAN("2001:db8:0:1::1"), &a));
	assert_true(addr_parse(SPAN("2001:db8:0:1:ffff::2"), &same));
	assert_true(addr_parse(SPAN("2001:db8:0:2::1"), &other));
	crowd_enter(c, &a);
	crowd_enter(c, &same);
	assert_int_equal(crowd_count(c, &a), 2);
	assert_int_equal(crowd_count(c, &other), 0);
	crowd_leave(c, &a);
	assert_int_equal(crowd_count(c, &same), 1);
	crowd_close(&c);
}

static void who_never_came_can_leave(void **state)
{
	struct crowd *c = open_crowd(10);
	struct addr a = addr_v4(192, 0, 2, 1);

	(void)state;
	crowd_leave(c, &a);
	assert_int_equal(crowd_count(c, &a), 0);
	crowd_close(&c);
}

/* Against the simplest thing that can be right: an array of counts. */
static void counts_are_exact_whatever_comes_and_goes(void **state)
{
	enum { ADDRESSES = 300, ROUNDS = 200000 };
	uint32_t model[ADDRESSES] = { 0 };
	struct crowd *c = open_crowd(ADDRESSES);
	uint32_t seed = 1;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		uint32_t n = (seed = seed * 1103515245u + 12345u) >> 8;
		uint32_t who = n % ADDRESSES;
		struct addr a = addr_v4(10, 0, (uint8_t)(who >> 8), (uint8_t)who);

		if (n >> 12 & 1) {
			crowd_enter(c, &a);
			model[who]++;
		} else {
			crowd_leave(c, &a);
			model[who] -= model[who] > 0;
		}
		assert_int_equal(crowd_count(c, &a), model[who]);
	}
	crowd_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ipv6_network_counts_as_one),
		cmocka_unit_test(who_never_came_can_leave),
		cmocka_unit_test(counts_are_exact_whatever_comes_and_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
